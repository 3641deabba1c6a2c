"""Whisper over the library, with small checkpoints in mlx-whisper's own format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import Result
from library_files import clips_of
from whisper_files import make_whisper

from audiolib import AudioLibrary, Clip, transcripts
from audiolib.sidecars import edit_sidecar
from indexing.store import ClipIndex
from indexing.transcribe import Transcriber

# Importing mlx_whisper brings numba and others, whose warnings are not ours.
pytestmark = pytest.mark.filterwarnings("default:::numba", "default:::mlx_whisper", "default:::tiktoken")


@pytest.fixture(scope="module")
def whispers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models that hear "hello there", something else, closing words, nothing."""
    folder = tmp_path_factory.mktemp("whisper")
    return {
        "greeting": make_whisper(folder / "whisper-greeting", "hello there"),
        "other": make_whisper(folder / "whisper-other", "good evening"),
        "inventing": make_whisper(folder / "whisper-inventing", "thanks for watching", no_speech=True),
        "deaf": make_whisper(folder / "whisper-deaf", ""),
    }


@pytest.fixture
def clip(library: AudioLibrary) -> Clip:
    return clips_of(library, "calm piano")[0]


def sidecar_of(clip: Clip) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((clip.path.parent / f"{clip.id}.json").read_text())
    return document


def test_words_reach_sidecar_row_and_search(
    library: AudioLibrary, clip: Clip, whispers: dict[str, Path]
) -> None:
    seen: list[tuple[int, int]] = []
    report = library.transcribe(
        whisper=str(whispers["greeting"]), progress=lambda done, total: seen.append((done, total))
    )
    assert (report.transcribed, report.rejected, report.pending) == (1, 0, 0)
    assert (report.model, report.reason) == ("whisper-greeting", None)
    assert seen == [(1, 1)]
    found = library.get(clip.id)
    assert (found.transcript, found.language, found.has_speech) == ("hello there", "en", True)
    document = sidecar_of(clip)
    assert [segment["text"] for segment in document["segments"]] == ["hello there"]
    heard = document["transcription"]
    assert (heard["state"], heard["model"], heard["reason"]) == ("done", "whisper-greeting", None)
    assert heard["text"] == heard["raw_text"] == "hello there"
    assert heard["segments"][0]["rejected"] is None
    assert heard["segments"][0]["avg_logprob"] > -0.1
    row = ClipIndex(library.path / "index").get(clip.id)
    assert row is not None
    assert (row["transcript"], row["language"]) == ("hello there", "en")
    assert [segment["text"] for segment in row["segments"]] == ["hello there"]
    assert library.search("hello", mode="keyword")[0].clip.id == clip.id
    # Nothing is heard twice, and the sound itself is untouched.
    assert library.transcribe(whisper=str(whispers["greeting"])).transcribed == 0
    assert library.reproduce(clip.id).codes_compared


def test_without_a_model_clips_wait_and_say_why(library: AudioLibrary, clip: Clip) -> None:
    reason = sidecar_of(clip)["transcription"]["reason"]
    assert sidecar_of(clip)["transcription"]["state"] == "pending", "noted when it was made"
    report = library.transcribe()
    assert (report.transcribed, report.pending, report.model) == (0, 1, None)
    assert report.reason == reason
    assert "audiolib models pull mlx-community/whisper-tiny`" in (report.reason or "")
    path = clip.path.parent / f"{clip.id}.json"
    assert sidecar_of(clip)["transcription"] == {"state": "pending", "reason": report.reason}
    assert library.get(clip.id).has_speech is None
    written = path.stat().st_mtime_ns
    library.transcribe()
    assert path.stat().st_mtime_ns == written, "what is known is not written again"


def test_an_added_file_waits_too(library: AudioLibrary, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", np.sin(np.arange(16_000) / 9) / 2, 16_000)
    added = library.add(tmp_path / "tone.wav")
    assert sidecar_of(added)["transcription"]["state"] == "pending"


def test_add_listens_when_it_is_asked_to(
    library: AudioLibrary, clip: Clip, tmp_path: Path, cli: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    here = tmp_path / "models"
    here.mkdir()
    make_whisper(here / "whisper-tiny", "good morning")
    monkeypatch.setenv("AUDIOLIB_MODELS", str(here))
    for name, frequency in (("one", 9), ("two", 13)):
        soundfile.write(tmp_path / f"{name}.wav", np.sin(np.arange(16_000) / frequency) / 2, 16_000)
    where = ("--library", str(library.path))
    said = cli("add", str(tmp_path / "one.wav"), *where)
    assert said.exit_code == 0, said.output
    assert next(iter(library.list())).has_speech is None
    assert cli("add", str(tmp_path / "two.wav"), "--transcribe", *where).exit_code == 0
    newest, before, _ = library.list()
    assert (newest.title, newest.transcript) == ("two", "good morning")
    assert before.transcript is None, "only what was added"
    assert library.get(clip.id).transcript is None


def test_the_command_tells_what_it_did(
    library: AudioLibrary, clip: Clip, whispers: dict[str, Path], cli: Callable[..., Result]
) -> None:
    where = ("--library", str(library.path))
    said = cli("index", "--transcribe", *where)
    assert said.exit_code == 0
    assert said.output.count("audiolib models pull mlx-community/whisper-tiny") == 1
    said = cli("index", "--whisper", str(whispers["inventing"]), *where)
    assert "1 clip transcribed by whisper-inventing." in said.output
    assert "1 with words that are more likely invented; those are not searched." in said.output
    said = cli("index", "--whisper", str(whispers["greeting"]), "--again", "--json", *where)
    transcripts = json.loads(said.stdout)["transcripts"]
    assert (transcripts["transcribed"], transcripts["rejected"], transcripts["model"]) == (
        1,
        0,
        "whisper-greeting",
    )


def test_invented_words_are_kept_and_not_searched(
    library: AudioLibrary, clip: Clip, whispers: dict[str, Path]
) -> None:
    report = library.transcribe(whisper=str(whispers["inventing"]))
    assert (report.transcribed, report.rejected, report.pending) == (1, 1, 0)
    found = library.get(clip.id)
    assert (found.transcript, found.language, found.has_speech) == ("", None, False)
    document = sidecar_of(clip)
    heard = document["transcription"]
    assert (heard["state"], heard["text"], heard["raw_text"]) == ("rejected", "", "thanks for watching")
    assert heard["reason"] == "more likely no speech than speech"
    assert heard["segments"][0]["rejected"] == "no-speech"
    assert document["segments"] == []
    assert not library.search("watching", mode="keyword")


def test_another_model_listens_again_only_when_asked(
    library: AudioLibrary, clip: Clip, whispers: dict[str, Path]
) -> None:
    library.transcribe(whisper=str(whispers["greeting"]))
    other = str(whispers["other"])
    assert library.transcribe(whisper=other).transcribed == 0
    assert library.transcribe(whisper=other, again=True).transcribed == 1
    assert library.get(clip.id).transcript == "good evening"
    assert sidecar_of(clip)["transcription"]["model"] == "whisper-other"
    assert library.transcribe(whisper=other, again=True).transcribed == 0, "it would hear the same"
    assert not library.search("hello", mode="keyword")


def test_no_words_is_a_result(library: AudioLibrary, clip: Clip, whispers: dict[str, Path]) -> None:
    report = library.transcribe(whisper=str(whispers["deaf"]))
    assert (report.transcribed, report.rejected) == (1, 0)
    assert library.get(clip.id).has_speech is False
    assert sidecar_of(clip)["transcription"]["state"] == "done"


def test_a_damaged_file_waits_and_the_rest_is_heard(
    library: AudioLibrary, clip: Clip, whispers: dict[str, Path]
) -> None:
    (other,) = clips_of(library, "happy rock")
    clip.path.write_bytes(b"RIFF")
    report = library.transcribe(whisper=str(whispers["greeting"]))
    assert (report.transcribed, report.pending) == (1, 1)
    assert str(clip.path) in (report.reason or "")
    assert library.get(other.id).transcript == "hello there"
    assert library.get(clip.id).transcript is None
    assert sidecar_of(clip)["transcription"] == {"state": "failed", "reason": report.reason}


def test_words_of_other_sound_are_not_kept(
    library: AudioLibrary, clip: Clip, whispers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = Transcriber.transcribe_many

    def slowly(self: Transcriber, sounds: object) -> object:
        edit_sidecar(clip.path.with_name(f"{clip.id}.json"), {"sha256": "0" * 64})  # repaired meanwhile
        return listen(self, sounds)  # type: ignore[arg-type]

    monkeypatch.setattr(Transcriber, "transcribe_many", slowly)
    assert library.transcribe(whisper=str(whispers["greeting"])).transcribed == 0
    assert library.get(clip.id).transcript is None


def test_an_interruption_keeps_what_was_heard(
    stocked: AudioLibrary, whispers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts, "_BATCH_CLIPS", 1)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stocked.transcribe(whisper=str(whispers["greeting"]), progress=stop)
    assert sum(clip.transcript == "hello there" for clip in stocked.list()) == 2
    assert stocked.transcribe(whisper=str(whispers["greeting"])).transcribed == 1
    assert len(stocked.search("hello there", mode="keyword")) == 3


def test_a_long_clip_is_heard_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts, "_PIECE_SECONDS", 2.0)
    monkeypatch.setattr("generation.stream._BLOCK", 20_000)
    rate = 44_100
    tone = (0.5 * np.sin(np.arange(5 * rate) / 20)).astype(np.float32)
    path = tmp_path / "long.wav"
    soundfile.write(path, np.stack([tone, -tone / 2], axis=1), rate)
    pieces = list(transcripts._pieces(path))
    assert len(pieces) == 3
    assert all(len(piece) < 2.2 * 16_000 for piece in pieces)
    whole = np.concatenate(pieces)
    assert len(whole) == 5 * 16_000
    expected = 0.125 * np.sin(np.arange(len(whole)) * rate / 16_000 / 20)
    np.testing.assert_allclose(whole[500:-500], expected[500:-500], atol=2e-3)


def test_the_pieces_of_a_long_clip_are_one_transcript(
    library: AudioLibrary, clip: Clip, whispers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts, "_PIECE_SECONDS", 0.01)  # a block of the file is a piece
    monkeypatch.setattr("generation.stream._BLOCK", 2000)
    library.transcribe(whisper=str(whispers["greeting"]))
    segments = sidecar_of(clip)["segments"]
    assert len(segments) > 2
    starts = [segment["start"] for segment in segments]
    assert starts == sorted(set(starts))
    assert segments[-1]["end"] <= clip.duration + 1e-6
    assert library.get(clip.id).transcript == " ".join(["hello there"] * len(segments))
