"""Analysing streams: no block size, rate, channel count or length may matter, and nothing may fail."""

from __future__ import annotations

import numpy as np
import pytest
from indexing_signals import RATE, clicks, pad, rendered

from indexing.analysis import SOUND_DIMENSION, Analyser, analyse
from indexing.describe import Descriptors


def silent(analysis_of: np.ndarray, rate: int = RATE) -> bool:
    """Whether nothing at all is said of the audio."""
    analysis = analyse(analysis_of, rate)
    return analysis.descriptors == Descriptors() and analysis.vector is None


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros(0),
        np.zeros((0, 2)),
        np.ones(1),
        np.zeros(5 * RATE),
        np.full(5 * RATE, 0.5),
        clicks(120, 0.3),
        1e-5 * clicks(120),
    ],
    ids=["empty", "empty stereo", "one sample", "silence", "constant", "0.3 seconds", "far too quiet"],
)
def test_what_cannot_be_heard_is_unknown(audio: np.ndarray) -> None:
    assert silent(audio)


def test_blocks_do_not_matter() -> None:
    audio = clicks(97, 45.0)
    whole = analyse(audio, RATE)
    analyser = Analyser(RATE, 1)
    rng = np.random.default_rng(0)
    place = 0
    while place < len(audio):
        size = int(rng.integers(1, 50_000))
        analyser.feed(audio[place : place + size, None])
        place += size
    parts = analyser.finish()
    assert parts.descriptors == whole.descriptors
    assert whole.vector is not None
    assert parts.vector is not None
    np.testing.assert_allclose(parts.vector, whole.vector, atol=1e-5)


@pytest.fixture(scope="module")
def piece() -> np.ndarray:
    """Ten seconds of music at 32 kHz."""
    return rendered(seed=3)


def vector_of(audio: np.ndarray, rate: int = RATE) -> np.ndarray:
    """The sound vector, which must be there."""
    vector = analyse(audio, rate).vector
    assert vector is not None
    return vector


def test_the_vector_has_unit_length(piece: np.ndarray) -> None:
    vector = vector_of(piece)
    assert vector.shape == (SOUND_DIMENSION,)
    assert vector.dtype == np.float32
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


def test_copies_have_the_same_vector(piece: np.ndarray) -> None:
    import soxr

    own = vector_of(piece)
    copies = {
        "softer": (piece / 4, RATE),
        "louder": (piece * 3, RATE),
        "stereo": (np.stack([piece, piece], axis=1), RATE),
        "44.1 kHz": (soxr.resample(piece, RATE, 44_100), 44_100),
        "96 kHz": (soxr.resample(piece, RATE, 96_000), 96_000),
        "offset": (piece + 0.05, RATE),
    }
    for name, (audio, rate) in copies.items():
        assert float(vector_of(audio, rate) @ own) > 0.99, name


def test_other_music_has_another_vector(piece: np.ndarray) -> None:
    own = vector_of(piece)
    others = [
        rendered(seed=4, lead="flute", backing="strings", drums="none", kit=None, tempo_bpm=66, pace="slow"),
        rendered(seed=5, lead="synth lead", bass="synth bass", drums="heavy", tone="bright", tempo_bpm=150),
        clicks(120),
        pad((57, 60, 64), 10.0),
    ]
    like = vector_of(rendered(seed=9))
    assert max(float(vector_of(other) @ own) for other in others) < float(like @ own)


def test_numbers_mean_what_they_say(piece: np.ndarray) -> None:
    time = np.arange(5 * RATE) / RATE
    for hertz in (200, 1000, 5000):
        tone = analyse(0.3 * np.sin(2 * np.pi * hertz * time), RATE).descriptors
        assert tone.brightness_hz == pytest.approx(hertz, rel=0.02)
        assert tone.percussive_share is not None
        assert tone.percussive_share < 0.15
    beat = analyse(clicks(150), RATE).descriptors
    assert beat.onset_density == pytest.approx(2.5, rel=0.04)
    assert beat.percussive_share is not None
    assert beat.percussive_share > 0.9
    hiss = analyse(0.1 * np.random.default_rng(0).standard_normal(10 * RATE), RATE).descriptors
    assert hiss.onset_density is not None
    assert hiss.onset_density < 0.5
    loud, soft = analyse(piece, RATE).descriptors, analyse(piece / 10, RATE).descriptors
    assert loud.energy is not None
    assert soft.energy is not None
    assert soft.energy < loud.energy
    assert soft.loudness_lufs == pytest.approx((loud.loudness_lufs or 0) - 20, abs=0.05)
    assert (soft.tempo_bpm, soft.key) == (loud.tempo_bpm, loud.key)


def test_an_excerpt_s_start_is_no_onset() -> None:
    time = np.arange(65 * 8_000) / 8_000
    held = analyse(0.3 * np.sin(2 * np.pi * 440 * time), 8_000).descriptors
    assert held.onset_density is not None
    assert round(65 * held.onset_density) <= 1


def test_drums_are_percussive() -> None:
    shares = []
    for drums, kit in [("none", None), ("heavy", "acoustic")]:
        shares.append(analyse(rendered(drums=drums, kit=kit), RATE).descriptors.percussive_share or 0.0)
    assert shares[0] + 0.1 < shares[1]


@pytest.mark.parametrize("rate", [1_000, 8_000, 11_025, 44_100, 192_000, 768_000])
@pytest.mark.parametrize("seconds", [0.4, 0.7])
def test_any_rate_and_length(rate: int, seconds: float) -> None:
    audio = clicks(120, seconds, rate=rate, hertz=300.0)
    found = analyse(audio, rate)
    assert found.vector is not None
    assert np.isfinite(found.vector).all()
    assert found.descriptors.loudness_lufs is not None


@pytest.mark.parametrize("channels", [1, 2, 6, 30])
def test_any_number_of_channels(channels: int) -> None:
    audio = np.repeat(clicks(120, 3.0)[:, None], channels, axis=1)
    assert analyse(audio, RATE).descriptors.tempo_bpm == pytest.approx(120, rel=0.02)


def test_channels_that_cancel_are_silent() -> None:
    audio = clicks(120, 3.0)
    assert silent(np.stack([audio, -audio], axis=1))


@pytest.mark.parametrize("rate", [1, 999, 768_001])
def test_a_rate_that_cannot_be_is_unknown(rate: int) -> None:
    assert silent(clicks(120, 2.0), rate)


def test_blocks_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="channel"):
        Analyser(RATE, 0)
    with pytest.raises(ValueError, match=r"not \(frames, 2\)"):
        Analyser(RATE, 2).feed(np.zeros((5, 3), dtype=np.float32))


@pytest.mark.slow
def test_three_hours_need_little_memory() -> None:
    import tracemalloc

    rate, minute = 8_000, clicks(120, 60.0, rate=8_000)[:, None]
    analyser = Analyser(rate, 1)
    analyser.feed(minute)
    tracemalloc.start()
    for _ in range(179):
        analyser.feed(minute)
    found = analyser.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6
    assert found.descriptors.tempo_bpm == pytest.approx(120, rel=0.02)
    assert found.descriptors.onset_density == pytest.approx(2.0, rel=0.05)
