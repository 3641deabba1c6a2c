"""Upkeep: a table stays fast whatever is written, new rows are found at once, and nobody waits long for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest
from filelock import FileLock

from indexing import ClipIndex, Filters, IndexRow, background, lookup, upkeep

Unit = Callable[..., np.ndarray]
MakeRow = Callable[..., IndexRow]


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred rows are a large table."""
    monkeypatch.setattr(upkeep, "LARGE_ROWS", 300)
    monkeypatch.setattr(upkeep, "_UNINDEXED_KEPT", 50)
    monkeypatch.setattr(upkeep, "_SEGMENTS_KEPT", 2)


@pytest.fixture
def table(tmp_path: Path) -> Callable[[], Any]:
    return lambda: lancedb.connect(tmp_path / "index").open_table("clips")


def indexes(table: Any) -> dict[str, Any]:
    return {index.columns[0]: index for index in table.list_indices()}


def clustered(rows: int, seed: int = 0, dimension: int = 384) -> np.ndarray:
    choose = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(20, dimension))
    vectors = centres[choose.integers(20, size=rows)] + 0.3 * choose.normal(size=(rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_single_writes_leave_few_files(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any]
) -> None:
    most = 0
    for i in range(50):
        index.upsert([row(f"{i:02}", vector=unit(i))])
        most = max(most, table().stats()["fragment_stats"]["num_fragments"])
    assert most <= 21
    assert index.ids() == {f"{i:02}" for i in range(50)}


def test_rows_outside_the_indexes_stay_few(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any], small_limits: None
) -> None:
    for start in range(0, 280, 40):
        index.upsert([row(f"{i:03}", vector=unit(i)) for i in range(start, start + 40)])
        assert indexes(table())["document"].num_unindexed_rows <= 50
    assert set(indexes(table())) == {"document"}, "an exact search is quick enough for few rows"


def test_a_large_table_gets_its_indexes_and_finds_new_rows_at_once(
    index: ClipIndex, row: MakeRow, table: Callable[[], Any], small_limits: None
) -> None:
    vectors = clustered(400)
    index.upsert([row(f"{i:04}", vector=vector) for i, vector in enumerate(vectors)])
    scalars = {"id", "parent_id", "facets", "key", "kind", "rating", "has_speech"}
    scalars |= {"duration", "tempo_bpm", "loudness_lufs", "created_at"}
    assert set(indexes(table())) == {"document", "vector", *scalars}
    assert indexes(table())["vector"].num_unindexed_rows == 0

    fresh = clustered(1, seed=9)[0]
    index.upsert([row("fresh", vector=fresh, document="zither")])
    assert indexes(table())["vector"].num_unindexed_rows == 1
    assert index.nearest(fresh, limit=1)[0].id == "fresh"
    assert [id for id, _ in index.keyword("zither")] == ["fresh"]
    index.upsert([row("fresh", vector=-fresh, document="sitar")])
    assert index.nearest(fresh, limit=1)[0].id != "fresh"
    assert index.nearest(-fresh, limit=1)[0].id == "fresh"
    assert index.keyword("zither") == []
    index.remove(["fresh"])
    assert index.nearest(-fresh, limit=1)[0].id != "fresh"


def test_a_change_of_one_row_leaves_the_others_in_the_indexes(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any], small_limits: None
) -> None:
    index.upsert([row(f"{i:04}", vector=vector) for i, vector in enumerate(clustered(400))])
    index.put_vectors("clap", {"0007": unit(1, 4), "0008": unit(2, 4), "gone": unit(3, 4)})
    index.optimise()
    assert {config.num_unindexed_rows for config in table().list_indices()} == {0}
    index.upsert([row("0007", vector=clustered(400)[7], rating=5), row("new")])
    index.put_vectors("clap", {"0009": unit(4, 4)})
    assert {config.num_unindexed_rows for config in table().list_indices()} == {3}
    assert index.count() == 401
    ids, vectors = index.vectors("clap")
    assert dict(zip(ids, vectors.tolist(), strict=True)) == {
        "0007": unit(1, 4).tolist(),
        "0008": unit(2, 4).tolist(),
        "0009": unit(4, 4).tolist(),
    }
    found = index.get("0007")
    assert found is not None
    assert found["rating"] == 5


def test_what_the_index_finds_is_what_an_exact_search_finds(
    index: ClipIndex, row: MakeRow, small_limits: None
) -> None:
    vectors = clustered(1_000)
    index.upsert([row(f"{i:04}", vector=vector) for i, vector in enumerate(vectors)])
    for query in clustered(20, seed=5):
        cosines = vectors.astype(np.float64) @ query.astype(np.float64)
        hits = index.nearest(query, limit=10)
        assert [hit.id for hit in hits] == [f"{i:04}" for i in np.argsort(-cosines)[:10]]
        assert hits[0].score == pytest.approx(cosines.max(), abs=1e-6)
    everything = index.nearest(vectors[0], limit=2_000)
    assert len(everything) == 1_000, "whoever asks for all gets all, index or not"


@pytest.mark.parametrize("compared", [0, 3, 4])
def test_a_filter_that_few_pass_is_searched_for_everywhere(
    compared: int,
    index: ClipIndex,
    row: MakeRow,
    table: Callable[[], Any],
    small_limits: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lancedb.expr import col, lit
    from lancedb.index import IvfRq

    vectors = clustered(400)
    index.upsert([row(f"{i:04}", vector=vector, rating=i % 100) for i, vector in enumerate(vectors)])
    table().create_index("vector", config=IvfRq(distance_type="cosine", num_partitions=16), replace=True)
    monkeypatch.setattr(lookup, "_FILTERED_PROBES", 1)
    monkeypatch.setattr(lookup, "_COMPARED", compared)
    assert index.nearest(vectors[0], where=col("rating") == lit(700), limit=10) == []
    found = index.nearest(vectors[0], where=col("rating") == lit(7), limit=10)
    expected = sorted(range(7, 400, 100), key=lambda i: -float(vectors[i] @ vectors[0]))
    assert [hit.id for hit in found] == [f"{i:04}" for i in expected]


def test_a_vector_index_of_many_parts_is_made_anew(
    index: ClipIndex, row: MakeRow, table: Callable[[], Any], small_limits: None
) -> None:
    most = 0
    for start in range(0, 1_200, 100):
        some = clustered(100, seed=start)
        index.upsert([row(f"{start + i:04}", vector=vector) for i, vector in enumerate(some)])
        most = max(most, getattr(indexes(table()).get("vector"), "num_segments", 0))
    assert 1 < most <= 3
    assert index.nearest(clustered(100, seed=1_100)[0], limit=1)[0].id == "1100"


def test_a_space_that_few_rows_are_in_gets_no_index(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any], small_limits: None
) -> None:
    index.upsert([row(f"{i:04}", vector=vector) for i, vector in enumerate(clustered(400))])
    index.put_vectors("clap", {"0007": unit(1, 4), "0009": unit(2, 4)})
    index.optimise()
    assert "space_clap" not in indexes(table())
    assert [hit.id for hit in index.nearest(unit(2, 4), space="clap")] == ["0009", "0007"]


def test_optimise_leaves_nothing_to_do(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any]
) -> None:
    index.upsert([row("a", vector=unit(0))])
    index.upsert([row("b", vector=unit(1))])
    index.optimise()
    assert table().stats()["fragment_stats"]["num_fragments"] == 1
    assert indexes(table())["document"].num_unindexed_rows == 0
    before = len(table().list_versions())
    index.optimise()
    assert len(table().list_versions()) == before


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The commands that would have been started."""
    commands: list[list[str]] = []

    class Done:
        def poll(self) -> int:
            return 0

    def note(command: list[str], **_: object) -> Done:
        commands.append(command)
        return Done()

    monkeypatch.setattr(background.subprocess, "Popen", note)
    return commands


def test_a_write_to_a_large_table_leaves_upkeep_to_the_background(
    index: ClipIndex,
    row: MakeRow,
    unit: Unit,
    table: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    small_limits: None,
    started: list[list[str]],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(upkeep, "INLINE_ROWS", 100)
    for start in range(0, 200, 100):
        index.upsert([row(f"{i:03}", vector=unit(i)) for i in range(start, start + 100)])
    assert started == [[sys.executable, "-m", "indexing.background", str(tmp_path / "index")]]
    assert indexes(table())["document"].num_unindexed_rows == 100, "not done by the write itself"
    index.upsert([row("more", vector=unit(1))])
    assert len(started) == 1, "once a minute is enough"
    os.utime(tmp_path / "index" / background.LOCK_NAME, (time.time() - 90, time.time() - 90))
    index.upsert([row("more", vector=unit(2))])
    assert len(started) == 2


def test_the_background_process_does_it(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any], tmp_path: Path
) -> None:
    for i in range(5):
        index.upsert([row(f"{i}", vector=unit(i))])
    assert background.start(tmp_path / "index")
    (process,) = background._started
    assert process.wait(timeout=60) == 0
    assert table().stats()["fragment_stats"]["num_fragments"] == 1
    assert index.ids() == {f"{i}" for i in range(5)}


def test_only_one_keeps_a_table_up(index: ClipIndex, row: MakeRow, tmp_path: Path) -> None:
    index.upsert([row("a")])
    with FileLock(tmp_path / "index" / background.LOCK_NAME):
        assert not background.run(tmp_path / "index")
    assert background.run(tmp_path / "index")


def test_a_folder_that_cannot_be_written_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> subprocess.Popen[bytes]:
        raise PermissionError("no")

    monkeypatch.setattr(background.subprocess, "Popen", refuse)
    assert not background.start(tmp_path)
    assert not background.start(tmp_path / "missing")


def test_a_damaged_table_is_told_by_the_exit_code(tmp_path: Path, index: ClipIndex, row: MakeRow) -> None:
    index.upsert([row("a")])
    for manifest in (tmp_path / "index" / "clips.lance" / "_versions").glob("*.manifest"):
        manifest.write_bytes(b"not a manifest")
    command = [sys.executable, "-W", "error", "-m", "indexing.background", str(tmp_path / "index")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_rows_without_facets_are_mended_in_a_table_that_shrank(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any], small_limits: None
) -> None:
    index.upsert([row(f"{i:03}", vector=unit(i), tags=("old",)) for i in range(320)])
    index.remove([f"{i:03}" for i in range(200)])
    table().update(where="id = '300'", values_sql={"facets": "NULL"})  # as an older version writes rows
    index.optimise()
    assert "300" in index.select(where=Filters(tags=("old",)).expression())


def test_vectors_of_odd_lengths_are_compared_one_by_one(
    index: ClipIndex, row: MakeRow, table: Callable[[], Any], small_limits: None
) -> None:
    vectors = clustered(320, dimension=12)
    index.upsert([row(f"{i:03}", vector=vector) for i, vector in enumerate(vectors)])
    index.optimise()
    assert "vector" not in indexes(table())
    assert index.search(vectors[7])[0].id == "007"


def test_a_space_of_few_vectors_is_nothing_to_do(
    index: ClipIndex, row: MakeRow, unit: Unit, table: Callable[[], Any], small_limits: None
) -> None:
    """Else every write to a large table would count them, and a process would be started every minute."""
    index.upsert([row(f"{i:04}", vector=vector) for i, vector in enumerate(clustered(400))])
    index.put_vectors("clap", {"0007": unit(1), "0009": unit(2)})
    index.optimise()
    assert upkeep.due(table()).train == ("space_clap",)
    assert not upkeep.due(table())
    index.put_vectors("clap", {f"{i:04}": unit(i) for i in range(350)})
    assert "space_clap" in indexes(table())


def test_old_versions_are_dropped(
    index: ClipIndex, row: MakeRow, table: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        index.upsert([row("a", rating=number % 5)])
    before = len(table().list_versions())
    index.optimise()
    assert len(table().list_versions()) > before, "readers that began before may finish"
    monkeypatch.setattr(upkeep, "_VERSIONS_KEPT", timedelta(milliseconds=1))
    index.upsert([row("b")])
    index.optimise()
    assert len(table().list_versions()) < before
    assert index.ids() == {"a", "b"}
