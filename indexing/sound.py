"""The built-in sound vector: how a clip sounds, whatever its level and sampling rate."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexing.analysis import SOUND_DIMENSION
from indexing.spectra import Array, Spectra


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundStatistics:
    """Sums over the frames of an excerpt; excerpts' sums may be added."""

    frames: int
    levels: NDArray[np.float64]
    squares: NDArray[np.float64]


def sound_statistics(spectra: Spectra) -> SoundStatistics:
    """What the vector needs of an excerpt."""
    levels = spectra.levels.astype(np.float64)
    return SoundStatistics(frames=len(levels), levels=levels.sum(axis=0), squares=(levels**2).sum(axis=0))


def sound_vector(parts: list[SoundStatistics]) -> Array | None:
    """`(SOUND_DIMENSION,)` float32 of unit length, or None where there is nothing to hear."""
    frames = sum(part.frames for part in parts)
    if not frames:
        return None
    mean = np.sum([part.levels for part in parts], axis=0) / frames
    spread = np.sqrt(np.maximum(np.sum([part.squares for part in parts], axis=0) / frames - mean**2, 0.0))
    raw = np.concatenate([mean - mean.mean(), spread - 10.0])[:SOUND_DIMENSION]
    vector = raw / max(float(np.linalg.norm(raw)), 1e-9)
    return np.asarray(vector, dtype=np.float32)
