"""Sidecars that are lost: what the row and the audio still say comes back, and nothing of it goes before that."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from damages import embed_otherwise, row_of
from library_files import add, made
from library_stock import findable, make_old, sidecar_of
from sound_files import write_sound

from audiolib import AudioLibrary, Clip
from audiolib.promptfiles import read_prompt_file
from generation.audio import load_audio, save_audio
from indexing.store import ClipIndex


@pytest.fixture
def library(mixed: AudioLibrary) -> AudioLibrary:
    return mixed


@pytest.fixture
def clip(library: AudioLibrary) -> Clip:
    """One that was tagged after it was made, and rated."""
    (clip,) = library.tag(list(library.list())[-1], add=["later"])
    return clip


def lose(library: AudioLibrary, clip: Clip, *, old: bool = True) -> None:
    """Remove a clip's sidecar; young audio may be one that is just being made."""
    sidecar_of(library.path, clip.id).unlink()
    make_old(library.path) if old else os.utime(clip.path)


@pytest.mark.parametrize("rebuild", [False, True])
def test_index_brings_back_what_people_said(library: AudioLibrary, clip: Clip, rebuild: bool) -> None:
    lose(library, clip)
    assert library.index(rebuild=rebuild).completed == 1
    assert library.get(clip.id) == clip
    assert (clip.rating, clip.tags) == (4, ("lofi", "night", "later"))
    assert library.check().findings == ()


def test_an_imported_clip_likewise(library: AudioLibrary, tmp_path: Path) -> None:
    clip = library.add(write_sound(tmp_path / "a.wav"), prompt="rain on a roof", tags=["field"])
    lose(library, clip)
    library.index()
    assert library.get(clip.id) == clip


def test_a_batch_too(library: AudioLibrary) -> None:
    lines = read_prompt_file(b"calm\n", duration=0.2)
    (outcome,) = made(list(library.generate_batch(lines)))
    assert outcome.clip is not None
    (rated,) = library.rate(outcome.clip, 5)
    lose(library, rated)
    (again,) = library.generate_batch(lines)
    assert (again.status, again.clip) == ("present", rated)
    lose(library, rated)
    assert library.check(repair=True).clean
    assert [o.status for o in library.generate_batch(lines)] == ["present"]  # it still knows its line


@pytest.mark.parametrize("way", ["check", "index", "rebuild"])
def test_the_row_stays_where_the_audio_is(library: AudioLibrary, clip: Clip, way: str) -> None:
    lose(library, clip, old=False)
    if way == "check":
        report = library.check(repair=True)
        assert [finding.kind for finding in report.findings] == ["in-progress"]
        assert report.clips == 2
    else:
        assert library.index(rebuild=way == "rebuild").removed == 0
    assert clip.id in ClipIndex(library.path / "index").ids()
    make_old(library.path)
    (finding,) = library.check(repair=True).findings
    assert (finding.kind, finding.repaired) == ("without-sidecar", True)
    assert library.get(clip.id) == clip
    assert clip.id in findable(library)


def test_a_row_of_another_embedder_stays_without_its_vector(library: AudioLibrary, clip: Clip) -> None:
    lose(library, clip, old=False)
    embed_otherwise(library, [clip])
    assert library.check(repair=True).clean
    row = row_of(library, clip.id)
    assert (row.vector, row.embedder, row.rating) == (None, None, 4)


def test_a_clip_that_is_removed_meanwhile_gets_none(
    library: AudioLibrary, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(library, clip)
    monkeypatch.setattr("audiolib.analyses.measure", lambda path: path.unlink() or {})
    assert library.index().completed == 0
    assert not list(clip.path.parent.glob(f"{clip.id}.json"))


class TestAudioThatChanged:
    """The sidecar is lost and the audio is not what it was: the row knows."""

    @pytest.fixture(params=["check", "index"])
    def way(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def mend(self, library: AudioLibrary, way: str) -> None:
        library.check(repair=True) if way == "check" else library.index()

    def test_a_cut_is_damage(self, library: AudioLibrary, clip: Clip, way: str) -> None:
        os.truncate(clip.path, clip.path.stat().st_size // 2)
        lose(library, clip)
        self.mend(library, way)
        assert library.get(clip.id) == clip
        self.mend(library, way)  # which measures nothing of what is left
        (finding,) = library.check(repair=True).findings
        assert (finding.kind, finding.repaired) == ("audio-damaged", False)
        assert "regenerate" in (finding.by_hand or "")
        clip.path.unlink()
        assert library.reproduce(clip.id).codes_compared
        assert library.check(repair=True).clean
        now = library.get(clip.id)
        assert now == replace(clip, sha256=now.sha256)  # its new tag is inside now
        assert library.check().findings == ()

    def test_another_sound_keeps_its_words(self, library: AudioLibrary, clip: Clip, way: str) -> None:
        sound, rate = load_audio(clip.path)
        save_audio(clip.path, sound[: rate // 2], rate)
        lose(library, clip)
        self.mend(library, way)
        now = library.get(clip.id)
        assert (now.tags, now.rating, now.prompt) == (clip.tags, clip.rating, clip.prompt)
        assert now.duration == 0.5
        document = library._sidecar(clip.id).document
        assert document["original"]["audio_sha256"] == clip.audio_sha256

    def test_without_a_row_a_cut_is_told(
        self, library: AudioLibrary, clip: Clip, way: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        os.truncate(clip.path, clip.path.stat().st_size // 2)
        lose(library, clip)
        ClipIndex(library.path / "index").remove([clip.id])
        self.mend(library, way)
        assert "was cut short" in caplog.text
        assert library.get(clip.id).duration < clip.duration


class TestAdd:
    """A copy of a clip's file is added while its sidecar is lost."""

    def test_a_clip_that_was_made_here(self, library: AudioLibrary, clip: Clip, tmp_path: Path) -> None:
        (clip,) = library.rate(clip, 5)
        copy = Path(shutil.copy(clip.path, tmp_path / f"copy{clip.path.suffix}"))
        lose(library, clip)
        (outcome,) = add(AudioLibrary(library.path), copy)
        assert (outcome.status, outcome.id) == ("present", clip.id)
        back = library.get(clip.id)
        assert (back.tags, back.rating) == (clip.tags, 5)

    def test_a_clip_that_was_imported_and_whose_journal_is_gone(
        self, library: AudioLibrary, tmp_path: Path
    ) -> None:
        source = write_sound(tmp_path / "a song.wav")
        clip = library.add(source, prompt="rain", tags=["field"])
        before = len(list(library.list()))
        lose(library, clip)
        (library.path / "imports.jsonl").unlink()
        (outcome,) = add(AudioLibrary(library.path), source)
        assert (outcome.status, outcome.id) == ("present", clip.id)
        library.index()
        assert len(list(library.list())) == before
        assert library.get(clip.id).tags == ("field",)

    def test_audio_that_a_hand_changed_is_not_overwritten(
        self, library: AudioLibrary, clip: Clip, tmp_path: Path
    ) -> None:
        copy = Path(shutil.copy(clip.path, tmp_path / f"copy{clip.path.suffix}"))
        sound, rate = load_audio(clip.path)
        save_audio(clip.path, sound[: rate // 2], rate)
        changed = clip.path.read_bytes()
        lose(library, clip)
        (outcome,) = add(AudioLibrary(library.path), copy)
        assert outcome.status == "added"
        assert outcome.id != clip.id
        assert clip.path.read_bytes() == changed


def test_single_rows_are_found_by_their_ids(library: AudioLibrary, clip: Clip) -> None:
    index = ClipIndex(library.path / "index")
    (found,) = [row for rows in index.rows_with([clip.id, "nobody's"]) for row in rows]
    assert (found.id, found.tags) == (clip.id, clip.tags)
    assert list(index.rows_with([])) == []


def test_two_files_of_a_lost_sidecar_are_no_reason_to_add_both(library: AudioLibrary, clip: Clip) -> None:
    lose(library, clip)
    copy = Path(shutil.copy(clip.path, clip.path.with_name(f"{clip.id}-copy{clip.path.suffix}")))
    make_old(library.path)
    told = [f for f in library.check().findings if f.kind == "without-sidecar"]
    assert len(told) == 2
    assert all("all but one" in (f.by_hand or "") for f in told)
    copy.rename(library.path.parent / copy.name)
    library.check(repair=True)
    assert library.get(clip.id).tags == clip.tags
