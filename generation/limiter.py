"""A look-ahead peak limiter: loud passages are turned down smoothly before they would be cut off."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

_REACH_SECONDS = (
    0.02  # on either side of a peak; shorter is heard as distortion of the bass, longer as pumping
)
_BLOCK = 1 << 18  # frames: memory does not grow with the clip


def hold_peaks(audio: Samples, sampling_rate: int, ceiling: float) -> float:
    """Turn down what would pass `ceiling`, in place; all channels alike.

    The gain that each frame needs is held for 20 ms before and after it (a moving minimum) and smoothed by a window
    of the same length, so that no frame gets more than it may have.

    Args:
        audio: `(frames, channels)` float32.
        sampling_rate: Hz.
        ceiling: The largest absolute value that may be left, above 0.

    Returns:
        By how many dB the loudest frame was turned down; 0 where nothing was.
    """
    reach = max(1, round(_REACH_SECONDS * sampling_rate))
    window = _triangle(reach)
    # What comes before a block is turned down already, but its own needs still count for this one.
    before = np.ones(2 * reach, dtype=np.float32)
    lowest = 1.0
    for start in range(0, len(audio), _BLOCK):
        block = audio[start : start + _BLOCK]
        behind = _needed(audio[start + len(block) : start + len(block) + 2 * reach], ceiling)
        ahead = np.ones(2 * reach, dtype=np.float32)
        ahead[: len(behind)] = behind
        own = _needed(block, ceiling)
        needed = np.concatenate([before, own, ahead])
        before = needed[-4 * reach : -2 * reach]
        if needed.min() < 1:
            held = _moving_minimum(needed, 2 * reach + 1)
            gain = _smoothed(held, window)
            block *= gain[:, None]
            np.clip(block, -ceiling, ceiling, out=block)  # the last bit of a product
            lowest = min(lowest, float(gain.min()))
    return -20 * math.log10(lowest) if lowest < 1 else 0.0


def _needed(frames: Samples, ceiling: float) -> Samples:
    """The gain `(frames,)` at which each frame just fits."""
    peaks = np.abs(frames).max(axis=1, initial=0.0)
    needed: Samples = np.minimum(1.0, ceiling / np.maximum(peaks, ceiling)).astype(np.float32)
    return needed


def _triangle(reach: int) -> npt.NDArray[np.float64]:
    rise = np.arange(1.0, reach + 2)
    window = np.concatenate([rise, rise[-2::-1]])
    window /= window.sum()
    return window


def _moving_minimum(values: Samples, width: int) -> Samples:
    """Minimum of each run of `width` values, `(len - width + 1,)`: runs of powers of two are joined."""
    run = 1
    while 2 * run <= width:
        values = np.minimum(values[:-run], values[run:])
        run *= 2
    rest = width - run
    return np.minimum(values[: len(values) - rest], values[rest:])


def _smoothed(values: Samples, window: npt.NDArray[np.float64]) -> Samples:
    """Weighted means of each run as long as the window, `(len - window + 1,)`, by FFT."""
    size = 1 << (len(values) - 1).bit_length()
    spectrum = np.fft.rfft(values, size) * np.fft.rfft(window, size)
    mean = np.fft.irfft(spectrum, size)[len(window) - 1 : len(values)]
    return mean.astype(np.float32)
