"""The voices of the corpus, drawn at random, and those kept for judging only."""

from __future__ import annotations

import numpy as np

from indexing.training.engines import Voice

ACCENTS = ("en-us", "en-us-nyc", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
VARIANTS = (
    "",
    "f1",
    "f2",
    "f3",
    "f5",
    "m1",
    "m2",
    "m3",
    "m4",
    "m5",
    "m6",
    "m8",
    "Annie",
    "linda",
    "max",
    "john",
)
FLITE = ("slt", "awb", "kal16")
UNSEEN = ("en-gb-x-gbcwmd+m7", "en-us+f4", "en-us+Michael")
UNSEEN_FLITE = "rms"


def draw(rng: np.random.Generator, *, flite: float = 0.12) -> Voice:
    """A voice of the corpus; `flite` is the share of flite's, which is slower and more natural."""
    rate = int(rng.integers(115, 216))
    if rng.random() < flite:
        return Voice(engine="flite", name=str(rng.choice(FLITE)), rate=rate)
    accent, variant = str(rng.choice(ACCENTS)), str(rng.choice(VARIANTS))
    # English of the United States counts most: it is what both engines speak best.
    if rng.random() < 0.35:
        accent = "en-us"
    name = f"{accent}+{variant}" if variant else accent
    return Voice(engine="espeak", name=name, rate=rate, pitch=int(rng.integers(20, 81)))


def draw_unseen(rng: np.random.Generator) -> Voice:
    """A voice that the corpus never holds."""
    rate = int(rng.integers(130, 200))
    if rng.random() < 0.5:
        return Voice(engine="flite", name=UNSEEN_FLITE, rate=rate)
    return Voice(engine="espeak", name=str(rng.choice(UNSEEN)), rate=rate, pitch=int(rng.integers(35, 66)))
