"""The synthesisers, where they are installed."""

from __future__ import annotations

import ctypes.util
import os
import shutil

import numpy as np
import pytest

from indexing.training import corpus, engines, voices
from indexing.training.engines import SAMPLING_RATE, EngineUnavailableError, Espeak, Voice, say

ESPEAK = bool(os.environ.get("ESPEAK_LIBRARY") or ctypes.util.find_library("espeak-ng"))
FLITE = bool(os.environ.get("FLITE") or shutil.which("flite"))


@pytest.mark.skipif(not ESPEAK, reason="espeak-ng is not installed")
def test_espeak_tells_when_each_word_begins() -> None:
    words = ("seven", "green", "umbrella", "the", "dog")
    said = say(words, Voice(engine="espeak", name="en-us+f2"))
    assert said.starts is not None
    assert len(said.starts) == len(words)
    assert list(said.starts) == sorted(said.starts)
    assert 1 < len(said.samples) / SAMPLING_RATE < 4
    assert said.starts[2] < said.starts[3] < len(said.samples) / SAMPLING_RATE
    again = say(words, Voice(engine="espeak", name="en-us+f2"))
    assert len(again.samples) == pytest.approx(len(said.samples), rel=0.02)


@pytest.mark.skipif(not ESPEAK, reason="espeak-ng is not installed")
def test_every_espeak_voice_is_there() -> None:
    names = [f"{accent}+{variant}".rstrip("+") for accent in voices.ACCENTS for variant in voices.VARIANTS]
    for name in (*names, *voices.UNSEEN):
        assert len(say(("red",), Voice(engine="espeak", name=name)).samples) > 1000
    with pytest.raises(EngineUnavailableError, match="no voice nobody"):
        say(("red",), Voice(engine="espeak", name="nobody"))


@pytest.mark.skipif(not (ESPEAK and FLITE), reason="espeak-ng and flite are not installed")
def test_a_seed_is_a_sentence_a_voice_and_a_room() -> None:
    for seed in range(12):
        first, again = (corpus.speak(seed, held_out=True) for _ in range(2))
        assert (first.words, first.voice) == (again.words, again.voice)
        assert len(first.samples) == pytest.approx(len(again.samples), rel=0.05)
        assert 0.01 < np.abs(first.samples).max() < 1.1


def test_a_missing_synthesiser_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPEAK_LIBRARY", "/nowhere/libespeak-ng.so")
    with pytest.raises(EngineUnavailableError, match="apt-get install espeak-ng"):
        Espeak()
    monkeypatch.delenv("FLITE", raising=False)
    monkeypatch.setattr(engines.shutil, "which", lambda _: None)
    with pytest.raises(EngineUnavailableError, match="apt-get install flite"):
        say(("red",), Voice(engine="flite", name="slt"))
