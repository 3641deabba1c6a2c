"""Audio that a hand renamed or moved within the library: `check` knows it again by its bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from library_stock import documents, sidecar_of
from sound_files import write_sound

from audiolib import AudioLibrary, Clip


@pytest.fixture
def library(mixed: AudioLibrary) -> AudioLibrary:
    return mixed


@pytest.fixture
def clips(library: AudioLibrary) -> list[Clip]:
    return list(library.list())[::-1]


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(
    "name", ["mine.wav", "My Song.WAV", "../elsewhere/mine.wav", "../elsewhere/{0}-a.wav"]
)
def test_it_goes_back(library: AudioLibrary, clips: list[Clip], name: str, quick: bool) -> None:
    before = documents(library.path)
    (library.path / "audio" / "elsewhere").mkdir()
    there = clips[0].path.parent / name.format(clips[0].id)
    clips[0].path.rename(there)
    (finding,) = library.check(quick=quick).findings
    assert (finding.kind, finding.clip_id) == ("audio-moved", clips[0].id)
    (mended,) = library.check(repair=True, quick=quick).findings
    assert mended.repaired
    assert clips[0].path.is_file()
    assert not there.exists()
    assert documents(library.path) == before
    assert library.check().findings == ()


def test_two_clips_of_one_sound_take_one_file_each(library: AudioLibrary, tmp_path: Path) -> None:
    first = library.add(write_sound(tmp_path / "a.wav"))
    twin = library.add(write_sound(tmp_path / "b.wav", seed=1))
    shutil.copy(first.path, twin.path)
    assert library.check(repair=True).clean  # which follows: now both have the same sound
    first.path.rename(first.path.with_name("one.wav"))
    twin.path.unlink()
    report = library.check(repair=True)
    assert sorted((f.kind, f.repaired) for f in report.findings) == [
        ("audio-missing", False),
        ("audio-moved", True),
    ]
    assert first.path.is_file()


def test_another_sound_is_not_taken(library: AudioLibrary, clips: list[Clip], tmp_path: Path) -> None:
    clips[0].path.unlink()
    odd = write_sound(clips[0].path.with_name("other.wav"), seed=5)
    pipe, link = odd.with_name("pipe.wav"), odd.with_name("link.wav")
    os.mkfifo(pipe)
    link.symlink_to(clips[1].path)
    report = library.check(repair=True)
    assert {(f.kind, f.path) for f in report.findings} == {
        ("audio-missing", clips[0].path),
        ("odd-file", odd),
        ("odd-file", pipe),
        ("odd-file", link),
    }
    ways_out = {f.path: f.by_hand for f in report.findings if f.kind == "odd-file"}
    assert ways_out == {
        odd: "Move it out of the library and add it with `audiolib add`.",
        pipe: None,
        link: None,
    }
    moved = odd.rename(tmp_path / "other.wav")  # the way out leads out
    assert library.add(moved).title == "other"


def test_a_reference_is_not_moved_out_of_the_library(library: AudioLibrary, tmp_path: Path) -> None:
    source = write_sound(tmp_path / "a.wav")
    clip = library.add(source, reference=True)
    source.rename(sidecar_of(library.path, clip.id).with_name("mine.wav"))
    assert {f.kind for f in library.check(repair=True).findings} == {"audio-missing", "odd-file"}
    assert not source.exists()
