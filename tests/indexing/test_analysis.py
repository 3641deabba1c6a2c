"""Analysing streams: no block size, rate, channel count or length may matter, and nothing may fail."""

from __future__ import annotations

import numpy as np
import pytest
from indexing_signals import RATE, clicks

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


def test_the_vector_has_unit_length() -> None:
    vector = analyse(clicks(100), RATE).vector
    assert vector is not None
    assert vector.shape == (SOUND_DIMENSION,)
    assert vector.dtype == np.float32
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5
