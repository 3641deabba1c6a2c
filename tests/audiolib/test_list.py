"""Lists for people, and what happens when index and files disagree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from collection import put_clip

from audiolib import AudioLibrary, Clip
from audiolib.folder import LibraryFolder
from indexing.filters import Filters

Run = Callable[..., Result]


@pytest.fixture
def clips(library: AudioLibrary) -> list[Clip]:
    """Three clips, indexed."""
    made = [
        put_clip(library.path, "calm piano", measured=True, rating=4, tempo_bpm=80.2, tags=("a",)),
        put_clip(library.path, "happy rock", measured=True, key="A minor", tags=("a",)),
        put_clip(library.path, "slow strings", measured=True, tags=("b",)),
    ]
    library.index()
    return made


def test_what_is_sorted_or_filtered_by_is_shown(cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
    result = cli("list", "--library", str(library.path), "--sort", "rating", "--bpm", "60-100")
    header, row = result.stdout.splitlines()
    assert header.split() == ["id", "title", "duration", "rating", "bpm", "made", "model"]
    assert row.split()[:8] == [clips[0].id[-6:], "calm", "piano", "0.2", "s", "★★★★☆", "80", row.split()[7]]
    header, *rows = cli("list", "--library", str(library.path), "--sort", "key").stdout.splitlines()
    assert header.split() == ["id", "title", "duration", "key", "made", "model"]
    assert ["A minor" in row for row in rows] == [True, False, False]


def test_nothing_is_said_so(cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
    result = cli("list", "--library", str(library.path), "--tag", "none")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No clip is like that.\n")


def test_clips_that_are_not_indexed_are_mentioned(cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
    put_clip(library.path, "new", tags=("a",))
    result = cli("list", "--library", str(library.path), "--tag", "a")
    assert len(result.stdout.splitlines()) == 3
    assert result.stderr == "One clip is not indexed yet. `audiolib index` catches up.\n"
    # Without a condition the files are read, and nothing is missing.
    result = cli("list", "--library", str(library.path))
    assert len(result.stdout.splitlines()) == 5
    assert result.stderr == ""


def test_rows_without_files_are_passed_over(library: AudioLibrary, clips: list[Clip]) -> None:
    clips[0].path.with_suffix(".json").unlink()
    assert [clip.title for clip in library.list(filters=Filters(tags=("a",)))] == ["happy rock"]


def test_a_damaged_sidecar_is_told(library: AudioLibrary, clips: list[Clip]) -> None:
    clips[0].path.with_suffix(".json").write_text("{")
    told: list[str] = []
    found = library.list(filters=Filters(tags=("a",)), broken=told.append)
    assert [clip.title for clip in found] == ["happy rock"]
    assert "is damaged" in told[0]


def test_sidecars_are_counted_wherever_they_are(
    library: AudioLibrary, clips: list[Clip], tmp_path: Path
) -> None:
    folder = LibraryFolder(library.path)
    elsewhere = folder.audio / "favourites of a long and happy year"
    elsewhere.mkdir()
    shutil.move(clips[0].path.with_suffix(".json"), elsewhere)
    (folder.audio / "notes.json").write_text("{}")
    (folder.audio / "round").symlink_to(folder.audio)
    assert folder.count() == len(folder.sidecar_paths()) == 3
    assert LibraryFolder(tmp_path / "nowhere").count() == 0
