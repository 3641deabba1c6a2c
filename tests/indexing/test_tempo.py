"""Tempo against pulses that are known; an octave too fast or too slow is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from indexing_signals import RATE, clicks, pad, rendered, tone

from indexing.analysis import analyse

TEMPI = range(60, 181, 5)


def tempo(audio: np.ndarray, rate: int = RATE) -> float | None:
    """The tempo that is found."""
    found = analyse(audio, rate).descriptors
    assert (found.tempo_bpm is None) == (found.confidence["tempo_bpm"] == 0)
    return found.tempo_bpm


@pytest.mark.parametrize("bpm", TEMPI)
def test_clicks(bpm: int) -> None:
    assert tempo(clicks(bpm)) == pytest.approx(bpm, rel=0.02)


@pytest.mark.parametrize("bpm", range(63, 181, 13))
def test_clicks_that_begin_late_in_hiss(bpm: int) -> None:
    rng = np.random.default_rng(bpm)
    audio = np.roll(clicks(bpm), int(0.21 * RATE)) + 0.01 * rng.standard_normal(10 * RATE)
    assert tempo(audio) == pytest.approx(bpm, rel=0.02)


@pytest.mark.parametrize("bpm", range(65, 181, 23))
def test_clicks_over_held_chords(bpm: int) -> None:
    assert tempo(clicks(bpm) + pad((57, 60, 64), 10.0)) == pytest.approx(bpm, rel=0.02)


@pytest.mark.parametrize("bpm", [70, 100, 140])
def test_drums_with_eighth_notes_on_the_hat(bpm: int) -> None:
    hats = clicks(2 * bpm, hertz=8000.0, decay=0.01)
    kicks = clicks(bpm / 2, hertz=70.0, decay=0.08)
    snares = np.roll(clicks(bpm / 2, hertz=1800.0, decay=0.03), round(60 / bpm * RATE))
    assert tempo(0.2 * hats + kicks + 0.7 * snares) == pytest.approx(bpm, rel=0.02)


@pytest.mark.parametrize(("name", "bpm"), [("piano", 72), ("acoustic guitar", 96), ("flute", 150)])
def test_rendered_music(name: str, bpm: int) -> None:
    assert tempo(rendered(lead=name, tempo_bpm=bpm)) == pytest.approx(bpm, rel=0.02)


def test_what_has_no_beat() -> None:
    rng = np.random.default_rng(1)
    white = 0.1 * rng.standard_normal(10 * RATE)
    assert tempo(white) is None
    assert tempo(np.cumsum(white - white.mean()) / 300) is None
    assert tempo(tone(69, 10.0)) is None
    assert tempo(pad((57, 60, 64), 10.0)) is None
    assert tempo(clicks(15)) is None  # three clicks in ten seconds
    assert tempo(np.concatenate([pad((57, 60, 64), 6.0), pad((55, 59, 62), 6.0)])) is None


def test_a_long_piece_has_the_tempo_of_its_parts() -> None:
    assert tempo(clicks(110, 65.0, rate=8_000), 8_000) == pytest.approx(110, rel=0.02)
