"""Moments as people type them: dates with and without a zone, and so long ago."""

from datetime import UTC, datetime

import pytest

from indexing.errors import InvalidQueryError
from indexing.moments import parse_since, parse_until


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-11-20T14:30:15Z", "2026-11-20T14:30:15.000Z", "2026-11-20T14:30:15.999Z"),
        ("2026-11-20T14:30+02:00", "2026-11-20T12:30:00.000Z", "2026-11-20T12:30:59.999Z"),
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


def test_so_long_ago() -> None:
    now = datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert parse_since("7d", now=now) == "2026-11-15T10:00:00.000Z"
    assert parse_since("12 H", now=now) == "2026-11-21T22:00:00.000Z"
    assert parse_since("2w", now=now) == "2026-11-08T10:00:00.000Z"


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13", "2026-02-30", "7", "99999999w", "7d ago", "2026-11-20T25:00"]
)
def test_no_date(text: str) -> None:
    with pytest.raises(InvalidQueryError):
        parse_since(text)
