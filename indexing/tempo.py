"""Tempo: the period that the onsets repeat with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexing.spectra import FRAME_RATE, Array

SLOWEST, FASTEST = 40.0, 240.0  # BPM
_LONGEST_LAG = 6 * FRAME_RATE
_GRID = np.geomspace(SLOWEST, FASTEST, 360)  # BPM, half a per cent apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Periodicity:
    """How the onset strength of an excerpt repeats; excerpts' values may be averaged.

    Attributes:
        correlation: `(lags,)` autocorrelation, 1 at lag 0, lags in frames.
        spectrum: `(grid,)` magnitude at each tempo of the grid, 1 for a pulse that is all there is.
    """

    correlation: NDArray[np.float64]
    spectrum: NDArray[np.float64]


def periodicity(strength: Array) -> Periodicity | None:
    """Measures the onset strength `(frames,)` of an excerpt; None where nothing rises."""
    if len(strength) < FRAME_RATE or float(strength.max(initial=0.0)) <= 0:
        return None
    rising = strength.astype(np.float64) - strength.mean()
    rising = np.convolve(rising, np.hanning(7)[1:-1] / 3, mode="same")
    power = float(np.dot(rising, rising))
    size = 1 << (2 * len(rising) - 1).bit_length()
    raw = np.fft.irfft(np.abs(np.fft.rfft(rising, size)) ** 2, size)[:_LONGEST_LAG]
    lags = np.arange(len(raw))
    overlap = np.maximum(1 - lags / len(rising), 1e-9)
    correlation = np.where(overlap > 0.2, raw / power / overlap, 0.0)
    fine = 8 * size  # a quarter of a per cent apart at the slowest tempo
    magnitudes = np.abs(np.fft.rfft(rising, fine)) / np.sqrt(power * len(rising))
    spectrum = _at(magnitudes, _GRID / 60 * (fine / FRAME_RATE))
    return Periodicity(correlation=np.pad(correlation, (0, _LONGEST_LAG - len(raw))), spectrum=spectrum)


def estimate_tempo(parts: list[Periodicity], weights: list[float]) -> tuple[float | None, float]:
    """Tempo in BPM and its confidence from the excerpts of a clip, weighted by their durations."""
    if not parts:
        return None, 0.0
    correlation = np.average([part.correlation for part in parts], axis=0, weights=weights)
    spectrum = np.average([part.spectrum for part in parts], axis=0, weights=weights)
    lags = 60.0 * FRAME_RATE / _GRID
    comb = np.mean([_at(correlation, lags * n) for n in (1, 2, 3, 4)], axis=0)
    prior = np.exp(-0.5 * (np.log2(_GRID / 110.0) / 1.2) ** 2)
    score = np.maximum(comb, 0.0) * spectrum * prior
    best = int(score.argmax())
    sure = float(np.clip(1.5 * comb[best], 0.0, 1.0))
    if sure < 0.2:
        return None, 0.0
    return round(_refined(correlation, float(lags[best])), 1), round(sure, 3)


def _at(curve: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.interp(places, np.arange(len(curve)), curve, right=0.0)


def _refined(correlation: NDArray[np.float64], lag: float) -> float:
    """The tempo of the best period within 1.5 % of `lag`, judged at its multiples too."""
    near = lag * np.linspace(0.985, 1.015, 121)
    score = sum(_at(correlation, near * n) for n in (1, 2, 4, 8))
    return 60.0 * FRAME_RATE / float(near[int(np.argmax(score))])
