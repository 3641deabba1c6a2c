"""The measures on signals whose answers are known, and on the renderer's own music."""

from __future__ import annotations

import numpy as np
import pytest

from generation.errors import InvalidRequestError
from generation.training.starter.drums import synthesise_drum
from generation.training.starter.evaluate import attributes_for, evaluate, render_prompt
from generation.training.starter.instruments import synthesise_note
from generation.training.starter.measure import (
    band_levels,
    onset_rate,
    percussive_share,
    pitch_errors_cents,
    pitch_track,
    spectral_centroid,
)
from generation.training.starter.melodies import render_melody
from generation.training.starter.prompts import PAIRS, Prompt

HZ = 32_000


def _sine(hz: float, seconds: float = 2.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * HZ)) / HZ)).astype(np.float32)


def _noise(seconds: float = 2.0) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(round(seconds * HZ))).astype(np.float32)


@pytest.mark.parametrize("rate", [1.0, 2.0, 4.0, 8.0])
def test_clicks_are_counted(rate: float) -> None:
    audio = np.zeros(8 * HZ, dtype=np.float32)
    stroke = synthesise_drum("acoustic", "snare", 1, 0)
    for start in np.arange(0.1, 7.9, 1 / rate):
        begin = int(start * HZ)
        length = min(len(stroke), len(audio) - begin)
        audio[begin : begin + length] += stroke[:length]
    assert abs(onset_rate(audio, HZ) - rate) <= 0.13 * rate


def test_a_short_sound_has_its_onset() -> None:
    audio = np.zeros(round(0.3 * HZ), dtype=np.float32)
    audio[HZ // 10 :] = synthesise_drum("acoustic", "snare", 1, 0)[: len(audio) - HZ // 10]
    assert onset_rate(audio, HZ) == pytest.approx(1 / 0.3)


def test_notes_of_a_melody_are_counted() -> None:
    for seed in range(4):
        melody = render_melody(seed, seconds=6.0, instrument="piano")
        assert abs(onset_rate(melody.audio, HZ) - len(melody.notes) / 6.0) <= 0.35


def test_hiss_silence_and_a_steady_tone_have_hardly_an_onset() -> None:
    assert onset_rate(np.zeros(2 * HZ, dtype=np.float32), HZ) == 0
    assert onset_rate(_sine(440.0), HZ) <= 0.5
    assert onset_rate(_noise(), HZ) <= 1.0


def test_band_levels_tell_where_the_sound_is_and_not_how_loud() -> None:
    low, high = band_levels(_sine(150.0), HZ), band_levels(_sine(6000.0), HZ)
    assert low.argmax() < high.argmax()
    assert low.max() == pytest.approx(0.0, abs=3.0)
    assert np.allclose(band_levels(0.1 * _sine(150.0), HZ), low, atol=0.01)
    assert set(band_levels(np.zeros(HZ, dtype=np.float32), HZ)) == {-60.0}


@pytest.mark.parametrize("hz", [200.0, 1000.0, 6000.0])
def test_centroid_of_a_sine_is_its_frequency(hz: float) -> None:
    assert spectral_centroid(_sine(hz), HZ) == pytest.approx(hz, rel=0.05)


def test_centroid_of_noise_and_silence() -> None:
    assert spectral_centroid(_noise(), HZ) == pytest.approx(8000, rel=0.03)
    assert spectral_centroid(np.zeros(HZ, dtype=np.float32), HZ) == 0


def test_drums_are_percussive_and_pads_are_not() -> None:
    beat = np.zeros(4 * HZ, dtype=np.float32)
    for number in range(16):
        stroke = synthesise_drum("acoustic", ("kick", "hat", "snare", "hat")[number % 4], 1, 0)
        beat[number * 8000 : number * 8000 + len(stroke)][: len(stroke)] += stroke[
            : len(beat) - number * 8000
        ]
    pad = synthesise_note("synth pad", 60, 4.0)[: 4 * HZ]
    shares = [percussive_share(audio, HZ) for audio in (pad, pad + beat, beat)]
    assert shares[0] < 0.05
    assert shares[0] + 0.05 < shares[1] < shares[2]
    assert shares[2] > 0.3
    assert percussive_share(np.zeros(HZ, dtype=np.float32), HZ) == 0


@pytest.mark.parametrize("hz", [65.4, 220.0, 440.0, 1046.5])
def test_pitch_of_a_tone(hz: float) -> None:
    tone = sum(_sine(hz * number) / number for number in (1, 2, 3))
    frequencies, clarity = pitch_track(tone, HZ)
    heard = frequencies[clarity > 0.9]
    assert len(heard) > 80
    assert np.abs(1200 * np.log2(heard / hz)).max() < 12


def test_pitch_error_sees_a_detuned_copy_and_not_a_quieter_one() -> None:
    def error(reference: np.ndarray, other: np.ndarray) -> float:
        return float(np.median(pitch_errors_cents(reference, other, HZ)))

    melody = render_melody(1, seconds=3.0, instrument="flute").audio
    assert error(melody, melody) == 0
    assert error(melody, 0.3 * melody + 0.01 * _noise(3.0)) < 5
    positions = np.arange(len(melody)) * 2 ** (0.5 / 12)
    sharper = np.interp(positions[positions < len(melody) - 1], np.arange(len(melody)), melody).astype(
        np.float32
    )
    steady = _sine(440.0)
    raised = _sine(440.0 * 2 ** (0.5 / 12))
    assert error(steady, raised) == pytest.approx(50, abs=5)
    assert error(melody, sharper) > 30
    assert error(melody, np.zeros_like(melody)) == 1200
    assert len(pitch_errors_cents(np.zeros(HZ, dtype=np.float32), melody, HZ)) == 0


def test_the_renderer_is_ordered_as_the_prompts_say() -> None:
    """Every third pair here; all of them in the slow test."""
    result = evaluate(lambda text: render_prompt(text, 1, seconds=4.0), pairs=PAIRS[::6])
    assert set(result.shares) == {"pace", "brightness", "drums"}
    assert sum(row.right for row in result.results) >= 9


@pytest.mark.slow
def test_all_pairs_are_ordered_by_the_renderer() -> None:
    result = evaluate(lambda text: render_prompt(text, 7))
    assert all(share >= 0.95 for share in result.shares.values()), result.shares


def test_a_deaf_model_is_not_right() -> None:
    """What does not depend on the prompt orders nothing rightly: ties are wrong."""
    steady = synthesise_note("piano", 60, 1.0)
    assert evaluate(lambda text: steady, pairs=PAIRS[::10]).shares == {"pace": 0, "brightness": 0, "drums": 0}


def test_impossible_or_unknown_prompts_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="held-out"):
        render_prompt("calm piano", 1)
    with pytest.raises(InvalidRequestError, match="No piece"):
        attributes_for(Prompt(text="calm and fast", mood="calm", pace="fast"), np.random.default_rng(0))
