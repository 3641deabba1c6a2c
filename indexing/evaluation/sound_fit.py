"""Fits the sound vector's whitening: what differs between variations of one piece counts less.

Linear discriminant analysis with shrinkage (Fisher 1936; within-class covariance normalisation, Hatch et al. 2006).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from indexing.analysis import SOUND_DIMENSION
from indexing.sound import Whitening

Values = NDArray[np.float64]

_SHRINKAGE = 0.1  # of a feature's variance; what varies less within a piece counts as if it varied so much


def fit_whitening(found: Mapping[str, Mapping[int, Values]]) -> Whitening:
    """Fits the constants to raw features by variation and piece, for pieces that have all variations.

    Args:
        found: Raw features `(F,)` by variation and piece.
    """
    pieces = sorted(set.intersection(*(set(variation) for variation in found.values())))
    raw = np.array([[variation[piece] for variation in found.values()] for piece in pieces])
    flat = raw.reshape(-1, raw.shape[-1])
    mean, deviation = flat.mean(axis=0), np.maximum(flat.std(axis=0), 1e-9)
    scaled = (raw - mean) / deviation
    centres = scaled.mean(axis=1, keepdims=True)
    inner = (scaled - centres).reshape(flat.shape)
    within, directions = np.linalg.eigh(inner.T @ inner / len(inner))
    even = directions / np.sqrt(within + _SHRINKAGE)
    between = (centres[:, 0] - centres.mean(axis=0)) @ even
    spread, axes = np.linalg.eigh(between.T @ between / len(between))
    kept = axes[:, np.argsort(spread)[::-1][:SOUND_DIMENSION]]
    return Whitening(mean=mean, projection=(even @ kept) / deviation[:, None])
