"""The index follows the files: pending vectors, catching up, rebuilding, other embedders, transcripts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from collection import put_clip
from sound_files import write_sound

from audiolib import AudioLibrary, Clip
from audiolib.analyses import measure
from audiolib.folder import LIBRARY_FORMAT
from audiolib.recovery import restore_sidecar
from audiolib.settings import Settings
from audiolib.sidecars import read_sidecar
from indexing.errors import EmbedderMismatchError, EmbedderUnavailableError
from indexing.store import ClipIndex

SHORT = 0.2


@pytest.fixture
def make(library: AudioLibrary) -> Callable[..., Clip]:
    return lambda prompt, **options: library.generate(prompt, duration=SHORT, **options)


def scores(library: AudioLibrary) -> list[tuple[str, float]]:
    return [(hit.clip.id, hit.score) for hit in library.search("quiet keyboard")]


def test_a_deleted_index_is_rebuilt_the_same(library: AudioLibrary, make: Callable[..., Clip]) -> None:
    for prompt in ("calm piano", "happy rock", "techno"):
        make(prompt)
    before = scores(library)
    shutil.rmtree(library.path / "index")
    assert library.search("quiet keyboard") == []
    seen: list[tuple[int, int]] = []
    report = library.index(rebuild=True, progress=lambda done, total: seen.append((done, total)))
    assert (report.clips, report.embedded, report.pending) == (3, 3, 0)
    assert seen[-1] == (3, 3)
    # Texts embedded together may differ in the last bits from texts embedded alone.
    assert dict(scores(library)) == pytest.approx(dict(before), abs=1e-6)
    assert [clip_id for clip_id, _ in scores(library)] == [clip_id for clip_id, _ in before]


def test_what_was_not_indexed_is_caught_up(
    library: AudioLibrary, make: Callable[..., Clip], caplog: pytest.LogCaptureFixture
) -> None:
    make("calm piano")
    late = make("happy rock", index=False)
    assert late.id not in dict(scores(library))
    assert "One clip is not searchable yet" in caplog.text
    report = library.index()
    assert (report.clips, report.embedded) == (2, 1)
    assert late.id in dict(scores(library))
    assert library.index().embedded == 0


def test_without_an_embedder_clips_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = AudioLibrary(tmp_path / "library", settings=Settings(embedder="nobody/knows-it"))
    clips = [library.generate(prompt, duration=SHORT) for prompt in ("calm piano", "happy rock")]
    assert all(clip.path.exists() for clip in clips)
    assert caplog.text.count("nobody/knows-it is not on this machine") == 1
    assert ClipIndex(library.path / "index").pending_ids() == sorted(clip.id for clip in clips)
    with pytest.raises(EmbedderUnavailableError):
        library.search("piano", mode="semantic")
    assert [hit.score for hit in library.search("piano")] == [None]  # by the word itself
    report = library.index()
    assert (report.embedded, report.pending) == (0, 2)
    assert "nobody/knows-it" in (report.reason or "")
    # Nothing is embedded yet, so another embedder may take over without a rebuild.
    report = AudioLibrary(library.path).index(embedder="all-MiniLM-L6-v2")
    assert (report.embedded, report.pending) == (2, 0)
    assert AudioLibrary(library.path).search("piano")[0].clip == clips[0]


def test_another_embedder_needs_a_rebuild(library: AudioLibrary, make: Callable[..., Clip]) -> None:
    make("calm piano")
    before = scores(library)
    manifest = (library.path / "library.json").read_bytes()
    index = ClipIndex(library.path / "index")
    row = index.get(library.get("last").id)
    assert row is not None
    assert row["embedder"] == json.loads(manifest)["embedder"]
    with pytest.raises(EmbedderUnavailableError):
        library.index(rebuild=True, embedder="nobody/knows-it")
    assert scores(library) == before
    assert (library.path / "library.json").read_bytes() == manifest


def test_mixing_embedders_is_refused_with_the_way_out(
    library: AudioLibrary, make: Callable[..., Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make("calm piano")
    index = ClipIndex(library.path / "index")
    record = index.get(clip.id)
    assert record is not None
    from indexing.schema import IndexRow

    index.clear()
    index.upsert([IndexRow(**{**record, "embedder": "other/words"})])
    with pytest.raises(EmbedderMismatchError, match="--rebuild --embedder"):
        library.index(embedder="all-MiniLM-L6-v2")
    assert library.index(rebuild=True, embedder="all-MiniLM-L6-v2").embedded == 1


def test_a_damaged_index_loses_no_clip(
    library: AudioLibrary, make: Callable[..., Clip], caplog: pytest.LogCaptureFixture
) -> None:
    make("calm piano")
    for path in (library.path / "index").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    clip = make("happy rock")
    assert "stored but not searchable" in caplog.text
    assert library.get("last") == clip
    assert library.index(rebuild=True).embedded == 2


def test_damaged_sidecars_are_named_and_the_rest_is_indexed(
    library: AudioLibrary, make: Callable[..., Clip]
) -> None:
    broken, whole = make("calm piano"), make("happy rock")
    sidecar = broken.path.parent / f"{broken.id}.json"
    sidecar.write_text("{")
    report = library.index()
    assert (report.clips, report.embedded, len(report.broken)) == (1, 0, 1)
    report = library.index(rebuild=True)
    assert (report.clips, report.embedded) == (1, 1)
    assert str(sidecar) in report.broken[0]
    assert list(dict(scores(library))) == [whole.id]


def test_without_whisper_clips_are_marked_with_the_reason(
    library: AudioLibrary, make: Callable[..., Clip]
) -> None:
    clip = make("calm piano")
    report = library.transcribe()
    assert (report.transcribed, report.pending) == (0, 1)
    sidecar = clip.path.parent / f"{clip.id}.json"
    noted = json.loads(sidecar.read_text())["transcription"]
    assert (noted["state"], noted["reason"]) == ("pending", report.reason)
    assert report.reason
    changed = sidecar.stat().st_mtime_ns
    library.transcribe()
    assert sidecar.stat().st_mtime_ns == changed
    assert library.get("last") == clip


class Tagging:
    """An embedder during whose work somebody tags the clip."""

    name, dimension = "sentence-transformers/all-MiniLM-L6-v2", 384

    def __init__(self, library: AudioLibrary, clip: Clip) -> None:
        self._library, self._clip = library, clip

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        if not self._library.get(self._clip.id).tags:
            self._library.tag(self._clip, add=["jazz"])
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        vectors[:, 0] = 1
        return vectors


def test_an_older_row_never_comes_after_a_newer_one(library: AudioLibrary) -> None:
    clip = put_clip(library.path, "calm piano", measured=True)
    sidecar = read_sidecar(clip.path.with_suffix(".json"))
    library._catalogue.write([sidecar], Tagging(library, clip))
    row = ClipIndex(library.path / "index").get(clip.id)
    assert row is not None
    assert row["tags"] == ("jazz",)


def test_an_embedder_is_the_same_by_its_short_name(tmp_path: Path) -> None:
    settings = Settings(embedder="all-MiniLM-L6-v2")
    library = AudioLibrary(tmp_path / "library", settings=settings)
    library.add(write_sound(tmp_path / "a.wav"))
    assert library.check().findings == ()
    manifest = json.loads((library.path / "library.json").read_text())
    assert manifest["embedder"] == "sentence-transformers/all-MiniLM-L6-v2"
    catalogue = AudioLibrary(tmp_path / "library", settings=settings)._catalogue
    assert catalogue.load_embedder() is catalogue.load_embedder("all-MiniLM-L6-v2")


class TestAfterACrash:
    @pytest.fixture
    def orphan(self, make: Callable[..., Clip]) -> Clip:
        """A clip whose writer was killed before the sidecar, long enough ago."""
        clip = make("calm piano", tags=("lofi",), index=False)
        (clip.path.parent / f"{clip.id}.json").unlink()
        for path in clip.path.parent.iterdir():
            os.utime(path, (0, 0))
        return clip

    def test_audio_without_a_sidecar_gets_one(self, library: AudioLibrary, orphan: Clip) -> None:
        assert list(library.list()) == []
        report = library.index()
        assert (report.completed, report.clips, report.embedded) == (1, 1, 1)
        assert library.get("last") == orphan
        assert library.reproduce("last").codes_compared
        assert library.index().completed == 0

    def test_one_that_its_own_process_finished_meanwhile_stays(
        self, library: AudioLibrary, make: Callable[..., Clip], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clip = make("calm piano", index=False)
        path = clip.path.with_name(f"{clip.id}.json")
        data = path.read_bytes()
        path.unlink()

        def slowly(audio: Path) -> dict[str, object]:
            measured = measure(audio)
            path.write_bytes(data)
            library.tag(clip, add=["mine"])
            return measured

        monkeypatch.setattr("audiolib.analyses.measure", slowly)
        restored = restore_sidecar(library._folder, clip.path, clip.id)
        assert restored is not None
        assert restored.clip == library.get(clip.id)
        assert restored.clip.tags == ("mine",)
        assert not list(path.parent.glob("*.damaged"))

    def test_what_may_still_be_written_is_left_alone(self, library: AudioLibrary, orphan: Clip) -> None:
        os.utime(orphan.path)
        assert library.index().completed == 0

    def test_a_foreign_file_is_left_alone(self, library: AudioLibrary, orphan: Clip) -> None:
        renamed = orphan.path.with_name("01ARYZ6S41TSV4RRFFQ69G5FAV-other.wav")
        orphan.path.rename(renamed)  # its comment names another clip
        broken = renamed.with_name("01ARYZ6S42TSV4RRFFQ69G5FAV.wav")
        broken.write_bytes(b"RIFF")
        os.utime(broken, (0, 0))
        assert library.index().completed == 0
        assert renamed.exists()
        assert broken.exists()

    def test_stale_temporaries_go_and_nothing_else(self, library: AudioLibrary, orphan: Clip) -> None:
        home = orphan.path.parent
        stale = [home / ".x.0123abcd.tmp.wav", home / f".{orphan.id}.0123abcd.tmp.json"]
        kept = [home / ".DS_Store", home / ".fresh.0123abcd.tmp.wav", home / "song.tmp.wav"]
        for path in (*stale, *kept):
            path.touch()
            if "fresh" not in path.name:
                os.utime(path, (0, 0))
        library.index()
        assert not any(path.exists() for path in stale)
        assert all(path.exists() for path in kept)


def test_a_lost_manifest_comes_back(library: AudioLibrary, make: Callable[..., Clip]) -> None:
    clip = make("calm piano")
    (library.path / "library.json").unlink()
    assert library.get("last") == clip
    library.index()
    assert json.loads((library.path / "library.json").read_text())["format"] == LIBRARY_FORMAT
