"""Processes killed at every named step of every command that writes, and disks that are full there.

Afterwards every clip that was acknowledged is there and is found, no half file has a final name, and
`check --repair` leaves a clean library.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from library_stock import findable, make_old, open_stock

from audiolib import AudioLibrary
from audiolib.codes import read_codes
from audiolib.crashpoints import VARIABLE
from audiolib.recording import read_facts
from audiolib.sidecars import read_sidecar
from generation.audio import save_audio

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

OLD_LIBRARY = Path(__file__).parent / "old_library" / "format-1"
MINILM = "all-MiniLM-L6-v2"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that is stopped at its named steps.

    Attributes:
        arguments: What is run; `{0}` to `{2}` are the ids of the clips in the library, `{here}` its surroundings.
        points: The steps, and how often each is passed at least.
        prepare: What is done to the library before.
    """

    arguments: tuple[str, ...]
    points: dict[str, int]
    prepare: Callable[[AudioLibrary], object] = lambda _library: None


def songs(library: AudioLibrary) -> None:
    """Three files to be added, beside the library."""
    folder = library.path.parent / "songs"
    folder.mkdir()
    for number in range(3):
        tone = np.sin(np.arange(16_000) * (number + 1) / 20).astype(np.float32) / 4
        save_audio(folder / f"song {number}.wav", tone, 16_000)


def lose_audio(library: AudioLibrary) -> None:
    """Of the FLAC, whose copy is beside the library."""
    (path,) = (library.path / "audio").rglob("*.flac")
    path.rename(library.path.parent / "copy.flac")


def lose_rows(library: AudioLibrary) -> None:
    shutil.rmtree(library.path / "index")


def remove_two(library: AudioLibrary) -> None:
    library.remove([clip.id for clip in library.list(limit=2)])


def forget_measurements(library: AudioLibrary) -> None:
    for path in (library.path / "audio").rglob("*.json"):
        document = json.loads(path.read_text())
        del document["descriptors"]
        path.write_text(json.dumps(document))


def be_old(library: AudioLibrary) -> None:
    shutil.rmtree(library.path)
    shutil.copytree(OLD_LIBRARY, library.path)


def break_sidecars(library: AudioLibrary) -> None:
    for path in list((library.path / "audio").rglob("*.json"))[:2]:
        path.write_text("{")


COMMANDS = {
    "generate": Command(
        arguments=("generate", "dark techno", "--count", "2", "--duration", "0.2", "--seed", "5", "--json"),
        points={
            "generate.audio-written": 2,
            "generate.codes-written": 2,
            "generate.sidecar-written": 2,
            "generate.row-written": 2,
            "file.written": 4,
            "file.renamed": 4,
        },
    ),
    "add": Command(
        arguments=("add", "{here}/songs", "--json"),
        points={
            "add.copied": 3,
            "add.audio-written": 3,
            "add.journal-written": 3,
            "add.sidecar-written": 3,
            "add.row-written": 1,
        },
        prepare=songs,
    ),
    "put back": Command(
        arguments=("add", "{here}/copy.flac", "--json"),
        points={"add.audio-written": 1, "add.sidecar-written": 1, "add.row-written": 1},
        prepare=lose_audio,
    ),
    "tag": Command(
        arguments=("tag", "{0}", "{1}", "{2}", "--add", "jazz", "--json"),
        points={"tag.sidecar-written": 3, "tag.row-written": 1},
    ),
    "remove": Command(
        arguments=("remove", "{0}", "{1}", "--json"),
        points={
            "remove.note-written": 2,
            "remove.sidecar-moved": 2,
            "remove.files-moved": 1,
            "remove.row-removed": 1,
        },
    ),
    "restore": Command(
        arguments=("trash", "restore", "--all", "--json"),
        points={"restore.files-moved": 2, "restore.sidecar-moved": 2, "restore.row-written": 1},
        prepare=remove_two,
    ),
    "empty": Command(
        arguments=("trash", "empty", "--yes", "--json"), points={"empty.renamed": 2}, prepare=remove_two
    ),
    "rebuild": Command(
        arguments=("index", "--rebuild", "--embedder", MINILM, "--json"),
        points={"rebuild.batch-drawn": 1, "rebuild.replaced": 1, "rebuild.embedder-recorded": 1},
    ),
    "index": Command(arguments=("index", "--json"), points={"index.batch-written": 1}, prepare=lose_rows),
    "measure": Command(
        arguments=("index", "--json"), points={"measure.sidecar-written": 3}, prepare=forget_measurements
    ),
    "migrate": Command(
        arguments=("index", "--json"),
        points={"migrate.sidecars-written": 1, "migrate.index-written": 1, "measure.sidecar-written": 2},
        prepare=be_old,
    ),
    "repair": Command(
        arguments=("check", "--repair", "--json"),
        points={"repair.kept-aside": 2, "repair.mended": 2},
        prepare=break_sidecars,
    ),
}

# One step of a few commands; all the others with the slow tests.
FAST_KILLED = {("generate", "generate.codes-written", 1), ("add", "add.audio-written", 2)}
FAST_FULL = {("tag", "tag.sidecar-written", 2)}


def steps(fast: set[tuple[str, str, int]]) -> Iterator[object]:
    for name, command in COMMANDS.items():
        for point, passes in command.points.items():
            for count in range(1, passes + 1):
                marks = () if (name, point, count) in fast else (pytest.mark.slow,)
                yield pytest.param(name, point, count, marks=marks, id=f"{name}-{point}-{count}")


@pytest.fixture
def library(mixed: AudioLibrary) -> AudioLibrary:
    return mixed


def run(library: AudioLibrary, command: Command, crash_at: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a library that ends at a step."""
    ids = [clip.id for clip in library.list()]
    command.prepare(library)
    arguments = [argument.format(*ids, here=library.path.parent) for argument in command.arguments]
    environment = {**os.environ, VARIABLE: crash_at}
    return subprocess.run(
        [sys.executable, "-m", "audiolib", *arguments, "--library", str(library.path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def acknowledged(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Ids of the clips whose lines were printed."""
    lines = (json.loads(line) for line in result.stdout.splitlines())
    return [line["id"] for line in lines if line.get("id")]


def assert_no_half_file(root: Path) -> None:
    """Whatever has a final name can be read to its end."""
    for folder in (root / "audio", root / "trash"):
        for path in folder.rglob("*"):
            if path.is_dir() or path.name.startswith(".") or ".damaged" in path.name:
                continue
            if path.suffix in (".wav", ".flac", ".ogg"):
                assert read_facts(path).duration > 0.1
            elif path.name.endswith(".npz"):
                assert read_codes(path) is not None
            elif path.name.endswith(".json"):
                json.loads(path.read_text())
    json.loads((root / "library.json").read_text())


def assert_mended(library: AudioLibrary) -> set[str]:
    """`check --repair` leaves a clean library; the ids of its clips, all of them findable."""
    make_old(library.path)
    report = library.check(repair=True)
    assert report.clean, report.unrepaired
    assert library.check().findings == ()
    stored = {clip.id for clip in library.list()}
    assert findable(library) == stored
    assert not [path for path in library.path.rglob("*") if ".tmp" in path.name]
    return stored


@pytest.mark.parametrize(("name", "point", "count"), list(steps(FAST_KILLED)))
def test_killed(library: AudioLibrary, name: str, point: str, count: int) -> None:
    before = {clip.id for clip in library.list()}
    result = run(library, COMMANDS[name], f"{point}:{count}")
    assert result.returncode == -signal.SIGKILL, result.stderr
    done = set(acknowledged(result))
    library = open_stock(library.path)
    if name in ("generate", "add"):
        assert before | done <= {clip.id for clip in library.list()}
        assert before | done <= findable(library)
    if name in ("rebuild", "tag"):
        assert findable(library) == before  # searches go on as before
    if name != "repair":
        assert_no_half_file(library.path)
    clips = assert_mended(library)
    if name in ("remove", "restore", "empty"):
        library.index()
        trashed = {entry.id for entry in library.trash()}
        assert not clips & trashed
        if name != "empty":
            assert clips | trashed == before
        return
    if name == "tag":
        tagged = {clip.id for clip in library.list() if "jazz" in clip.tags}
        assert done <= tagged
        assert len(tagged) >= count
    if name == "migrate":
        before = {path.stem for path in OLD_LIBRARY.rglob("audio/*/*.json")}
    assert before | done <= clips
    if name in ("generate", "add"):
        of_a_clip = 2 if point.startswith("file.") else 1  # tokens and sidecar pass there
        assert len(clips) >= len(before) + (count - 1) // of_a_clip
    else:
        assert clips == before


@pytest.mark.parametrize(("name", "point", "count"), list(steps(FAST_FULL)))
def test_the_disk_is_full(library: AudioLibrary, name: str, point: str, count: int) -> None:
    before = {clip.id for clip in library.list()}
    result = run(library, COMMANDS[name], f"{point}:{count}:enospc")
    said = result.stderr.splitlines()
    assert "Traceback" not in result.stderr
    assert "Unexpected" not in result.stderr
    assert sum("The disk is full" in line or "No space left" in line for line in said) == 1, result.stderr
    library = open_stock(library.path)
    assert set(acknowledged(result)) <= {clip.id for clip in library.list()} or name in ("remove", "empty")
    if name != "repair":
        assert_no_half_file(library.path)
    clips = assert_mended(library)
    if name in ("remove", "restore", "empty"):
        return
    if name == "migrate":
        before = {path.stem for path in OLD_LIBRARY.rglob("audio/*/*.json")}
    assert before <= clips


def test_every_named_step_is_crashed_at() -> None:
    package = Path(read_sidecar.__code__.co_filename).parent
    named = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(r'crashpoint\(\s*"([^"]+)"', path.read_text(encoding="utf-8"))
    }
    covered = {point for command in COMMANDS.values() for point in command.points}
    assert named - covered == set(), "new steps need a command here that passes them"
    assert covered - named == set()
