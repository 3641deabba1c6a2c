"""Losses of the codec's training: spectra on several scales, mel bands and the waveform.

A mel loss alone cannot see harmonics above 1 kHz, so the linear-frequency terms carry the pitch
(log magnitude and spectral convergence, Yamamoto et al. 2020, arXiv:1910.11480, section 2.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

MEL_WINDOWS = (256, 512, 1024, 2048, 4096)
LINEAR_WINDOWS = (512, 1024, 2048, 4096)
MEL_BANDS = 64
FLOOR = 1e-2  # magnitude that counts as silence, 40 dB under white noise of variance one


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """How much each term counts."""

    mel: float = 0.4
    linear: float = 1.0
    waveform: float = 30.0
    commitment: float = 0.25


def mel_filterbank(window: int, sampling_rate: int, bands: int) -> NDArray[np.float32]:
    """Triangular filters evenly spaced in mels: `(window / 2 + 1, bands)`, every column of sum one.

    Bands narrower than the spacing of the bins are left out, so there can be fewer than `bands`.
    """
    top = 2595 * np.log10(1 + sampling_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    bins = np.arange(window // 2 + 1)[:, None] * sampling_rate / window
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling))
    filters = filters[:, filters.sum(axis=0) > 0]
    return np.asarray(filters / filters.sum(axis=0), dtype=np.float32)


def frame(x: mx.array, window: int, hop: int) -> mx.array:
    """Overlapping frames `(B, T) -> (B, frames, window)`; `hop` divides `window`, an incomplete last hop is cut.

    Made of a reshape and shifted slices: cheaper backwards than a gather.
    """
    hops = x.shape[1] // hop
    blocks = x[:, : hops * hop].reshape(x.shape[0], hops, hop)
    count = hops - window // hop + 1
    return mx.concatenate([blocks[:, i : i + count] for i in range(window // hop)], axis=-1)


class SpectralLoss:
    """Distance between two batches of waveforms `(B, T)`, zero for equal ones.

    `T` must be at least the longest window, 4,096 samples, unless shorter `windows` are given.
    """

    def __init__(
        self,
        sampling_rate: int,
        *,
        mel_windows: tuple[int, ...] = MEL_WINDOWS,
        linear_windows: tuple[int, ...] = LINEAR_WINDOWS,
        floor: float = FLOOR,
    ) -> None:
        # A lower floor lets the slopes at near silence drown the waveform's, and the phase is never learnt.
        self._floor = floor
        self.windows = tuple(sorted({*mel_windows, *linear_windows}))
        self._mel = {
            n: mx.array(mel_filterbank(n, sampling_rate, min(MEL_BANDS, n // 8))) for n in mel_windows
        }
        self._linear = frozenset(linear_windows)
        self._hann = {n: self._normalised_hann(n) for n in self.windows}

    @staticmethod
    def _normalised_hann(window: int) -> mx.array:
        # White noise of variance one gets magnitudes around one at every size.
        hann = np.hanning(window + 1)[:-1]
        return mx.array((hann / np.sqrt(np.sum(hann**2))).astype(np.float32))

    def magnitude(self, x: mx.array, window: int) -> mx.array:
        """Short-time magnitudes `(B, T) -> (B, frames, window / 2 + 1)`, never under the floor."""
        spectrum = mx.fft.rfft(frame(x, window, window // 4) * self._hann[window], axis=-1)
        real, imaginary = mx.real(spectrum), mx.imag(spectrum)
        return mx.sqrt(real * real + imaginary * imaginary + self._floor**2)

    def __call__(self, made: mx.array, wanted: mx.array) -> dict[str, mx.array]:
        """The terms as scalars: `mel`, `linear` (log magnitude + spectral convergence), `waveform`."""
        mel, linear = mx.array(0.0), mx.array(0.0)
        for window in self.windows:
            a, b = self.magnitude(made, window), self.magnitude(wanted, window)
            if window in self._mel:
                bands = self._mel[window]
                mel = mel + mx.mean(mx.abs(mx.log(a @ bands) - mx.log(b @ bands)))
            if window in self._linear:
                linear = linear + mx.mean(mx.abs(mx.log(a) - mx.log(b))) + _convergence(a, b)
        return {
            "mel": mel / len(self._mel),
            "linear": linear / len(self._linear),
            "waveform": mx.mean(mx.abs(made - wanted)),
        }


def _convergence(made: mx.array, wanted: mx.array) -> mx.array:
    """Norm of the magnitudes' difference relative to the wanted norm, mean over the batch."""
    difference = mx.sum((made - wanted) ** 2, axis=(1, 2))
    # The small term keeps the root's slope finite where the two are equal.
    return mx.mean(mx.sqrt(difference / mx.sum(wanted**2, axis=(1, 2)) + 1e-8)) - 1e-4
