"""A look-ahead limiter of true peaks: loud passages are turned down smoothly before they would be cut off."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

_REACH_SECONDS = (
    0.02  # on either side of a peak; shorter is heard as distortion of the bass, longer as pumping
)
_BLOCK = 1 << 18  # frames: what is worked on at once
_OVERSAMPLING = 4  # ITU-R BS.1770-4, annex 2
_MARGIN = 128  # frames on either side of a block, so that its edges are interpolated like its middle
_MOST_BETWEEN = 2.0  # between samples music goes hardly ever 6 dB higher


def true_peaks(audio: Samples, *, least: float = 0.0) -> Samples:
    """The largest absolute value at and right after each frame, between samples too: `(frames,)`.

    Args:
        audio: `(frames, channels)` float32.
        least: Peaks under it do not matter: where the sound cannot reach it, only its samples count.
    """
    import soxr

    peaks = np.empty(len(audio), dtype=np.float32)
    for start, stop in _blocks(len(audio)):
        own = np.abs(audio[start:stop]).max(axis=1)
        if own.max() * _MOST_BETWEEN > least:
            first = max(0, start - _MARGIN)
            finer = soxr.resample(audio[first : stop + _MARGIN], 1, _OVERSAMPLING, quality="MQ")
            finer = np.abs(finer[(start - first) * _OVERSAMPLING :][: len(own) * _OVERSAMPLING]).max(axis=1)
            own = np.maximum(own, finer.reshape(-1, _OVERSAMPLING).max(axis=1))
        peaks[start:stop] = own
    return peaks


def hold_peaks(audio: Samples, peaks: Samples, sampling_rate: int, ceiling: float) -> float:
    """Turn down what would pass `ceiling`, in place; all channels alike.

    The gain that each frame needs is held for 20 ms before and after it (a moving minimum) and smoothed by a window
    of the same length, so that no frame gets more than it may have.

    Args:
        audio: `(frames, channels)` float32.
        peaks: Its `true_peaks`; those of the same sound at another level are in proportion.
        sampling_rate: Hz.
        ceiling: The largest absolute value that may be left, above 0.

    Returns:
        By how many dB the loudest frame was turned down; 0 where nothing was.
    """
    reach = max(1, round(_REACH_SECONDS * sampling_rate))
    window, reached = _triangle(reach), np.float32(ceiling)
    lowest = 1.0
    for start, stop in _blocks(len(audio)):
        first, last = start - 2 * reach, stop + 2 * reach
        around = np.zeros(
            last - first, dtype=np.float32
        )  # nothing is needed before the beginning and after the end
        inside = peaks[max(0, first) : last]
        around[max(0, -first) :][: len(inside)] = inside
        if around.max() > reached:
            needed = (reached / np.maximum(around, reached)).astype(np.float32, copy=False)
            gain = _smoothed(_moving_minimum(needed, 2 * reach + 1), window)
            block = audio[start:stop]
            block *= gain[:, None]
            np.clip(block, -reached, reached, out=block)  # the last bit of a product
            lowest = min(lowest, float(gain.min()))
    return -20 * math.log10(lowest) if lowest < 1 else 0.0


def _blocks(frames: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + _BLOCK, frames)) for start in range(0, frames, _BLOCK))


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
