"""A language for tests: every word is a chord of its own, so that no synthesiser is needed."""

from __future__ import annotations

import numpy as np

from indexing.training.corpus import Spoken
from indexing.training.engines import SAMPLING_RATE, Voice
from indexing.training.words import WORDS

WORD_SECONDS = 0.4


def chords(*words: str) -> Spoken:
    """A sentence in chords, a fifth of a second of silence before it."""
    times = np.arange(int(WORD_SECONDS * SAMPLING_RATE)) / SAMPLING_RATE
    parts = [np.zeros(SAMPLING_RATE // 5)]
    for word in words:
        number = WORDS.index(word)
        tones = [300 * 2 ** (number % 12 / 4), 350 * 2 ** (number // 12 % 16 / 4)]
        parts.append(sum(np.sin(2 * np.pi * tone * times) for tone in tones) * np.hanning(len(times)) / 4)
    return Spoken(
        samples=np.concatenate(parts).astype(np.float32),
        words=words,
        starts=tuple(0.2 + WORD_SECONDS * place for place in range(len(words))),
        voice=Voice(engine="test", name="chords"),
    )
