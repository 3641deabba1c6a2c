"""Buckets: whatever range is asked for, whole buckets and what is left at its ends hold just the values in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexing import ClipIndex, Filters, IndexRow, buckets, facets, upkeep
from indexing.buckets import SCALES, Scale

EDGES = sorted({edge for scale in SCALES.values() for edge in scale.edges})
NEAR_EDGES = [math.nextafter(edge, way) for edge in EDGES for way in (-math.inf, math.inf)]
INFINITE = [-math.inf, math.inf]
numbers = st.one_of(
    st.sampled_from(EDGES), st.sampled_from(NEAR_EDGES), st.sampled_from(INFINITE), st.floats(-70, 5_000)
)
ranges = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
moments = st.one_of(
    st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31)),
    st.datetimes(datetime(2024, 12, 30), datetime(2025, 3, 2)),
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)).map(lambda m: datetime(m.year, m.month, 1)),
    st.sampled_from([datetime(1970, 1, 1), datetime(2100, 1, 1), datetime(2024, 2, 29, 23, 59, 59, 999000)]),
)


def text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


@settings(max_examples=400)
@given(st.sampled_from(list(SCALES.values())), ranges, numbers)
def test_a_number_is_in_a_range_exactly_when_a_bucket_or_an_end_has_it(
    scale: Scale, asked: tuple[float, float], value: float
) -> None:
    cover = scale.cover(*asked)
    in_buckets = set(scale.of(value)) & set(cover.buckets)
    at_ends = [low <= value <= high for low, high in cover.rest]
    assert bool(in_buckets or any(at_ends)) == (asked[0] <= value <= asked[1])
    assert len(cover.rest) <= 2


def test_round_ranges_are_whole_buckets_and_wide_ones_are_few() -> None:
    length, tempo = SCALES["duration"], SCALES["tempo_bpm"]
    assert length.cover(10, 10).buckets == ("duration:10",)
    assert length.cover(10, 12).buckets == (
        "duration:10",
        "duration:10+",
        "duration:11",
        "duration:11+",
        "duration:12",
    )
    for low, high in ((10, math.inf), (-math.inf, 30), (0, 3_600)):
        assert length.cover(low, high).rest == ()
        assert len(length.cover(low, high).buckets) < 50
    assert tempo.cover(-math.inf, math.inf).buckets == tuple(f"tempo_bpm#{n}" for n in range(6))
    assert tempo.cover(117.6, 122.4).rest == (
        (117.6, math.nextafter(120, 0)),
        (math.nextafter(120, 200), 122.4),
    )
    assert tempo.cover(117.6, 117.7).buckets == ()
    assert SCALES["loudness_lufs"].cover(-16.5, -15.5).rest == ()


def test_what_is_no_number_is_in_no_bucket() -> None:
    for scale in SCALES.values():
        assert scale.of(None) == scale.of(math.nan) == []
        assert scale.of(math.inf) != [] != scale.of(-math.inf)


@settings(max_examples=400)
@given(st.one_of(st.none(), moments), st.one_of(st.none(), moments), moments)
def test_a_moment_is_in_a_range_exactly_when_a_bucket_or_an_end_has_it(
    first: datetime | None, second: datetime | None, value: datetime
) -> None:
    since, before = (None if end is None else text(end) for end in (first, second))
    stored = text(value) + "Z"
    cover = buckets.cover_moments(since, before)
    in_buckets = set(buckets.of_moment(stored)) & set(cover.buckets)
    at_ends = [(low is None or stored >= low) and (high is None or stored < high) for low, high in cover.rest]
    asked = (since is None or stored >= since) and (before is None or stored < before)
    assert bool(in_buckets or any(at_ends)) == asked
    assert len(cover.rest) <= 2


def test_moments_are_covered_by_the_greatest_buckets() -> None:
    cover = buckets.cover_moments("2025-12-30T22:00:00.000", "2028-02-02T01:30:00.000")
    assert cover.buckets == (
        "date:2025-12-30T22",
        "date:2025-12-30T23",
        "date:2025-12-31",
        "date:2026",
        "date:2027",
        "date:2028-01",
        "date:2028-02-01",
        "date:2028-02-02T00",
    )
    onward = buckets.cover_moments("2028-01-01T00:00:00.000", None)
    assert onward.buckets[:3] == ("date:2028", "date:2029", "date:203")
    assert len(onward.buckets) == 9
    assert cover.rest == (("2028-02-02T01:00:00.000", "2028-02-02T01:30:00.000"),)
    within_an_hour = ("2026-11-22T10:10:00.000", "2026-11-22T10:50:00.000")
    assert buckets.cover_moments(*within_an_hour).rest == (within_an_hour,)
    assert buckets.cover_moments("9999-12-31T23:59:59.999", None).buckets == ()


def test_sql_says_the_same_of_every_value(tmp_path: Path) -> None:
    values = [*EDGES, *NEAR_EDGES, *INFINITE, math.nan, None, 119.4, -0.25, 1e300, -1e300, 5e-324]
    days = [datetime(2024, 2, 28, 22) + timedelta(minutes=37 * n) for n in range(len(values))]
    tags = [["Calm", "Late  Night"], [], None, ["Straße"]]
    models = ["facebook/musicgen-small", None, "", "a\nb/c", "starter"]
    rows = [
        {
            **dict.fromkeys(SCALES, value),
            "created_at": text(day) + "Z",
            "tags": tags[n % 4],
            "tag_text": facets.tag_text(tags[n % 4] or ()),
            "model": models[n % 5],
        }
        for n, (value, day) in enumerate(zip(values, days, strict=True))
    ]
    columns = pa.schema(
        [
            *(pa.field(name, pa.float64()) for name in SCALES),
            *(pa.field(name, pa.string()) for name in ("created_at", "tag_text", "model")),
            pa.field("tags", pa.list_(pa.string())),
        ]
    )
    table = lancedb.connect(tmp_path).create_table("rows", pa.Table.from_pylist(rows, schema=columns))
    table.add_columns({"found": facets.sql()})
    for row in table.to_arrow().to_pylist():
        assert sorted(row.pop("found")) == sorted(facets.of_row(row)), row


@pytest.fixture
def clips(
    index: ClipIndex,
    row: Callable[..., IndexRow],
    unit: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, IndexRow]:
    """Rows about edges, in an index that has its facets indexed."""
    monkeypatch.setattr(upkeep, "LARGE_ROWS", 100)
    start = datetime(2025, 12, 30, 20, 59, 59, 999000)
    made = []
    for n in range(240):
        edges = [
            scale.edges[(n * step) % len(scale.edges)]
            for step, scale in zip((1, 3, 7), SCALES.values(), strict=True)
        ]
        length, tempo, loudness = (edge + (0.0, 0.3, -1e-9)[n % 3] for edge in edges)
        made.append(
            row(
                f"{n:03}",
                vector=unit(n),
                duration=max(0.0, length),
                tempo_bpm=None if n % 11 == 0 else tempo,
                loudness_lufs=None if n % 13 == 0 else loudness,
                created_at=text(start + timedelta(minutes=41 * n, milliseconds=n % 3)) + "Z",
                tags=(f"tag {n % 3}",),
                rating=n % 6 or None,
            )
        )
    index.upsert(made)
    return {r.id: r for r in made}


choices = st.fixed_dictionaries(
    {},
    optional={
        "min_duration": st.one_of(st.sampled_from(SCALES["duration"].edges[:60]), st.floats(0, 100)),
        "max_duration": st.one_of(st.sampled_from(SCALES["duration"].edges[20:]), st.floats(50, 1e5)),
        "bpm": st.one_of(
            st.tuples(st.integers(30, 120), st.integers(120, 260)),
            st.tuples(st.floats(50, 100), st.just(math.inf)),
        ),
        "loudness": st.tuples(st.floats(-70, -20), st.sampled_from([-20.0, -19.5, -3.25, 0.0, math.inf])),
        "since": st.datetimes(datetime(2025, 12, 29), datetime(2026, 1, 7)).map(datetime.isoformat),
        "until": st.sampled_from(["2025", "2025-12-31", "2026-01-03", "2026", "2026-01-02 14:30", "2099"]),
        "tags": st.sampled_from([("tag 1",), ("TAG 2",)]),
        "rating": st.integers(1, 5),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=choices)
def test_the_index_finds_what_the_values_say(
    index: ClipIndex, clips: dict[str, IndexRow], asked: dict[str, Any]
) -> None:
    if asked.get("min_duration", 0) > asked.get("max_duration", math.inf):
        asked["max_duration"] = asked["min_duration"]
    filters = Filters(**asked)
    where = filters.expression()
    found = index.select(where=where)
    names = ("duration", "tempo_bpm", "loudness_lufs", "created_at", "tags", "rating")
    assert found == [id for id, r in clips.items() if filters.matches({n: getattr(r, n) for n in names})]
    if where is not None:
        assert "array_has_any" in str(where.on(index._open())) or not any(f.facets for f in where.faceted)  # type: ignore[arg-type]
