"""Tempo: the period that the onsets repeat with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexing.spectra import FRAME_RATE, Array

SLOWEST, FASTEST = 40.0, 240.0  # BPM
_LONGEST_LAG = 6 * FRAME_RATE
_USUAL = 110.0  # BPM; listeners prefer a beat near it (van Noorden and Moelants 1999)
_FEWEST_ONSETS = 4
_LEAST = 0.02
_SHARPNESS = 5.0
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
    # Compressed, or the first sound after silence would outweigh all that follow.
    rising = np.log1p(strength.astype(np.float64) / 3.0)
    rising -= rising.mean()
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


def estimate_tempo(parts: list[Periodicity], weights: list[float], onsets: int) -> tuple[float | None, float]:
    """Tempo in BPM and its confidence from the excerpts of a clip.

    A tempo's score is high where the onsets repeat at one to four of its periods, pulse with it, and repeat
    at its halves, too; and near the usual tempo. The weights were fitted to rendered music and clicks.

    Args:
        parts: Of each excerpt.
        weights: The excerpts' durations.
        onsets: How many were found in all; fewer than four have no tempo.
    """
    if not parts or onsets < _FEWEST_ONSETS:
        return None, 0.0
    correlation = np.average([part.correlation for part in parts], axis=0, weights=weights)
    spectrum = np.average([part.spectrum for part in parts], axis=0, weights=weights)
    lags = 60.0 * FRAME_RATE / _GRID
    comb = np.maximum(np.mean([_at(correlation, lags * n) for n in (1, 2, 3, 4)], axis=0), 0.0)
    between = [np.maximum(_at(correlation, lags * part), 0.0) for part in (0.5, 1.5)]
    score = (
        np.log(comb + _LEAST)
        + 0.55 * np.log(spectrum + _LEAST)
        + 0.5 * np.sum(between, axis=0)
        - 0.52 * np.log2(_GRID / _USUAL) ** 2
    )
    best = int(score.argmax())
    chance = np.exp(_SHARPNESS * (score - score[best]))
    alone = float(chance[np.abs(_GRID / _GRID[best] - 1) < 0.03].sum() / chance.sum())
    sure = alone * float(np.clip((comb[best] - 0.06) / 0.2, 0.0, 1.0))
    if sure < 0.1:
        return None, 0.0
    return round(_refined(correlation, float(lags[best])), 1), round(sure, 3)


def _at(curve: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.interp(places, np.arange(len(curve)), curve, right=0.0)


def _refined(correlation: NDArray[np.float64], lag: float) -> float:
    """The tempo of the best period within 1.5 % of `lag`, judged at its multiples too."""
    near = lag * np.linspace(0.985, 1.015, 121)
    score = sum(_at(correlation, near * n) for n in (1, 2, 4, 8))
    return 60.0 * FRAME_RATE / float(near[int(np.argmax(score))])
