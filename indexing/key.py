"""Key and mode: which scale the tones of a clip belong to."""

import numpy as np
from numpy.typing import NDArray

from indexing.describe import KEYS
from indexing.spectra import RATE, Array, frequencies, transform

_SIZE, _HOP = 8192, 2400  # 341 ms, ten frames a second
_LOWEST_HZ, _HIGHEST_HZ = 62.0, 2100.0
FINE = 36  # steps an octave, three a semitone, so that instruments may be a little out of tune

# How much a tone speaks for a key, from the tonic upwards. They began as the profiles of Albrecht and
# Shanahan 2013 ("The use of large corpora to train a new type of key-finding algorithm") and were fitted to
# 500 rendered pieces by regularised softmax regression; so a softmax over the keys is a probability.
_MAJOR = (1.31, -0.71, -0.3, -0.66, 0.7, 0.5, -0.68, 1.15, -0.67, -0.01, -1.17, 0.53)
_MINOR = (1.66, -1.26, 0.16, 0.89, -0.81, -0.01, -0.44, 0.91, -0.03, -0.73, -0.06, -0.27)
_NARROW = 4  # bins
_FEWEST_TONES = 3  # different ones, each at least a fifth as strong as the strongest


def fine_chroma(samples: Array) -> NDArray[np.float64]:
    """Strength of the tones of an excerpt, octaves folded: `(FINE,)`, the second is C at A = 440 Hz.

    Only peaks of the spectrum count: hiss has them everywhere, drums hardly any that last. Strengths are
    compressed, so that soft parts count too.
    """
    magnitudes = np.abs(transform(samples, _SIZE, _HOP))
    first, last = np.searchsorted(frequencies(_SIZE), (_LOWEST_HZ, _HIGHEST_HZ))
    here = magnitudes[:, first:last]
    left, right = magnitudes[:, first - 1 : last - 1], magnitudes[:, first + 1 : last + 1]
    loudest = here.max(axis=1, keepdims=True, initial=0.0)
    # A tone's peak is six bins wide; a click or a drum is broad.
    around = np.maximum(
        magnitudes[:, first - _NARROW : last - _NARROW], magnitudes[:, first + _NARROW : last + _NARROW]
    )
    audible = np.maximum(0.01 * loudest, 0.003 * float(loudest.max(initial=0.0)))
    rows, columns = np.nonzero((here > left) & (here >= right) & (here > np.maximum(audible, 2.0 * around)))
    if not len(rows):
        return np.zeros(FINE)
    # Where the peak is between the bins: a parabola through three logarithms.
    a, b, c = (np.log(part[rows, columns] + 1e-12) for part in (left, here, right))
    offset = 0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-9)
    hertz = (columns + first + offset) * (RATE / _SIZE)
    steps = (np.round(np.log2(hertz / 440.0) * FINE).astype(int) + 28) % FINE

    frames = np.zeros((len(here), FINE))
    np.add.at(frames, (rows, steps), here[rows, columns] ** 0.3)
    return np.asarray(frames.sum(axis=0))


def estimate_key(chroma: NDArray[np.float64], seconds: float) -> tuple[str | None, float]:
    """The key that fits the fine chroma of so many seconds best, and its confidence."""
    total = float(chroma.sum())
    if total <= 0:
        return None, 0.0
    thirds = chroma.reshape(12, 3).sum(axis=0)
    tones = chroma.reshape(12, 3).sum(axis=1)
    if np.count_nonzero(tones > 0.2 * tones.max()) < _FEWEST_TONES:
        return None, 0.0
    profile = (tones - tones.mean()) / float(tones.std() + 1e-12)
    fits = np.array([np.roll(scale, tonic) @ profile for scale in (_MAJOR, _MINOR) for tonic in range(12)])
    chance = np.exp(fits - fits.max())
    best = int(fits.argmax())
    # Tones of instruments lie a semitone apart, hiss lies everywhere.
    tuned = float(abs(thirds @ np.exp(2j * np.pi * np.arange(3) / 3))) / total
    tonal = float(np.clip((tuned - 0.05 - 0.1 / seconds) / 0.1, 0.0, 1.0))
    sure = tonal * float(chance[best] / chance.sum())
    return (None, 0.0) if sure < 0.1 else (KEYS[best], round(sure, 3))
