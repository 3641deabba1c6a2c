"""Weights in 8 or 4 bits, on request: the decoder's large products read a quarter or an eighth of the memory.

Groups of 64 neighbouring weights share a scale and an offset (MLX's affine quantisation); the embedding tables, the
norms and the projections of text and melody stay as they are. The heads always have 8 bits: they are a fiftieth of
musicgen-small's decoder, and in 4 bits a fifth of the error came from them. A clip of the float32 CPU path is the same
alone and in a batch; it takes longer there than with whole weights (docs/performance.md).
"""

from __future__ import annotations

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_map_with_path

from generation import backend
from generation.decoder import MusicGenDecoder
from generation.errors import InvalidRequestError
from generation.layers import Linear

BITS = (8, 4)
_GROUPS = (64, 32)  # MLX's own size first; narrow models are divided by the smaller one only


class CpuProduct(nn.QuantizedLinear):
    """The quantised product on the CPU: weights are unpacked, then multiplied in tiles of a fixed number of rows.

    MLX's own product computes row by row: it takes 1.3 to 3 times as long for two rows, 6 to 20 times for eight.
    """

    def __call__(self, x: mx.array) -> mx.array:
        """`(..., D_in) -> (..., D_out)`."""
        width, tile = x.shape[-1], backend.CPU_ROW_TILE
        rows = x.reshape(-1, width)
        count = rows.shape[0]
        rows = mx.pad(rows, [(0, -count % tile), (0, 0)])
        scaled = (self._codes() * self.scales[..., None]).reshape(-1, width)
        # The offsets once for each group, not for each weight.
        sums = rows.reshape(-1, width // self.group_size, self.group_size).sum(axis=-1)
        parts = [
            mx.addmm(part @ scaled.T, sums[i * tile : (i + 1) * tile], self["biases"].T)
            for i, part in enumerate(mx.split(rows, rows.shape[0] // tile))
        ]
        out = parts[0] if len(parts) == 1 else mx.concatenate(parts)
        return out[:count].reshape(*x.shape[:-1], out.shape[-1])

    def _codes(self) -> mx.array:
        """The quantised weights as numbers `(D_out, groups, group_size)`; the first lies in the lowest bits."""
        stored = self.weight.view(mx.uint8)
        if self.bits == 4:
            stored = mx.stack([stored & 15, stored >> 4], axis=-1)
        return stored.astype(self.scales.dtype).reshape(*self.scales.shape, self.group_size)


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

    kind = CpuProduct if backend.backend_name() == "cpu" else nn.QuantizedLinear

    def replaced(path: str, module: nn.Module) -> nn.Module:
        if not wanted(path, module):
            return module
        product: nn.Module = kind.from_linear(module, group, 8 if path == "heads" else bits)
        # One after the other, and the whole weights go at once: the decoder is never there in both forms.
        mx.eval(product.parameters())
        module.pop("weight")
        return product

    leaves = tree_map_with_path(replaced, decoder.leaf_modules(), is_leaf=nn.Module.is_module)
    decoder.update_modules(leaves)
