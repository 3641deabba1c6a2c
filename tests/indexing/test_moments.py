"""Moments as people type them: dates with and without a zone, and so long ago."""

from datetime import UTC, datetime

import pytest

from indexing.errors import InvalidQueryError
from indexing.filters import Filters
from indexing.moments import parse_since, parse_until


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-11-20T14:30:15Z", "2026-11-20T14:30:15.000Z", "2026-11-20T14:30:15.999Z"),
        ("2026-11-20T14:30+02:00", "2026-11-20T12:30:00.000Z", "2026-11-20T12:30:59.999Z"),
        ("2026-11-20T14Z", "2026-11-20T14:00:00.000Z", "2026-11-20T14:59:59.999Z"),
        ("2026-11-20T14+01:00", "2026-11-20T13:00:00.000Z", "2026-11-20T13:59:59.999Z"),
        ("0001-01-01T00:00:00.000+05:00", "0001-01-01T00:00:00.000Z", "0001-01-01T00:00:00.000Z"),
        ("2026-11-20T14:30:15.25Z", "2026-11-20T14:30:15.250Z", "2026-11-20T14:30:15.250Z"),
    ],
)
def test_moments_with_a_zone(text: str, first: str, last: str) -> None:
    assert (parse_since(text), parse_until(text)) == (first, last)
    assert (parse_since(first), parse_until(last)) == (first, last)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026", (2026, 1, 1, 0, 0, 0), (2026, 12, 31, 23, 59, 59)),
        ("2026-11", (2026, 11, 1, 0, 0, 0), (2026, 11, 30, 23, 59, 59)),
        ("2026-12", (2026, 12, 1, 0, 0, 0), (2026, 12, 31, 23, 59, 59)),
        ("2026-2-28", (2026, 2, 28, 0, 0, 0), (2026, 2, 28, 23, 59, 59)),
        ("20260228", (2026, 2, 28, 0, 0, 0), (2026, 2, 28, 23, 59, 59)),
        ("2026-W47", (2026, 11, 16, 0, 0, 0), (2026, 11, 22, 23, 59, 59)),
        ("2026w47-7", (2026, 11, 22, 0, 0, 0), (2026, 11, 22, 23, 59, 59)),
        ("2026-11-20 14", (2026, 11, 20, 14, 0, 0), (2026, 11, 20, 14, 59, 59)),
        ("2026-11-20 1430", (2026, 11, 20, 14, 30, 0), (2026, 11, 20, 14, 30, 59)),
        ("2026-11-20 14:30", (2026, 11, 20, 14, 30, 0), (2026, 11, 20, 14, 30, 59)),
    ],
)
def test_moments_without_a_zone_are_the_computers(
    text: str, first: tuple[int, ...], last: tuple[int, ...]
) -> None:
    def local(moment: str) -> tuple[int, ...]:
        return datetime.fromisoformat(moment).astimezone().timetuple()[:6]

    assert local(parse_since(text)) == first
    assert local(parse_until(text)) == last


@pytest.mark.parametrize(
    "text", ["0001", "0001-01", "0001-01-01", "9999", "9999-12", "9999-12-31", "9999-W52-5"]
)
def test_the_ends_of_time(text: str) -> None:
    first, last = parse_since(text), parse_until(text)
    assert first < last
    assert Filters(since=text, until=text).expression() is not None
    far = {"created_at": "2026-11-22T10:00:00.000Z"}
    assert Filters(since="0001-01-01", until="9999-12-31").matches(far)
    assert Filters(since=text).matches(far) == (text < "2026")
    assert Filters(until=text).matches(far) == (text > "2026")


def test_so_long_ago() -> None:
    now = datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert parse_since("7d", now=now) == "2026-11-15T10:00:00.000Z"
    assert parse_since("12 H", now=now) == "2026-11-21T22:00:00.000Z"
    assert parse_since("45m", now=now) == "2026-11-22T09:15:00.000Z"
    assert parse_since("2w", now=now) == "2026-11-08T10:00:00.000Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13",
        "2026-02-30",
        "7",
        "99999999w",
        "2026-W54",
        "2026-W47-8",
        "7d ago",
        "2026-11-20T25:00",
    ],
)
def test_no_date(text: str) -> None:
    with pytest.raises(InvalidQueryError):
        parse_since(text)
