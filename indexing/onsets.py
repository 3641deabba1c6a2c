"""Where sounds begin, and how much of a sound is percussive."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from indexing.spectra import FRAME_RATE, Array, Spectra

_LAG = 2  # frames between the levels that are compared
_REACH = 3  # frames; onsets are at least 40 ms apart
_STEADY_FRAMES = 17  # 170 ms
_WIDE_BANDS = 17


def onset_strength(spectra: Spectra) -> Array:
    """How much the sound rises in each frame, `(frames,)`, in decibels a band.

    A band is compared with the loudest of its neighbourhood 20 ms before, so that vibrato is no onset
    (Böck and Widmer 2013, "Maximum filter vibrato suppression for onset detection").
    """
    levels = spectra.levels
    floor = levels.min(initial=0.0)
    before = np.full_like(levels, floor)
    before[_LAG:] = levels[:-_LAG]
    widened = before.copy()
    widened[:, 1:] = np.maximum(widened[:, 1:], before[:, :-1])
    widened[:, :-1] = np.maximum(widened[:, :-1], before[:, 1:])
    strength = np.maximum(levels - widened - 1.0, 0.0).mean(axis=1)
    if spectra.continues:
        strength[: 2 * _LAG + 2] = 0.0
    # A sound that is cut off at the end clicks there: that is no onset.
    strength[-_LAG - 1 :] = 0.0
    return np.asarray(strength, dtype=np.float32)


def onset_frames(strength: Array) -> NDArray[np.intp]:
    """Frames in which a sound begins: peaks well above their surroundings."""
    smooth = np.convolve(strength, np.array([0.25, 0.5, 0.25], dtype=np.float32), mode="same")
    windows = sliding_window_view(np.pad(smooth, _REACH), 2 * _REACH + 1)
    around = _moving_mean(smooth, FRAME_RATE // 2)
    peaks = np.flatnonzero((smooth >= windows.max(axis=1)) & (smooth > np.maximum(1.5 * around, 0.7)))
    return peaks[np.diff(peaks, prepend=-_REACH - 1) > _REACH]


def percussive_power(spectra: Spectra) -> tuple[float, float]:
    """Magnitude that is percussive, and all of it; their ratio is the percussive share.

    What stands out in time more than in frequency is percussive (Fitzgerald 2010, "Harmonic/percussive
    separation using median filtering").
    """
    magnitudes = np.sqrt(spectra.bands)
    total = float(magnitudes.sum())
    steady = _median(magnitudes.T, _STEADY_FRAMES).T
    sudden = _median(magnitudes, _WIDE_BANDS)
    percussive = sudden**2 / np.maximum(sudden**2 + (2.0 * steady) ** 2, 1e-20)
    return float((magnitudes * percussive).sum()), total


def _median(rows: Array, width: int) -> Array:
    """Running median along the last axis, edges repeated."""
    padded = np.pad(rows, ((0, 0), (width // 2, width // 2)), mode="edge")
    windows = sliding_window_view(padded, width, axis=1)
    median: Array = np.partition(windows, width // 2, axis=-1)[..., width // 2]
    return median


def _moving_mean(curve: Array, reach: int) -> Array:
    sums = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)])
    at = np.arange(len(curve))
    first, last = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(curve))
    return np.asarray((sums[last] - sums[first]) / (last - first), dtype=np.float32)
