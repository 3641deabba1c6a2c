"""The built-in sound vector: how a clip sounds, whatever its level and sampling rate."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from indexing.key import FINE
from indexing.spectra import FRAME_RATE, Array, Spectra
from indexing.tempo import Periodicity

_TONE_BANDS = 36  # of two and a half semitones
_WIDE_BANDS = 6  # of fifteen semitones
_MODULATION_HZ = np.geomspace(0.25, 20.0, 11)  # edges
_MODULATION_SIZE = 4096  # frames; more than the longest excerpt has
_LAG_SECONDS = np.geomspace(0.1, 3.0, 25)  # edges

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundStatistics:
    """Sums over the frames of an excerpt; excerpts' sums may be added.

    Attributes:
        frames: How many; an array without axes.
        power: `(36,)` band powers.
        levels: `(36,)` band levels in decibels; `squares` are their squares.
        squares: `(36,)`.
        changes: `(36,)` absolute differences of the levels over 40 ms.
        modulation: `(6, 10)` power of the level's fluctuation, by band and by how fast it is.
        chroma: `(12,)` strength of the tones from C upwards.
        rhythm: `(24,)` how well onsets repeat after 0.1 to 3 seconds, times the frames.
    """

    frames: Values
    power: Values
    levels: Values
    squares: Values
    changes: Values
    modulation: Values
    chroma: Values
    rhythm: Values


def sound_statistics(spectra: Spectra, chroma: Values, periodicity: Periodicity | None) -> SoundStatistics:
    """What the vector needs of an excerpt.

    Args:
        spectra: Of the excerpt.
        chroma: Its fine chroma.
        periodicity: Of its onsets.
    """
    frames = len(spectra.levels)
    levels = spectra.levels.reshape(frames, _TONE_BANDS, -1).mean(axis=2, dtype=np.float64)
    tones = chroma.reshape(12, FINE // 12).sum(axis=1)
    return SoundStatistics(
        frames=np.asarray(float(frames)),
        power=spectra.bands.reshape(frames, _TONE_BANDS, -1).sum(axis=(0, 2), dtype=np.float64),
        levels=levels.sum(axis=0),
        squares=(levels**2).sum(axis=0),
        changes=np.abs(levels[4:] - levels[:-4]).sum(axis=0),
        modulation=_modulation(levels.reshape(frames, _WIDE_BANDS, -1).mean(axis=2)),
        chroma=tones / max(float(tones.sum()), 1e-12) * frames,
        rhythm=np.zeros(len(_LAG_SECONDS) - 1) if periodicity is None else frames * _rhythm(periodicity),
    )


def _modulation(levels: Values) -> Values:
    """Power of the fluctuation of `(frames, bands)` levels in bands of modulation frequency."""
    fluctuation = (levels - levels.mean(axis=0)) * np.hanning(len(levels))[:, None]
    power = np.abs(np.fft.rfft(fluctuation, _MODULATION_SIZE, axis=0)) ** 2
    edges = np.round(_MODULATION_HZ * _MODULATION_SIZE / FRAME_RATE).astype(int)
    return np.asarray(np.add.reduceat(power, edges, axis=0)[:-1].T)


def _rhythm(periodicity: Periodicity) -> Values:
    edges = np.round(_LAG_SECONDS * FRAME_RATE).astype(int)
    lags = np.arange(edges[0], edges[-1])
    repeated = np.maximum(periodicity.correlation[lags], 0.0)
    return np.asarray(np.maximum.reduceat(repeated, edges[:-1] - edges[0]))


def raw_features(parts: Sequence[SoundStatistics]) -> Values | None:
    """`(240,)` numbers that do not depend on the level, before whitening; None where there is nothing."""
    if not parts:
        return None
    sums = {f.name: np.sum([getattr(part, f.name) for part in parts], axis=0) for f in fields(SoundStatistics)}
    frames = sums["frames"]
    spectrum = 10 * np.log10(sums["power"] / sums["power"].sum() + 1e-7)
    mean = sums["levels"] / frames
    spread = np.sqrt(np.maximum(sums["squares"] / frames - mean**2, 0.0))
    return np.concatenate(
        [
            spectrum,
            mean - mean.mean(),
            spread,
            sums["changes"] / frames,
            10 * np.log10(sums["modulation"].ravel() / frames + 1.0),
            sums["chroma"] / frames,
            sums["rhythm"] / frames,
        ]
    )


def sound_vector(parts: Sequence[SoundStatistics]) -> Array | None:
    """`(SOUND_DIMENSION,)` float32 of unit length, or None where there is nothing to hear."""
    raw = raw_features(parts)
    if raw is None:
        return None
    vector = raw[:128] - raw[:128].mean()
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)


