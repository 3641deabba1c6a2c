"""Where sounds begin, and how much of a sound is percussive."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from indexing.spectra import FRAME_RATE, Array, Spectra

_LAG = 4  # frames between the levels that are compared
_REACH = 4  # frames; onsets are at least 50 ms apart
_AROUND = FRAME_RATE // 2
_STEADY_FRAMES = 9  # 180 ms
_WIDE_BANDS = 9  # semitones


def onset_strength(spectra: Spectra) -> Array:
    """How much the sound rises in each frame, `(frames,)`, in decibels a band.

    A band is compared with the loudest of its neighbourhood 40 ms before, so that vibrato is no onset
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
        strength[: 2 * _LAG] = 0.0
    # A sound that is cut off at the end clicks there: that is no onset.
    strength[-_LAG - 1 :] = 0.0
    return np.asarray(strength, dtype=np.float32)


def onset_frames(strength: Array) -> NDArray[np.intp]:
    """Frames in which a sound begins: peaks well above what is usual within half a second."""
    smooth = np.convolve(strength, np.array([0.25, 0.5, 0.25], dtype=np.float32), mode="same")
    nearby = sliding_window_view(np.pad(smooth, _REACH), 2 * _REACH + 1)
    # Hiss rises a little all the time: its lower values tell how high it may rise by chance.
    around = sliding_window_view(np.pad(smooth, _AROUND, mode="symmetric"), 2 * _AROUND + 1)
    rank = int(0.3 * around.shape[1])
    usual = np.partition(around, rank, axis=1)[:, rank]
    peaks = np.flatnonzero((smooth >= nearby.max(axis=1)) & (smooth > 0.5 + 2.5 * usual))
    return peaks[np.diff(peaks, prepend=-_REACH - 1) > _REACH]


def percussive_power(spectra: Spectra) -> tuple[float, float]:
    """Magnitude that is percussive, and all of it; their ratio is the percussive share.

    What stands out in time more than in frequency is percussive (Fitzgerald 2010, "Harmonic/percussive
    separation using median filtering").
    """
    # Steps of 20 ms and of a semitone are fine enough, and a tenth of the work.
    frames, bands = (size // 2 * 2 for size in spectra.bands.shape)
    blocks = spectra.bands[:frames, :bands].reshape(frames // 2, 2, bands // 2, 2)
    magnitudes = np.sqrt(blocks.sum(axis=(1, 3)))
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
