"""ClipIndex among several processes, and over damaged files."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest

from indexing import ClipIndex, IndexDamagedError, IndexingError, IndexRow, lance, schema, store
from indexing.query import search

Unit = Callable[..., np.ndarray]
MakeRow = Callable[..., IndexRow]
Start = Callable[..., subprocess.Popen[str]]
OutputOf = Callable[..., str]

# Arguments: the folder, a name for the writer, how many rounds.
WRITER = """
    import sys
    from pathlib import Path
    import numpy as np
    from indexing import ClipIndex, IndexRow

    folder, name, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    index = ClipIndex(folder)
    index.count()  # imports LanceDB before the start
    print("ready", flush=True)
    sys.stdin.readline()
    for i in range(rounds):
        index.upsert([IndexRow(
            id=f"shared {i}", document="d", path=f"{name}.wav", duration=1.0, sample_rate=32_000, channels=1,
            created_at="2026-11-22T10:00:00Z", kind="generated", vector=np.eye(8)[i % 8], embedder="test/embedder",
        )])
"""


def start_together(start: Start, folder: Path, names: list[str], rounds: int) -> list[subprocess.Popen[str]]:
    """Writers that begin at the same moment."""
    writers = [start(WRITER, folder, name, rounds) for name in names]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n", writer.communicate()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    return writers


def assert_done(writers: list[subprocess.Popen[str]]) -> None:
    for writer in writers:
        _, errors = writer.communicate(timeout=300)
        assert writer.returncode == 0, errors


def test_four_writers_of_the_same_ids_leave_one_row_each(
    start: Start, index: ClipIndex, tmp_path: Path
) -> None:
    assert_done(start_together(start, tmp_path / "index", ["a", "b", "c", "d"], rounds=15))
    assert index.count() == 15
    assert index.ids() == {f"shared {i}" for i in range(15)}
    assert len(index.search(np.ones(8), limit=100)) == 15


def test_optimising_beside_a_writer(start: Start, index: ClipIndex, tmp_path: Path) -> None:
    writers = start_together(start, tmp_path / "index", ["a"], rounds=30)
    while writers[0].poll() is None:
        index.optimise()
    assert_done(writers)
    assert index.ids() == {f"shared {i}" for i in range(30)}


def test_a_real_conflict_is_tried_again(index: ClipIndex, row: MakeRow, unit: Unit, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    for i in range(3):
        index.upsert([row(f"{i}", vector=unit(i))])
    stale = lancedb.connect(folder).open_table("clips")
    stale.count_rows()
    index.upsert([row(f"{i}", vector=unit(9 - i)) for i in range(3)])
    index.optimise()
    failures = []

    def optimise() -> str:
        table = lance.open_table(folder) if failures else stale
        assert table is not None
        try:
            table.optimize()
        except RuntimeError as error:
            failures.append(error)
            raise
        return "done"

    assert lance.retry(folder, optimise) == "done"
    assert len(failures) == 1


def test_only_conflicts_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance, "_LONGEST_PAUSE_S", 0)
    calls = []

    def fail(message: str) -> None:
        calls.append(message)
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="something else"):
        lance.retry(tmp_path, lambda: fail("something else"))
    assert len(calls) == 1
    with pytest.raises(IndexingError, match="busy"):
        lance.retry(tmp_path, lambda: fail("Retryable commit conflict"))
    assert len(calls) == 1 + 12


def test_others_writes_are_seen(index: ClipIndex, row: MakeRow, unit: Unit, tmp_path: Path) -> None:
    other = ClipIndex(tmp_path / "index")
    index.upsert([row("a", vector=unit(0))])
    assert other.ids() == {"a"}
    index.upsert([row("b", vector=unit(1))])
    assert [hit.id for hit in other.search(unit(1), limit=1)] == ["b"]
    index.clear()
    assert other.search(unit(1)) == []
    index.upsert([row("c", vector=unit(2, 16))])
    assert other.get("a") is None
    assert [hit.id for hit in other.search(unit(2, 16))] == ["c"]


def test_a_kept_table_is_never_an_old_one(
    start: Start, index: ClipIndex, row: MakeRow, unit: Unit, tmp_path: Path
) -> None:
    """Commits by another process, one by one, and each is seen as soon as it is there."""
    code = """
        import sys
        from pathlib import Path
        import numpy as np
        from indexing import ClipIndex, IndexRow
        index = ClipIndex(Path(sys.argv[1]))
        for line in sys.stdin:
            number = int(line)
            if number % 12 == 11:
                index.clear()
            index.upsert([IndexRow(
                id=str(number), document="d", path="p", duration=1.0, sample_rate=1, channels=1,
                created_at="c", kind="generated", vector=np.ones(8), embedder="test/embedder",
            )])
            print(number, flush=True)
    """
    writer = start(code, tmp_path / "index")
    assert writer.stdin is not None
    assert writer.stdout is not None
    expected: set[str] = set()
    kept = 0
    for number in range(30):
        if number % 12 == 11:
            expected.clear()
        writer.stdin.write(f"{number}\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == f"{number}\n"
        expected.add(str(number))
        assert index.ids() == expected
        if number % 10 == 9:
            time.sleep(0.25)  # the table has settled, so it is kept
            assert index.ids() == expected
            kept += tmp_path / "index" in lance._kept
    assert kept == 3
    assert_done([writer])


def test_two_commits_in_one_step_of_the_clock_are_both_seen(
    index: ClipIndex, row: MakeRow, tmp_path: Path
) -> None:
    versions = tmp_path / "index" / "clips.lance" / "_versions"
    index.upsert([row("a")])
    now = time.time_ns()
    os.utime(versions, ns=(now, now))
    assert index.ids() == {"a"}
    lancedb.connect(tmp_path / "index").open_table("clips").delete("id = 'a'")  # as another process does it
    os.utime(versions, ns=(now, now))
    assert index.ids() == set()


def truncate_manifests(table: Path) -> None:
    for manifest in (table / "_versions").glob("*.manifest"):
        manifest.write_bytes(manifest.read_bytes()[:40])


def garble_manifests(table: Path) -> None:
    for manifest in (table / "_versions").glob("*.manifest"):
        manifest.write_bytes(b"not a manifest" * 50)


def remove_manifests(table: Path) -> None:
    for file in (table / "_versions").iterdir():
        file.unlink()


def remove_data(table: Path) -> None:
    for file in (table / "data").iterdir():
        file.unlink()


def garble_data(table: Path) -> None:
    for file in (table / "data").iterdir():
        file.write_bytes(b"\xa5" * file.stat().st_size)


@pytest.mark.parametrize(
    "damage", [truncate_manifests, garble_manifests, remove_manifests, remove_data, garble_data]
)
def test_damage_is_told_and_can_be_cleared(
    index: ClipIndex, row: MakeRow, unit: Unit, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    rows = [row("a", vector=unit(0)), row("b", vector=unit(1))]
    index.upsert(rows)
    damage(tmp_path / "index" / "clips.lance")
    lance._kept.clear()  # as a process sees it that comes later
    attempts: list[Callable[[], object]] = [
        lambda: index.search(unit(0)),
        index.ids,
        lambda: index.get("a"),
        index.embedder,
        lambda: index.upsert([row("c", vector=unit(2))]),
    ]
    for attempt in attempts:
        with pytest.raises(IndexDamagedError, match="audiolib index --rebuild"):
            attempt()
    index.clear()
    index.upsert(rows)
    assert [hit.id for hit in index.search(unit(1), limit=1)] == ["b"]


def test_another_format_is_refused(
    index: ClipIndex, row: MakeRow, unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.upsert([row("a", vector=unit(0))])
    monkeypatch.setattr(schema, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
    lance._kept.clear()
    for attempt in (lambda: index.search(unit(0)), lambda: index.upsert([row("b", vector=unit(1))])):
        with pytest.raises(IndexDamagedError, match=r"format 2.*--rebuild"):
            attempt()
    index.clear()
    index.upsert([row("b", vector=unit(1))])
    assert index.ids() == {"b"}


def test_a_writer_between_folder_and_first_commit_is_no_damage(
    index: ClipIndex, row: MakeRow, unit: Unit, tmp_path: Path
) -> None:
    for part in ("_versions", "_transactions", "data"):
        (tmp_path / "index" / "clips.lance" / part).mkdir(parents=True)
    assert index.count() == 0
    index.upsert([row("a", vector=unit(0))])
    assert index.ids() == {"a"}


def test_the_key_is_there_from_the_first_version(index: ClipIndex, row: MakeRow, tmp_path: Path) -> None:
    index.upsert([row("a")])
    table = lancedb.connect(tmp_path / "index").open_table("clips")
    table.checkout(1)
    metadata = table.schema.field("id").metadata
    assert metadata == {b"lance-schema:unenforced-primary-key:position": b"1"}


def test_a_folder_that_cannot_be_made(row: MakeRow, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    index = ClipIndex(tmp_path / "file" / "index")
    assert index.count() == 0
    with pytest.raises(IndexingError, match="cannot be read or written") as caught:
        index.upsert([row("a")])
    assert not isinstance(caught.value, IndexDamagedError)


def test_a_full_disk_changes_nothing(
    output_of: OutputOf, index: ClipIndex, row: MakeRow, unit: Unit, tmp_path: Path
) -> None:
    index.upsert([row("a", vector=unit(0))])
    said = output_of(
        """
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        from indexing import ClipIndex, IndexDamagedError, IndexingError, IndexRow

        index = ClipIndex(Path(sys.argv[1]))
        index.count()
        # No file may grow past 4 kB: the nearest thing to a full disk that needs no disk of its own.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))
        rows = [IndexRow(
            id=f"{i}", document="d" * 100, path="p", duration=1.0, sample_rate=32_000, channels=1,
            created_at="c", kind="generated", vector=np.ones(8), embedder="test/embedder",
        ) for i in range(500)]
        try:
            index.upsert(rows)
        except IndexDamagedError:
            print("damaged")
        except IndexingError as error:
            print(error)
        """,
        tmp_path / "index",
    )
    assert said.startswith("The disk is full")
    assert index.ids() == {"a"}


def test_a_process_that_ended_while_the_vectors_column_was_changed(
    index: ClipIndex, row: MakeRow, unit: Unit, tmp_path: Path
) -> None:
    index.upsert([row("a", document="calm piano")])
    lancedb.connect(tmp_path / "index").open_table("clips").drop_columns(["vector"])
    assert index.spaces() == {}
    assert index.search(unit(0)) == []
    assert [hit.id for hit in search(index, "piano", unit(0))] == ["a"]
    index.optimise()
    index.upsert([row("b")])
    assert index.pending_ids() == ["a", "b"]
    index.upsert([row("a", document="calm piano", vector=unit(0))])
    assert [hit.id for hit in index.search(unit(0))] == ["a"]


def test_two_first_embeddings_of_another_size(
    index: ClipIndex, row: MakeRow, unit: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process has looked at the table before the first one changed it."""
    index.upsert([row("a"), row("b")])
    other = ClipIndex(tmp_path / "index")
    looked = store.embedder_of

    def look(table: Any) -> str | None:
        found = looked(table)
        monkeypatch.setattr(store, "embedder_of", looked)
        other.upsert([row("a", vector=unit(1))])
        return found

    monkeypatch.setattr(store, "embedder_of", look)
    index.upsert([row("b", vector=unit(2))])
    assert index.pending_ids() == []
    assert [index.search(unit(n), limit=1)[0].id for n in (1, 2)] == ["a", "b"]
