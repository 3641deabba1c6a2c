"""Key and mode: which scale the tones of a clip belong to."""

import numpy as np
from numpy.typing import NDArray

from indexing.describe import KEYS
from indexing.spectra import RATE, Array, frequencies, transform

_SIZE, _HOP = 8192, 2400  # 341 ms, ten frames a second
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 2000.0
FINE = 36  # steps an octave, three a semitone, so that tuning can be told

# Krumhansl and Kessler 1982: how well each tone fits a key that starts on the first.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def fine_chroma(samples: Array) -> NDArray[np.float64]:
    """Strength of the tones of an excerpt, octaves folded: `(FINE,)`, the first is 440 Hz's A less a third.

    Only peaks of the spectrum count: hiss and drums have few that last.
    """
    magnitudes = np.abs(transform(samples, _SIZE, _HOP))
    hertz = frequencies(_SIZE)
    first, last = np.searchsorted(hertz, (_LOWEST_HZ, _HIGHEST_HZ))
    here = magnitudes[:, first:last]
    left, right = magnitudes[:, first - 1 : last - 1], magnitudes[:, first + 1 : last + 1]
    loudest = here.max(axis=1, keepdims=True, initial=0.0)
    rows, columns = np.nonzero((here > left) & (here >= right) & (here > 0.01 * loudest))
    if not len(rows):
        return np.zeros(FINE)
    a, b, c = (np.log(part[rows, columns] + 1e-12) for part in (left, here, right))
    offset = 0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-9)
    tone = (columns + first + offset) * (RATE / _SIZE)
    steps = np.round(np.log2(tone / 440.0) * FINE).astype(int) % FINE
    frames = np.zeros((len(here), FINE))
    np.add.at(frames, (rows, steps), np.sqrt(here[rows, columns]))
    return np.asarray(frames.sum(axis=0))


def estimate_key(chroma: NDArray[np.float64]) -> tuple[str | None, float]:
    """The key that fits a fine chroma best, and its confidence."""
    total = float(chroma.sum())
    if total <= 0:
        return None, 0.0
    tuned = max((np.roll(chroma, shift) for shift in (-1, 0, 1)), key=lambda c: float(c[::3].sum()))
    tones = np.roll(tuned, 1).reshape(12, 3).sum(axis=1)
    tones = np.roll(tones, -3)  # from A to C
    profile = (tones - tones.mean()) / max(float(tones.std()), 1e-12)
    fits = np.array(
        [profile @ _standard(np.roll(scale, tonic)) / 12 for scale in (_MAJOR, _MINOR) for tonic in range(12)]
    )
    best = int(fits.argmax())
    gap = float(fits[best] - np.delete(fits, best).max())
    flat = float(tones.std() / tones.mean())
    sure = float(np.clip(fits[best], 0, 1) * np.clip(flat / 0.5, 0, 1) * np.clip(0.4 + 4 * gap, 0, 1))
    if fits[best] < 0.5 or flat < 0.15:
        return None, 0.0
    return KEYS[best], round(sure, 3)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((values - values.mean()) / values.std())
