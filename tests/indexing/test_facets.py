"""Facets: what clips are filtered by is found by its index, in new tables and in those of earlier versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest

from indexing import ClipIndex, Filters, IndexRow, facets, lance, schema, upkeep
from indexing.query import search

INJECTION = "x' OR '1'='1"
Unit = Callable[..., np.ndarray]
MakeRow = Callable[..., IndexRow]


@pytest.fixture
def table(tmp_path: Path) -> Callable[[], Any]:
    return lambda: lancedb.connect(tmp_path / "index").open_table("clips")


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred rows are a large table."""
    monkeypatch.setattr(upkeep, "LARGE_ROWS", 100)


@pytest.fixture
def earlier(tmp_path: Path, small_limits: None) -> ClipIndex:
    """The index whose table an earlier version made, still empty."""
    columns = schema.arrow_schema(8)
    without = columns.remove(columns.get_field_index(facets.COLUMN))
    upkeep.furnish(lance.create_table(tmp_path / "index", without))
    return ClipIndex(tmp_path / "index")


def found(index: ClipIndex, **asked: Any) -> list[str]:
    return index.select(where=Filters(**asked).expression())


def rows_of(row: MakeRow, unit: Unit, count: int) -> list[IndexRow]:
    models = ("facebook/musicgen-small", "a/b", INJECTION, None)
    return [
        row(f"{i:03}", vector=unit(i), tags=(f"Tag {i % 5}", "Straße"), model=models[i % 4])
        for i in range(count)
    ]


def is_indexed(table: Any) -> bool:
    return any(index.columns == [facets.COLUMN] for index in table.list_indices())


def plan(table: Any, **asked: Any) -> str:
    where = Filters(**asked).expression()
    assert where is not None
    return str(table.search().where(where.on(table)).explain_plan())


def every(count: int, step: int, first: int = 0) -> list[str]:
    return [f"{i:03}" for i in range(first, count, step)]


def check_filters(index: ClipIndex, count: int) -> None:
    assert found(index, tags=("tag 3",)) == every(count, 5, 3)
    assert found(index, tags=("TAG 3", "STRASSE")) == every(count, 5, 3)
    assert found(index, tags=("tag",)) == []
    assert found(index, tags=(INJECTION,)) == []
    assert found(index, tags=("facebook/musicgen-small",)) == []
    assert found(index, model="musicgen-small") == every(count, 4)
    assert found(index, model="facebook/musicgen-small") == every(count, 4)
    assert found(index, model="facebook") == []
    assert found(index, model="Musicgen-small") == []
    assert found(index, model="b") == every(count, 4, 1)
    assert found(index, model=INJECTION) == every(count, 4, 2)
    assert found(index, model="\\' OR 1=1 --") == []
    assert found(index, tags=("tag 0",), model="b", kind="generated", min_duration=1) == every(count, 20, 5)


def test_what_facets_a_clip_has() -> None:
    clip = dict.fromkeys(facets.SOURCES) | {"created_at": "2026-11-22T10:00:00.000Z"}
    made = ["date:202", "date:2026", "date:2026-11", "date:2026-11-22", "date:2026-11-22T10"]

    def named(tags: list[str], model: str | None) -> list[str]:
        found = facets.of_row({**clip, "tags": tags, "model": model})
        assert found[-len(made) :] == made
        return found[: -len(made)]

    assert named(["Late  Night", "LATE NIGHT", "\N{LATIN SMALL LETTER SHARP S}"], None) == [
        "tag:late night",
        "tag:ss",
    ]
    assert named([], "a/b/c") == ["model:a/b/c", "model:c"]
    assert named(["starter"], "starter") == ["tag:starter", "model:starter"]
    assert named(["e\u0301"], "x\ny/z") == ["tag:\u00e9", "model:x\ny/z"]
    assert named([" "], "") == []
    measured = {"duration": 10.0, "tempo_bpm": 119.4, "loudness_lufs": -70.0}
    assert facets.of_row({**clip, **measured})[5:] == [
        "duration:10",
        "duration#1",
        "tempo_bpm:115+",
        "tempo_bpm#2",
        "loudness_lufs:-",
        "loudness_lufs#0",
    ]


def test_a_large_table_finds_them_by_index_and_new_rows_at_once(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any], small_limits: None
) -> None:
    index.upsert(rows_of(row, unit, 120))
    assert is_indexed(table())
    for asked in ({"tags": ("tag 3",)}, {"model": "b"}, {"min_duration": 1}, {"since": "2020"}):
        assert "[array_has_any(facets" in plan(table(), **asked)
        assert "refine_filter=--" in plan(table(), **asked)
    check_filters(index, 120)

    index.upsert([row("new", vector=unit(500), tags=("fresh", INJECTION), model="c/new", document="zither")])
    assert found(index, tags=("FRESH",)) == found(index, model="new") == ["new"]
    assert found(index, tags=(INJECTION,)) == ["new"]
    hits = search(index, "zither", unit(500), filters=Filters(tags=("fresh",), model="new"))
    assert [hit.id for hit in hits] == ["new"]
    assert [
        hit.id for hit in index.nearest(unit(7), where=Filters(tags=("tag 2",)).expression(), limit=1)
    ] == ["007"]

    index.upsert([row("003", tags=("other",), model="a/b")])
    assert "003" not in found(index, tags=("tag 3",))
    assert found(index, tags=("other",)) == ["003"]
    index.remove(["new"])
    index.optimise()
    assert found(index, tags=("fresh",)) == []
    assert found(index, tags=("other",)) == ["003"]


def test_a_small_table_does_without_the_index(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any]
) -> None:
    index.upsert(rows_of(row, unit, 40))
    assert not is_indexed(table())
    check_filters(index, 40)


def test_a_table_of_an_earlier_version_is_right_and_gets_its_facets(
    earlier: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any]
) -> None:
    earlier.upsert(rows_of(row, unit, 90))
    assert facets.COLUMN not in table().schema.names
    check_filters(earlier, 90)
    earlier.upsert(rows_of(row, unit, 120))
    assert facets.COLUMN in table().schema.names
    assert is_indexed(table())
    check_filters(earlier, 120)
    earlier.upsert([row("new", tags=("fresh",), model="c/new")])
    assert found(earlier, tags=("fresh",)) == found(earlier, model="new") == ["new"]
    stored = table().to_arrow().select([*facets.SOURCES, facets.COLUMN]).to_pylist()
    assert all(set(r[facets.COLUMN]) == set(facets.of_row(r)) for r in stored)


def test_rows_that_an_earlier_version_adds_later_get_their_facets(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any], small_limits: None
) -> None:
    index.upsert(rows_of(row, unit, 120))
    columns = table().schema
    late = schema.to_arrow([row("late", vector=unit(9), tags=("fresh",), model="c/new")], columns)
    table().add(late.drop_columns([facets.COLUMN]))
    assert found(index, tags=("fresh",)) == []
    index.optimise()
    assert found(index, tags=("fresh",)) == found(index, model="new") == ["late"]
    check_filters(index, 120)


def test_a_write_beside_the_one_that_adds_facets_has_them(
    earlier: ClipIndex,
    row: MakeRow,
    unit: Unit,
    table: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    earlier.upsert(rows_of(row, unit, 90))
    seen = schema.with_facets

    def with_facets(rows: Any, columns: Any) -> Any:
        made = seen(rows, columns)
        if facets.COLUMN not in table().schema.names:  # the table is open; now another process is quicker
            upkeep._add_facets(table())
        return made

    monkeypatch.setattr(schema, "with_facets", with_facets)
    earlier.upsert([row("000", tags=("fresh",)), row("new", tags=("fresh",), model="c/new")])
    stored = {r["id"]: r[facets.COLUMN] for r in table().to_arrow().select(["id", facets.COLUMN]).to_pylist()}
    assert stored["000"][0] == "tag:fresh"
    assert stored["new"][:3] == ["tag:fresh", "model:c/new", "model:new"]


def write_as_before(table: Any, rows: list[IndexRow]) -> None:
    """As a process of an earlier version does, or one that ended before it gave its rows their facets."""
    table.add(schema.to_arrow(rows, table.schema).drop_columns([facets.COLUMN]))


def test_the_index_is_made_when_all_rows_have_facets(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any], small_limits: None
) -> None:
    rows = rows_of(row, unit, 120)
    index.upsert(rows[:60])
    write_as_before(table(), rows[60:90])
    check_filters(index, 90)
    index.upsert(rows[90:])  # now it is large
    assert is_indexed(table())
    check_filters(index, 120)


def test_rows_without_facets_get_them_when_files_are_joined(
    index: ClipIndex,
    row: MakeRow,
    unit: Unit,
    table: Callable[[], Any],
    small_limits: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = rows_of(row, unit, 240)
    index.upsert(rows[:120])
    write_as_before(table(), rows[120:130])
    monkeypatch.setattr(upkeep, "_UNINDEXED_KEPT", 50)
    index.upsert(rows[130:])
    check_filters(index, 240)
