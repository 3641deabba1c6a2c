"""Short-time spectra of an excerpt, computed once for all descriptors."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

RATE = 24_000  # Hz; everything but loudness is measured at this rate
FRAME_RATE = 100  # frames a second
_HOP = RATE // FRAME_RATE
_SIZE = 1536  # 64 ms
_LOWEST_HZ = 60.0
_BANDS_PER_OCTAVE = 24  # half a semitone each: a note that begins while others sound is then heard
BANDS = 180  # up to 10.6 kHz
_FLOOR_DB = -60.0  # below the loudest band of the excerpt; what is lower counts as this

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectra:
    """An excerpt in time and frequency.

    Attributes:
        samples: `(samples,)` at `RATE`, mono.
        magnitudes: `(frames, 769)` of a Hann window; a full-scale sine is about 1.
        bands: `(frames, BANDS)` powers in bands of half a semitone.
        levels: `(frames, BANDS)` the same in decibels below the excerpt's loudest band, -60 to 0.
        continues: whether the excerpt goes on from another one, so that its start is no onset.
    """

    samples: Array
    magnitudes: Array
    bands: Array
    levels: Array
    continues: bool

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / RATE


def spectra_of(samples: Array, *, continues: bool = False) -> Spectra:
    """Transforms an excerpt of `(samples,)` at `RATE`; frames are centred on multiples of 10 ms."""
    magnitudes = np.abs(transform(samples, _SIZE, _HOP))
    magnitudes *= np.float32(4.0 / _SIZE)
    bands = (magnitudes**2) @ _filters()
    loudest = max(float(bands.max(initial=0.0)), 1e-12)
    levels = 10 * np.log10(np.maximum(bands, loudest * 10 ** (_FLOOR_DB / 10)) / loudest)
    return Spectra(samples=samples, magnitudes=magnitudes, bands=bands, levels=levels, continues=continues)


def transform(samples: Array, size: int, hop: int) -> NDArray[np.complex64]:
    """Spectra `(frames, size / 2 + 1)` under a Hann window, centred on multiples of `hop` samples."""
    padded = np.pad(samples, size // 2)
    frames = sliding_window_view(padded, size)[::hop]
    return np.fft.rfft(frames * _hann(size), axis=1).astype(np.complex64, copy=False)


def frequencies(size: int = _SIZE) -> Array:
    """Hz of the bins of a spectrum of `size` samples."""
    return np.fft.rfftfreq(size, 1 / RATE).astype(np.float32)


def band_centres() -> Array:
    """Hz of the middles of the bands, `(BANDS,)`."""
    return np.asarray(_LOWEST_HZ * 2 ** (np.arange(BANDS) / _BANDS_PER_OCTAVE), dtype=np.float32)


@lru_cache(maxsize=4)
def _hann(size: int) -> Array:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


@lru_cache(maxsize=1)
def _filters() -> Array:
    """Triangles on a logarithmic scale, `(769, BANDS)`.

    Low bands are closer together than the bins: a triangle reaches at least a bin each way, so none is empty.
    """
    centres = band_centres()
    step = 2 ** (1 / _BANDS_PER_OCTAVE)
    bin_hz = RATE / _SIZE
    low = np.minimum(centres / step, centres - bin_hz)
    high = np.maximum(centres * step, centres + bin_hz)
    hertz = frequencies()[:, None]
    rising = (hertz - low) / (centres - low)
    falling = (high - hertz) / (high - centres)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)), dtype=np.float32)
