"""Weights in 8 or 4 bits, on request: the decoder's large products read a quarter or an eighth of the memory.

Groups of 64 neighbouring weights share a scale and an offset (MLX's affine quantisation); the embedding tables, the
norms and the projections of text and melody stay as they are. On the CPU the products are the same bits for any number
of rows, so a clip is still the same alone and in a batch; they are slower there than float32 (docs/performance.md).
"""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from generation.decoder import MusicGenDecoder
from generation.errors import InvalidRequestError
from generation.layers import Linear

BITS = (8, 4)
_GROUPS = (64, 32)  # MLX's own size first; narrow models are divided by the smaller one only


def quantise(decoder: MusicGenDecoder, bits: int) -> None:
    """Replace the products of the decoder's layers and of its heads by quantised ones, in place.

    Args:
        decoder: Loaded, in the number type that its states shall have.
        bits: 8 or 4.

    Raises:
        InvalidRequestError: There are no weights of so many bits, or no group divides the decoder's widths.
    """
    if bits not in BITS:
        raise InvalidRequestError(f"Weights of {bits} bits are not known; choose 8 or 4.")
    widths = decoder.config.hidden_size, decoder.config.ffn_dim
    group = next((size for size in _GROUPS if not any(width % size for width in widths)), None)
    if group is None:
        raise InvalidRequestError(
            f"This model cannot be quantised: its widths {widths[0]} and {widths[1]} are no multiples of "
            f"{_GROUPS[-1]}."
        )

    def wanted(path: str, module: nn.Module) -> bool:
        return isinstance(module, Linear) and path.startswith(("layers.", "heads"))

    nn.quantize(decoder, group_size=group, bits=bits, class_predicate=wanted)
    # One product after the other, so that the whole decoder is never there in both forms.
    for module in decoder.modules():
        if isinstance(module, nn.QuantizedLinear):
            mx.eval(module.parameters())
