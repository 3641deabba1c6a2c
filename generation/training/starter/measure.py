"""What a listener would say of a clip, as numbers: how busy, how bright, how much drum, how well in tune."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]

_FRAME_SECONDS = 0.032
_LOWEST_PITCH_HZ, _HIGHEST_PITCH_HZ = 60.0, 2100.0


def _spectrogram(audio: Audio, size: int, hop: int) -> NDArray[np.float64]:
    """Magnitudes `(frames, bins)` under a Hann window; short audio is padded to one frame."""
    padded = np.pad(np.asarray(audio, dtype=np.float64), (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(audio) + 1 : hop]
    return np.asarray(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)))


def _bands(magnitudes: NDArray[np.float64], hz: int, count: int = 24) -> NDArray[np.float64]:
    """Sum energies in at most `count` bands that widen with frequency, 60 Hz to 14 kHz: `(frames, bands)`.

    A band has three bins at least and is averaged over three frames: hiss then hardly rises or falls.
    """
    bins = magnitudes.shape[1]
    edges: list[int] = []
    for edge in np.geomspace(60.0, min(14_000.0, 0.45 * hz), count + 1) / (hz / 2) * (bins - 1):
        if not edges or round(edge) - edges[-1] >= 3:
            edges.append(round(edge))
    energies = np.add.reduceat(magnitudes[:, : edges[-1]] ** 2, edges[:-1], axis=1)
    padded = np.pad(energies, ((1, 1), (0, 0)))
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3)


def _peaks(curve: NDArray[np.float64], threshold: NDArray[np.float64], reach: int) -> NDArray[np.intp]:
    """Indices of values above `threshold` that are the largest within `reach`; equal neighbours are one."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(curve, reach), 2 * reach + 1)
    peaks = np.flatnonzero((curve >= windows.max(axis=1)) & (curve > threshold))
    return peaks[np.diff(peaks, prepend=-reach - 1) > reach]


def onset_rate(audio: Audio, hz: int) -> float:
    """Count onsets a second: peaks of the rise of band levels (spectral flux).

    Source: Dixon, "Onset detection revisited" (2006), with levels in decibels.
    """
    hop = round(0.01 * hz)
    energies = _bands(_spectrogram(audio, round(_FRAME_SECONDS * hz), hop), hz)
    loudest = float(energies.max(initial=0.0))
    if loudest <= 0:
        return 0.0
    # Levels below the floor count as silence; each is compared with the one 30 ms before.
    floor, lag, reach = -45.0, 3, 3
    levels = np.maximum(10 * np.log10(energies / loudest + 1e-12), floor)
    before = np.concatenate([np.full((lag, levels.shape[1]), floor), levels[:-lag]])
    smooth = np.hanning(7)[1:-1]
    flux = np.convolve(
        np.maximum(levels - before - 1.5, 0.0).mean(axis=1), smooth / smooth.sum(), mode="same"
    )
    width = min(61, len(flux))
    around = np.convolve(flux, np.ones(width) / width, mode="same")
    peaks = _peaks(flux, np.maximum(1.5 * around, 0.9), reach)
    # A sound that is cut off at the end clicks there: that is no onset.
    return int(np.sum(peaks * hop < len(audio) - 2 * reach * hop)) / (len(audio) / hz)


def spectral_centroid(audio: Audio, hz: int) -> float:
    """Give the centre of gravity of the magnitude spectrum in Hz; 0 for silence.

    What is 60 dB below the loudest frequency is left out: a noise floor is wide, but not heard.
    """
    magnitudes = _spectrogram(audio, 2048, 1024)
    spectrum = magnitudes.sum(axis=0)
    spectrum[spectrum < 1e-3 * spectrum.max()] = 0.0
    total = float(spectrum.sum())
    if total <= 0:
        return 0.0
    frequencies = np.linspace(0.0, hz / 2, magnitudes.shape[1])
    return float((spectrum * frequencies).sum() / total)


def band_levels(audio: Audio, hz: int) -> NDArray[np.float64]:
    """Give the level of each of at most 24 bands in dB relative to their sum, -60 at least: `(bands,)`."""
    energies = _bands(_spectrogram(audio, round(_FRAME_SECONDS * hz), round(0.01 * hz)), hz).mean(axis=0)
    total = float(energies.sum())
    if total <= 0:
        return np.full(len(energies), -60.0)
    return np.asarray(np.maximum(10 * np.log10(energies / total + 1e-12), -60.0))


def percussive_share(audio: Audio, hz: int) -> float:
    """Give the share of the magnitude that is percussive, 0 to 1: what stands still in frequency, not in time.

    Source: Fitzgerald, "Harmonic/percussive separation using median filtering" (2010); the margin that
    leaves hiss out of both parts is Driedger et al., "Extending harmonic-percussive separation" (2014).
    """
    from scipy.ndimage import median_filter  # type: ignore[import-untyped]  # scipy ships no type hints

    size = round(2 * _FRAME_SECONDS * hz)
    magnitudes = _spectrogram(audio, size, size // 4).astype(np.float32)
    total = float(magnitudes.sum())
    if total <= 0:
        return 0.0
    # 0.24 s along time, 480 Hz along frequency.
    steady = median_filter(magnitudes, size=(15, 1))
    sudden = median_filter(magnitudes, size=(1, 31))
    return float(magnitudes[sudden > 2.0 * steady].sum() / total)


def pitch_track(audio: Audio, hz: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Follow the pitch of a single voice by normalised autocorrelation.

    Returns:
        `(frames,)` fundamental frequencies in Hz and `(frames,)` clarities, 0 (noise, silence) to 1; a frame
        is 64 ms, a step 20 ms.
    """
    size = round(0.064 * hz)
    padded = np.asarray(audio, dtype=np.float64)
    if len(padded) < size:
        padded = np.pad(padded, (0, size - len(padded)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: round(0.02 * hz)]
    shortest, longest = int(hz / _HIGHEST_PITCH_HZ), int(hz / _LOWEST_PITCH_HZ)
    spectrum = np.fft.rfft(frames, 2 * size, axis=1)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, : longest + 2]
    # Energies of the two overlapping pieces, so that long lags are not disfavoured.
    squares = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    lags = np.arange(longest + 2)
    head = squares[:, size - lags]
    tail = squares[:, -1:] - squares[:, lags]
    correlation = correlation / np.maximum(np.sqrt(head * tail), 1e-12)
    energies = squares[:, -1]
    frequencies = np.zeros(len(frames))
    clarities = np.zeros(len(frames))
    quiet = max(float(energies.max(initial=0.0)), 1e-12) * 10 ** (-35 / 10)
    for row, curve in enumerate(correlation):
        if energies[row] < quiet:
            continue
        inner = curve[shortest : longest + 1]
        tops = shortest + np.flatnonzero(
            (inner >= curve[shortest - 1 : longest]) & (inner > curve[shortest + 1 :])
        )
        if len(tops) == 0:
            continue
        # The shortest lag that is nearly as good as the best: longer ones are its multiples.
        lag = int(tops[np.argmax(curve[tops] >= 0.93 * curve[tops].max())])
        left, middle, right = curve[lag - 1 : lag + 2]
        offset = 0.5 * (left - right) / min(left - 2 * middle + right, -1e-12)
        frequencies[row] = hz / (lag + offset)
        clarities[row] = float(np.clip(middle, 0.0, 1.0))
    return frequencies, clarities


def pitch_errors_cents(reference: Audio, other: Audio, hz: int) -> NDArray[np.float64]:
    """Compare two recordings of one voice frame by frame: `(frames,)` absolute differences in cents.

    Only frames in which the reference is loud and has a clear pitch are compared; a frame in which
    `other` has no pitch counts as an octave.
    """
    length = min(len(reference), len(other))
    wanted, clarity = pitch_track(reference[:length], hz)
    got, _ = pitch_track(other[:length], hz)
    heard = clarity > 0.85
    wanted, got = wanted[heard], got[heard]
    cents = np.full(len(wanted), 1200.0)
    voiced = got > 0
    cents[voiced] = np.abs(1200.0 * np.log2(got[voiced] / wanted[voiced]))
    return cents
