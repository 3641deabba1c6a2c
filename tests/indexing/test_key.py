"""Key and mode against scales and cadences in all 24 keys."""

from __future__ import annotations

import numpy as np
import pytest
from indexing_signals import RATE, clicks, pad, rendered, tone

from indexing.analysis import analyse
from indexing.describe import KEYS
from indexing.key import fine_chroma

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11, 12, 11, 9, 7, 5, 4, 2),
    "minor": (0, 2, 3, 5, 7, 8, 11, 12, 11, 8, 7, 5, 3, 2),  # harmonic
}


def key(audio: np.ndarray, rate: int = RATE) -> str | None:
    """The key that is found."""
    found = analyse(audio, rate).descriptors
    assert (found.key is None) == (found.confidence["key"] == 0)
    return found.key


def scale(name: str, cents: float = 0.0) -> np.ndarray:
    """Up and down from the tonic, the last tone held."""
    tonic, mode = 60 + KEYS.index(name) % 12 + cents / 100, name.split()[1]
    notes = [tone(tonic + step, 0.4) for step in SCALES[mode]]
    return np.concatenate([*notes, tone(tonic, 0.8)])


def cadence(name: str) -> np.ndarray:
    """Tonic, subdominant, dominant, tonic."""
    tonic, mode = 60 + KEYS.index(name) % 12, name.split()[1]
    third, sixth = (4, 9) if mode == "major" else (3, 8)
    chords = [(-12, 0, third, 7), (-7, 0, 5, sixth), (-5, 2, 7, 11), (-12, 0, third, 7)]
    return np.concatenate([sum(tone(tonic + step, 1.0) for step in chord) for chord in chords])


@pytest.mark.parametrize("name", KEYS)
def test_scales(name: str) -> None:
    assert key(scale(name)) == name


@pytest.mark.parametrize("name", KEYS)
def test_cadences(name: str) -> None:
    assert key(cadence(name)) == name


@pytest.mark.parametrize("cents", [-47, -30, 30, 47])
def test_an_instrument_out_of_tune(cents: int) -> None:
    for name in ("D major", "G minor"):
        assert key(scale(name, cents)) == name


def test_drums_do_not_change_it() -> None:
    music = cadence("E minor")
    assert key(0.2 * music + clicks(120, 4.0)) == "E minor"


def test_rendered_music() -> None:
    pieces = [(KEYS[number * 7 % 24], number) for number in range(10)]
    found = [
        key(rendered(tonic=KEYS.index(name) % 12, mode=name.split()[1], seed=seed)) for name, seed in pieces
    ]
    # What is wrong is a neighbour; over all of the evaluation's pieces 83 % are right.
    assert sum(name == got for (name, _), got in zip(pieces, found, strict=True)) >= 7


def test_a_click_has_no_tones() -> None:
    assert fine_chroma(clicks(120, rate=24_000)).sum() == 0
    assert fine_chroma(pad((57, 60, 64), 10.0, rate=24_000)).sum() > 1000


def test_what_has_no_key() -> None:
    rng = np.random.default_rng(2)
    for seconds in (2, 10):
        white = 0.1 * rng.standard_normal(seconds * RATE)
        assert key(white) is None
        assert key(np.cumsum(white - white.mean()) / 300) is None
    assert key(clicks(120)) is None
    time = np.arange(5 * RATE) / RATE
    assert key(0.3 * np.sin(2 * np.pi * 440 * time)) is None
    assert key(pad((57,), 0.2)) is None
