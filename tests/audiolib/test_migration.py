"""A library of an older format is brought to today's; one of a newer format is refused by every command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from library_stock import documents, findable, open_stock

from audiolib import AudioLibrary
from audiolib.folder import LIBRARY_FORMAT
from audiolib.sidecars import SIDECAR_FORMAT
from generation.audio import save_audio
from indexing.errors import IndexDamagedError

OLD = Path(__file__).parent / "old_library" / "format-1"
ROCK = "01M81TXGS9BFB13SRFKF26T8JM"


@pytest.fixture
def old(tmp_path: Path) -> AudioLibrary:
    shutil.copytree(OLD, tmp_path / "library")
    return open_stock(tmp_path / "library")


def old_documents() -> dict[str, dict[str, object]]:
    return {path.stem: json.loads(path.read_text()) for path in OLD.rglob("audio/*/*.json")}


def format_of(library: AudioLibrary) -> int:
    return int(json.loads((library.path / "library.json").read_text())["format"])


def test_what_only_reads_changes_nothing(old: AudioLibrary) -> None:
    files = {path: path.read_bytes() for path in old.path.rglob("*") if path.is_file()}
    assert [clip.title for clip in old.list()][-1] == "calm piano in a quiet room"
    assert old.get(ROCK).tags == ("rock",)
    recipe = old.recipe(ROCK)
    assert recipe is not None
    assert recipe.seed == 8
    with pytest.raises(IndexDamagedError, match="index --rebuild"):
        old.search("piano")
    assert "older-format" in {finding.kind for finding in old.check().findings}
    assert {path: path.read_bytes() for path in old.path.rglob("*") if path.is_file()} == files


def migrate_by_index(library: AudioLibrary) -> None:
    report = library.index()
    assert (report.clips, report.pending, report.broken) == (3, 0, ())


def migrate_by_repair(library: AudioLibrary) -> None:
    assert library.check(repair=True).clean


def migrate_by_tag(library: AudioLibrary) -> None:
    library.rate(ROCK, 5)


def migrate_by_generate(library: AudioLibrary) -> None:
    new = library.generate("dark techno", duration=0.2)
    library.remove(new.id)
    library.empty_trash()


def migrate_by_add(library: AudioLibrary) -> None:
    import numpy as np

    song = library.path.parent / "song.wav"
    save_audio(song, np.zeros(8_000, dtype=np.float32), 8_000)
    library.remove(library.add(song).id)
    library.empty_trash()


@pytest.mark.parametrize(
    "way",
    [
        migrate_by_tag,
        *(
            pytest.param(way, marks=pytest.mark.slow)
            for way in (migrate_by_index, migrate_by_repair, migrate_by_generate, migrate_by_add)
        ),
    ],
)
def test_every_way_of_writing_migrates_and_keeps_everything(
    old: AudioLibrary, way: Callable[[AudioLibrary], None]
) -> None:
    way(old)
    assert format_of(old) == LIBRARY_FORMAT
    before, after = old_documents(), documents(old.path)
    assert after.keys() == before.keys()
    for clip_id, document in before.items():
        changed = {"format", "rating"} if way is migrate_by_tag and clip_id == ROCK else {"format"}
        measured = {name for name, value in document.items() if value is None}
        for name in document.keys() - changed - measured:
            assert after[clip_id][name] == document[name], name
        assert after[clip_id]["format"] == SIDECAR_FORMAT
        assert after[clip_id]["descriptors"]["version"] >= 1
        assert after[clip_id]["vectors"]
        assert after[clip_id]["loudness_lufs"] is not None
    assert findable(old) == set(before)
    best = next(iter(old.search("quiet keyboard", mode="semantic")))
    assert best.clip.title == "calm piano in a quiet room"
    assert [hit.clip.id for hit in old.search('"hello from the old library"', mode="keyword")]
    assert old.check().findings == ()


@pytest.mark.slow
def test_audio_that_cannot_be_measured_stops_nothing(old: AudioLibrary) -> None:
    old.get(ROCK).path.write_bytes(b"fLaC")
    old.index()
    assert format_of(old) == LIBRARY_FORMAT
    document = documents(old.path)[ROCK]
    assert (document["format"], document["tags"], "descriptors" in document) == (
        SIDECAR_FORMAT,
        ["rock"],
        False,
    )
    assert {finding.kind for finding in old.check().findings} == {"audio-damaged"}


COMMANDS = [
    ["generate", "calm", "--duration", "0.2"],
    ["add", "song.wav"],
    ["list"],
    ["show", "last"],
    ["search", "calm"],
    ["similar", "last"],
    ["tag", "last", "--add", "x"],
    ["rate", "last", "3"],
    ["remove", "last"],
    ["trash", "list"],
    ["trash", "restore", "--all"],
    ["trash", "empty", "--yes"],
    ["regenerate", "last"],
    ["export", "out"],
    ["play", "last"],
    ["index"],
    ["index", "--rebuild"],
    ["index", "--transcribe"],
    ["check"],
    ["check", "--repair"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_newer_format_is_refused_by_every_command(
    old: AudioLibrary, cli: Callable[..., Result], command: list[str]
) -> None:
    (old.path / "library.json").write_text(json.dumps({"format": LIBRARY_FORMAT + 1}))
    Path("song.wav").write_bytes(
        (OLD / "audio" / "2026-11" / f"{ROCK}-a-driving-rock-beat-with-drums.flac").read_bytes()
    )
    files = {path: path.read_bytes() for path in old.path.rglob("*") if path.is_file()}
    result = cli(*command, "--library", str(old.path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: The library {old.path} has format {LIBRARY_FORMAT + 1}, this audiolib reads up to {LIBRARY_FORMAT}. "
        "Update audiolib to use it.\n"
    )
    assert {path: path.read_bytes() for path in old.path.rglob("*") if path.is_file()} == files
