"""The built-in sound vector: how a clip sounds, whatever its level and sampling rate."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from indexing.analysis import SOUND_SPACE
from indexing.errors import IndexingError
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
    sums = {
        f.name: np.sum([getattr(part, f.name) for part in parts], axis=0) for f in fields(SoundStatistics)
    }
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Whitening:
    """What makes raw features comparable: `(features - mean) @ projection`.

    Attributes:
        mean: `(240,)` of the pieces that it was fitted to.
        projection: `(240, SOUND_DIMENSION)`.
    """

    mean: Values
    projection: Values

    def save(self, path: Path) -> None:
        """Writes it, in half the precision that is computed with."""
        np.savez_compressed(
            path, mean=self.mean.astype(np.float32), projection=self.projection.astype(np.float32)
        )


@lru_cache(maxsize=1)
def load_whitening() -> Whitening:
    """The constants of the space `SOUND_SPACE`, which are part of the package.

    Raises:
        IndexingError: The file is missing or damaged: the installation is.
    """
    path = Path(__file__).with_name("data") / f"{SOUND_SPACE}.npz"
    try:
        with np.load(path) as stored:
            mean, projection = (stored[name].astype(np.float64) for name in ("mean", "projection"))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise IndexingError(f"{path} is missing or damaged: install audiolib again.") from error
    return Whitening(mean=mean, projection=projection)


def whiten(raw: Values, whitening: Whitening) -> Values:
    """Raw features `(..., 240)` to vectors `(..., SOUND_DIMENSION)` of unit length."""
    vectors = (raw - whitening.mean) @ whitening.projection
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def sound_vector(parts: Sequence[SoundStatistics]) -> Array | None:
    """`(SOUND_DIMENSION,)` float32 of unit length, or None where there is nothing to hear."""
    raw = raw_features(parts)
    return None if raw is None else whiten(raw, load_whitening()).astype(np.float32)
