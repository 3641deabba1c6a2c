"""Weights in 8 or 4 bits, on request: the decoder's large products read a quarter or an eighth of the memory.

Groups of 64 neighbouring weights share a scale and an offset (MLX's affine quantisation); the embedding tables, the
norms and the projections of text and melody stay as they are. On the CPU the products are the same bits for any number
of rows, so a clip is still the same alone and in a batch; they are slower there than float32 (docs/performance.md).
"""

from __future__ import annotations

import logging

import mlx.core as mx
from mlx import nn

from generation.decoder import MusicGenDecoder
from generation.errors import InvalidRequestError
from generation.layers import Linear

_log = logging.getLogger(__name__)

BITS = (8, 4)
_GROUPS = (64, 32)  # MLX's own size first; narrow models are divided by the smaller one only


def quantise(decoder: MusicGenDecoder, bits: int) -> int:
    """Replace the products of the decoder's layers and of its heads by quantised ones, in place.

    Args:
        decoder: Loaded, in the number type that its states shall have.
        bits: 8 or 4.

    Returns:
        How many products were replaced; those whose width no group divides stay.

    Raises:
        InvalidRequestError: There are no weights of so many bits.
    """
    if bits not in BITS:
        raise InvalidRequestError(f"Weights of {bits} bits are not known; choose 8 or 4.")
    replaced = 0

    def plan(path: str, module: nn.Module) -> bool | dict[str, int]:
        nonlocal replaced
        if not isinstance(module, Linear) or not path.startswith(("layers.", "heads")):
            return False
        group = next((size for size in _GROUPS if module.weight.shape[1] % size == 0), None)
        if group is None:
            _log.warning("%s is %d wide, which no group divides; it stays.", path, module.weight.shape[1])
            return False
        replaced += 1
        return {"group_size": group, "bits": bits}

    nn.quantize(decoder, class_predicate=plan)
    # One product after the other, so that the whole decoder is never there in both forms.
    for module in decoder.modules():
        if isinstance(module, nn.QuantizedLinear):
            mx.eval(module.parameters())
    return replaced
