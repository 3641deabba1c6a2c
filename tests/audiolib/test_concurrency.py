"""Several processes at once: no clip is lost or doubled, nobody sees an error, every search has an answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from library_stock import findable, make_old, open_stock, stock

from audiolib import AudioLibrary
from indexing.store import ClipIndex

WORKER = Path(__file__).with_name("concurrent_worker.py")


@pytest.fixture
def library(tmp_path: Path, models: Path) -> AudioLibrary:
    stock(tmp_path / "library")
    return open_stock(tmp_path / "library")


def work(library: AudioLibrary, roles: list[str], seconds: float) -> list[tuple[str, object]]:
    """Let a process for each role work for some time; what they said is done."""
    running = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(library.path), role, str(number), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, role in enumerate(roles)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdin is not None
            assert json.loads(process.stdout.readline() or "null"), process.stderr and process.stderr.read()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said: list[tuple[str, object]] = []
        for process, role in zip(running, roles, strict=True):
            out, err = process.communicate(timeout=seconds + 120)
            assert process.returncode == 0, f"{role}: {err}"
            assert [line for line in err.splitlines() if not expected(line)] == [], role
            said += [(what, value) for what, value in map(json.loads, out.splitlines())]
    finally:
        for process in running:
            process.kill()
            process.wait()
    return said


def expected(line: str) -> bool:
    """A clip may be stored and not indexed yet at the moment of a search."""
    return "not searchable yet. `audiolib index`" in line or "not indexed yet. `audiolib index`" in line


@pytest.mark.parametrize(
    ("roles", "seconds"),
    [
        pytest.param(["add", "tag"], 1.0, id="two"),
        pytest.param(
            ["add", "add", "generate", "tag", "tag", "search", "remove", "keep"],
            60,
            marks=pytest.mark.slow,
            id="eight for a minute",
        ),
    ],
)
def test_nothing_is_lost_or_doubled(library: AudioLibrary, roles: list[str], seconds: float) -> None:
    first = {clip.id for clip in library.list()}
    said = work(library, roles, seconds)
    done = Counter(what for what, _ in said)
    assert all(done[what] for what in ("added", "tagged")), done
    if "search" in roles:
        assert done["searched"]
    added = [value[0] for what, value in said if what == "added"]  # type: ignore[index]
    assert len(added) == len(set(added))
    # Removed and restored in turn, by one process, in order.
    state = {clip_id: True for clip_id in (*first, *added)}
    for what, value in said:
        if what in ("removed", "restored"):
            state[str(value)] = what == "restored"
    there = {clip_id for clip_id, is_there in state.items() if is_there}
    library = open_stock(library.path)
    stored = [clip.id for clip in library.list()]
    assert sorted(stored) == sorted(there)
    assert {entry.id for entry in library.trash()} == state.keys() - there
    rows = [row.id for some in ClipIndex(library.path / "index").rows() for row in some]
    assert sorted(rows) == sorted(stored)
    assert findable(library) == there
    tags = {clip.id: set(clip.tags) for clip in library.list()}
    lost = [
        value
        for what, value in said
        if what == "tagged" and value[0] in tags and value[1] not in tags[value[0]]
    ]  # type: ignore[index]
    assert lost == []
    sounds = Counter(clip.audio_sha256 for clip in library.list() if clip.kind == "imported")
    assert not [sound for sound, number in sounds.items() if number > 1]
    make_old(library.path)
    report = library.check()
    assert report.findings == (), report.findings
    shutil.rmtree(library.path)
