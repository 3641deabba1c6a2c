"""Sounds for the tests of sound files."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

RATE = 32000
# What a sound file's text cannot hold: NUL ends it, and surrogates are no characters.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300)


def tone(samples: int = 3200, channels: int = 1) -> np.ndarray:
    """440 Hz at half of full scale, `(samples,)` or `(samples, channels)`; each channel at half of the one before."""
    wave = 0.5 * np.sin(2 * np.pi * 440 / RATE * np.arange(samples)).astype(np.float32)
    return wave if channels == 1 else np.stack([wave * (-0.5) ** c for c in range(channels)], axis=1)
