"""`audiolib show`: all that is known of a clip, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result
from collection import put_clip

from audiolib import AudioLibrary, Clip, Transcription
from audiolib.sidecars import edit_sidecar
from indexing.transcribe import Segment

Run = Callable[..., Result]
CONFIDENCE = {"tempo_bpm": 0.393, "key": 0.443, "energy": 1.0}


@pytest.fixture
def clip(library: AudioLibrary, monkeypatch: pytest.MonkeyPatch) -> Clip:
    """A clip of which everything was measured, and nothing heard."""
    monkeypatch.setenv("AUDIOLIB_LIBRARY", str(library.path))
    return put_clip(
        library.path,
        "happy rock",
        tempo_bpm=156.9,
        key="F# major",
        loudness_lufs=-16.72,
        brightness_hz=1797.7,
        energy=0.0,
        onset_density=3.667,
        percussive_share=0.207,
    )


def write(clip: Clip, **changes: Any) -> None:
    """Change the clip's sidecar."""
    edit_sidecar(clip.path.with_suffix(".json"), changes)


def lines(result: Result) -> list[list[str]]:
    """What was printed, as names and values; an empty name belongs to the one above."""
    assert result.exit_code == 0, result.output
    return [[line[:12].strip(), line[12:]] for line in result.stdout.splitlines()]


def test_every_descriptor_with_its_confidence(cli: Run, library: AudioLibrary, clip: Clip) -> None:
    measured = [
        ["tempo", "157 BPM"],
        ["key", "F# major"],
        ["loudness", "-16.7 LUFS"],
        ["brightness", "1,798 Hz"],
        ["energy", "0.00"],
        ["onsets", "3.7 a second"],
        ["percussive", "0.21"],
    ]
    shown = lines(cli("show", "last"))
    assert [line for line in shown if line in measured] == measured
    write(clip, descriptors={"version": 1, "confidence": CONFIDENCE})
    for number, sure in ((0, "0.39"), (1, "0.44"), (4, "1.00")):
        measured[number][1] += f" (confidence {sure})"
    shown = lines(cli("show", "last"))
    assert [line for line in shown if line in measured] == measured
    assert json.loads(cli("show", "last", "--json").stdout)["confidence"] == CONFIDENCE
    assert library.details("last").confidence == CONFIDENCE


def test_a_transcript_with_its_times(cli: Run, library: AudioLibrary, clip: Clip) -> None:
    said = [{"start": n * 2.0, "end": n * 2 + 1.5, "text": f"boat {n}"} for n in range(8)]
    done = {"state": "done", "reason": None, "model": "whisper-tiny", "raw_text": "boats"}
    write(clip, transcript="boats", language="en", segments=said, transcription={**done, "segments": []})
    shown = lines(cli("show", "last"))
    start = shown.index(["segments", "0.0 to 1.5 s: boat 0"])
    assert shown[start - 2 : start] == [["words", "boats"], ["language", "en"]]
    assert shown[start + 7 : start + 9] == [
        ["", "14.0 to 15.5 s: boat 7"],
        ["transcript", "done (whisper-tiny)"],
    ]
    write(clip, segments=[*said, {"start": 20.0, "end": 21.0, "text": "and more"}])
    shown = lines(cli("show", "last"))
    assert shown[start + 7 : start + 9] == [
        ["", "14.0 to 15.5 s: boat 7"],
        ["", "and 1 more; --json has all"],
    ]
    told = json.loads(cli("show", "last", "--json").stdout)
    assert told["segments"] == [*said, {"start": 20.0, "end": 21.0, "text": "and more"}]
    assert told["transcription"] == done
    assert library.details(clip.id).segments[0] == Segment(start=0.0, end=1.5, text="boat 0")


def test_why_there_are_no_words(
    cli: Run, library: AudioLibrary, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = library.details("last").transcription
    assert (pending.state, pending.model, pending.raw_text) == ("pending", None, None)
    assert str(pending.reason).startswith("No Whisper model is on this machine")
    assert ["transcript", f"pending: {pending.reason}"] in lines(cli("show", "last"))
    # What is missing is asked today, not when the clip came.
    write(clip, transcription={"state": "pending", "reason": "No Whisper model was there that day."})
    assert library.details("last").transcription == pending
    write(clip, transcription={"state": "failed", "reason": "Clip x cannot be transcribed: it is gone."})
    assert ["transcript", "failed: Clip x cannot be transcribed: it is gone."] in lines(cli("show", "last"))
    heard = {"state": "rejected", "reason": "the words are improbable", "model": "tiny", "raw_text": "Bye."}
    write(clip, transcript="", transcription=heard)
    assert ["transcript", "rejected (tiny): the words are improbable"] in lines(cli("show", "last"))
    assert library.details("last").transcription == Transcription(**heard)
    write(clip, transcription={"state": "done", "reason": None, "model": "tiny", "raw_text": ""})
    assert ["transcript", "done (tiny): no words were heard"] in lines(cli("show", "last"))


@pytest.mark.parametrize("told", [None, 7, [], {}, {"state": ["done"]}, {"state": "maybe", "model": 3}])
def test_what_others_wrote_of_it_is_no_matter(
    cli: Run, library: AudioLibrary, clip: Clip, told: object
) -> None:
    write(clip, transcription=told, transcript="hello there", transcript_model="tiny")
    assert library.details("last").transcription == Transcription(
        state="done", reason=None, model="tiny", raw_text=None
    )
    assert ["transcript", "done (tiny)"] in lines(cli("show", "last"))
    assert json.loads(cli("show", "last", "--json").stdout)["transcription"]["state"] == "done"
