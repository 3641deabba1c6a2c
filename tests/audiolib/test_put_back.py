"""Audio or sidecars that are lost: adding the sound again gives them back to the clip that has it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from click.testing import Result
from library_files import add
from library_stock import documents, sidecar_of
from sound_files import write_sound

from audiolib import AudioLibrary, Clip
from audiolib.sidecars import read_sidecar
from generation.audio import load_audio
from indexing.store import ClipIndex


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_sound(tmp_path / "a song.wav")


@pytest.fixture
def clip(library: AudioLibrary, source: Path) -> Clip:
    """Tagged and rated after it was added."""
    clip_id = library.add(source, prompt="rain", tags=["field"]).id
    library.tag(clip_id, add=["later"])
    return library.rate(clip_id, 5)[0]


def row_path(library: AudioLibrary, clip: Clip) -> str:
    row = ClipIndex(library.path / "index").get(clip.id)
    assert row is not None
    return str(row["path"])


@pytest.mark.parametrize("name", ["a song.wav", "copy.wav"])
def test_audio_comes_back_under_its_name(
    library: AudioLibrary, source: Path, clip: Clip, name: str, tmp_path: Path
) -> None:
    if name != source.name:
        shutil.copy(source, tmp_path / name)
    before = documents(library.path)
    clip.path.unlink()
    (outcome,) = add(AudioLibrary(library.path), tmp_path / name, tags=["other"])
    assert (outcome.status, outcome.id, outcome.clip) == ("present", clip.id, None)
    assert outcome.note == "The audio of that clip was gone; it is back."
    assert clip.path.read_bytes() == source.read_bytes()
    assert documents(library.path) == before
    assert library.check().findings == ()
    (again,) = add(AudioLibrary(library.path), tmp_path / name)
    assert (again.status, again.note) == ("present", None)


def test_the_same_samples_in_another_format_will_do(
    library: AudioLibrary, source: Path, clip: Clip, tmp_path: Path
) -> None:
    sound, rate = load_audio(source)
    soundfile.write(tmp_path / "b.flac", sound, rate)
    clip.path.unlink()
    (outcome,) = add(library, tmp_path / "b.flac")
    now = library.get(clip.id)
    assert outcome.id == clip.id
    assert now.path == clip.path.with_suffix(".flac")
    assert (now.tags, now.rating, now.audio_sha256) == (clip.tags, 5, clip.audio_sha256)
    assert row_path(library, clip).endswith(".flac")
    assert library.check().findings == ()


def test_a_reference_follows_its_file(library: AudioLibrary, source: Path, tmp_path: Path) -> None:
    clip = library.add(source, reference=True)
    moved = source.rename(tmp_path / "elsewhere.wav")
    (outcome,) = add(AudioLibrary(library.path), moved, reference=True)
    assert (outcome.status, outcome.id) == ("present", clip.id)
    assert outcome.note == f"The audio of that clip was gone from {source}; it is this file now."
    assert library.get(clip.id).path == moved
    assert row_path(library, clip) == str(moved)
    assert library.check().findings == ()


def test_a_reference_becomes_a_copy_and_a_copy_a_reference(
    library: AudioLibrary, source: Path, tmp_path: Path
) -> None:
    clip = library.add(source, reference=True)
    moved = source.rename(tmp_path / "elsewhere.wav")
    add(AudioLibrary(library.path), moved)
    copy = library.get(clip.id).path
    assert copy.name == f"{clip.id}-a-song.wav"
    assert not read_sidecar(sidecar_of(library.path, clip.id)).referenced
    assert library.check().findings == ()
    copy.unlink()
    add(AudioLibrary(library.path), moved, reference=True)
    assert library.get(clip.id).path == moved
    assert not copy.exists()
    assert library.check().findings == ()


def test_audio_that_is_only_renamed_is_left_to_check(library: AudioLibrary, source: Path, clip: Clip) -> None:
    clip.path.rename(clip.path.with_name(f"{clip.id}-mine.wav"))
    (outcome,) = add(AudioLibrary(library.path), source)
    assert outcome.status == "present"
    assert "check --repair" in (outcome.note or "")
    assert not clip.path.exists()
    assert library.check(repair=True).clean


def test_a_whole_twin_is_named_first(library: AudioLibrary, source: Path, clip: Clip, tmp_path: Path) -> None:
    twin = library.add(write_sound(tmp_path / "b.wav", seed=1))
    shutil.copy(clip.path, twin.path)
    library.check(repair=True)  # which follows: both have the same sound now
    clip.path.unlink()
    (outcome,) = add(AudioLibrary(library.path), source)
    assert (outcome.status, outcome.id, outcome.note) == ("present", twin.id, None)


def test_a_sidecar_that_cannot_be_read_is_left_alone(library: AudioLibrary, source: Path, clip: Clip) -> None:
    clip.path.unlink()
    sidecar = sidecar_of(library.path, clip.id)
    sidecar.write_text("{")
    (outcome,) = add(AudioLibrary(library.path), source)
    assert (outcome.status, outcome.id, outcome.note) == ("present", clip.id, None)
    assert sidecar.read_text() == "{"


def test_a_sidecar_comes_back_with_what_people_said(library: AudioLibrary, source: Path, clip: Clip) -> None:
    sidecar_of(library.path, clip.id).unlink()
    (outcome,) = add(AudioLibrary(library.path), source, title="Another name")
    assert (outcome.status, outcome.id) == ("present", clip.id)
    assert outcome.note == "The sidecar of that clip was gone; it is back."
    assert library.get(clip.id) == clip
    assert library.check().findings == ()


def test_it_is_told(cli: Callable[..., Result], library: AudioLibrary, source: Path, clip: Clip) -> None:
    clip.path.unlink()
    found = cli("check", "--library", str(library.path))
    assert "`audiolib add` puts it back" in found.stdout
    result = cli("add", str(source), "--library", str(library.path))
    assert result.exit_code == 0
    assert f"already there as {clip.id}" in result.stdout
    assert "The audio of that clip was gone; it is back." in result.stderr
    clip.path.unlink()
    line = json.loads(cli("add", str(source), "--json", "--library", str(library.path)).stdout)
    assert (line["status"], line["note"]) == ("present", "The audio of that clip was gone; it is back.")
