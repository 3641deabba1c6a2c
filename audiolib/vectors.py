"""Vectors as text, for sidecars: base64 of little-endian float16, which is exact enough for unit vectors."""

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def encode(vector: "np.ndarray") -> str:
    """Return a vector as text.

    Args:
        vector: `(D,)`, finite, each number within float16's range.
    """
    import numpy as np

    return base64.b64encode(np.asarray(vector, dtype="<f2").tobytes()).decode("ascii")


def decode(text: str, *, dimension: int | None = None) -> "np.ndarray | None":
    """Return the vector `(D,)` float32 that `encode` made into text; `None` when it is damaged.

    Args:
        text: From a sidecar, which people may have edited.
        dimension: How many numbers it must have; any number when `None`.
    """
    import numpy as np

    try:
        vector = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f2").astype(np.float32)
    except (binascii.Error, ValueError):
        return None
    if dimension not in (None, len(vector)) or not len(vector):
        return None
    return vector if np.isfinite(vector).all() and vector.any() else None
