"""Whisper's input (Radford et al. 2022, section 2.2): 80 mel bands, windows of 25 ms, hops of 10 ms.

The same numbers as mlx_whisper's `log_mel_spectrogram`, in two parts: the logarithm of the power is stored, and
its floor, which depends on the whole clip, comes last.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

BANDS = 80
FRAMES_PER_SECOND = 100
WINDOW, HOP = 400, 160
SAMPLING_RATE = 16_000
LOG_FLOOR = -10.0
"""Logarithm of the power that stands for none."""


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    linear = hertz * 3 / 200
    return np.where(hertz < 1000, linear, 15 + 27 * np.log(np.maximum(hertz, 1e-9) / 1000) / np.log(6.4))


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


@functools.cache
def filterbank() -> NDArray[np.float32]:
    """Triangles of equal area, `(201, 80)`: librosa's `filters.mel(sr=16000, n_fft=400, n_mels=80)`."""
    edges = _hertz(np.linspace(0.0, float(_mel(np.array(8000.0))), BANDS + 2))
    bins = np.linspace(0, SAMPLING_RATE / 2, WINDOW // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * 2 / (edges[2:] - edges[:-2]), dtype=np.float32)


def log_power(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log10 of each band's power, `(samples,) -> (frames, 80)`, at least -10; a frame every 160 samples.

    The clip is taken to be followed by digital silence, as mlx_whisper pads it.
    """
    frames = (len(samples) + WINDOW // 2 - 1) // HOP + 1  # the last ones half in the silence
    padded = np.pad(samples, (WINDOW // 2, 0), mode="reflect") if len(samples) > WINDOW else samples
    padded = np.pad(padded, (0, max(0, frames * HOP + WINDOW - len(padded))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:frames]
    hann = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    spectrum = np.abs(np.fft.rfft(windows * hann, axis=1)).astype(np.float32) ** 2
    logarithm: NDArray[np.float32] = np.log10(np.maximum(spectrum @ filterbank(), 1e-10), dtype=np.float32)
    return logarithm
