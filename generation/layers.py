"""Building blocks that the text encoder and the decoder share."""

from __future__ import annotations

import math

import mlx.core as mx
from mlx import nn


class Linear(nn.Linear):
    """`nn.Linear` that can work in tiles of a fixed number of rows.

    Fast matrix libraries give other last bits for other numbers of rows, and one other bit changes what is sampled.
    With `row_tile` set every product has exactly that many rows (the last tile is filled with zeros), so a clip comes
    out the same alone and in a batch. `MusicGen` sets it on the float32 CPU path.
    """

    row_tile: int | None = None

    def __call__(self, x: mx.array) -> mx.array:
        """`(..., D_in) -> (..., D_out)`."""
        tile = self.row_tile
        if tile is None:
            return super().__call__(x)
        rows = x.reshape(-1, x.shape[-1])
        count = rows.shape[0]
        if count % tile:
            rows = mx.pad(rows, [(0, -count % tile), (0, 0)])
        parts = [super(Linear, self).__call__(rows[i : i + tile]) for i in range(0, rows.shape[0], tile)]
        out = parts[0] if len(parts) == 1 else mx.concatenate(parts)
        return out[:count].reshape(*x.shape[:-1], out.shape[-1])


class SplitLinear(nn.Module):
    """A `Linear` without bias whose weights lie in parts of neighbouring inputs, `(P, D_out, D_in / P)`.

    On the CPU a product of few rows with 4,096 inputs takes nearly twice as long as four with 1,024 and their sum.
    """

    def __init__(self, linear: Linear, parts: int) -> None:
        super().__init__()
        rows, columns = linear.weight.shape
        self.weight = mx.contiguous(linear.weight.reshape(rows, parts, columns // parts).swapaxes(0, 1))
        self.row_tile = linear.row_tile

    def __call__(self, x: mx.array) -> mx.array:
        """`(..., D_in) -> (..., D_out)`."""
        parts, out, columns = self.weight.shape
        rows = x.reshape(-1, parts * columns)
        count, tile = rows.shape[0], self.row_tile or rows.shape[0]
        rows = mx.pad(rows, [(0, -count % tile), (0, 0)]).reshape(-1, tile, parts, columns).swapaxes(1, 2)
        whole: mx.array = (rows @ self.weight.swapaxes(1, 2)).sum(axis=1)
        return whole.reshape(-1, out)[:count].reshape(*x.shape[:-1], out)


def split_heads(x: mx.array, heads: int) -> mx.array:
    """`(B, T, H * d) -> (B, H, T, d)`."""
    batch, length, width = x.shape
    return x.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3)


def join_heads(x: mx.array) -> mx.array:
    """`(B, H, T, d) -> (B, T, H * d)`."""
    batch, heads, length, width = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, heads * width)


def activation(name: str, x: mx.array) -> mx.array:
    """The activations that the checkpoints' configs name, elementwise."""
    match name:
        case "relu":
            return mx.maximum(x, 0)
        case "gelu":
            # Not `nn.gelu`: that one is compiled, which on the CPU needs a C++ compiler at run time.
            return x * (1 + mx.erf(x / math.sqrt(2))) / 2
        case "gelu_new":
            return 0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
        case "silu":
            return x * mx.sigmoid(x)
        case _:
            raise ValueError(f"unknown activation {name!r}")


def sinusoidal_positions(start: int, length: int, dim: int) -> mx.array:
    """Positions `start .. start + length - 1` as `(length, dim)` float32: cosines first, then sines.

    The angles end exactly at 1/10000 (MusicGen divides by `dim / 2 - 1`), unlike section 3.5 of Vaswani et al. 2017.
    """
    half = dim // 2
    rate = mx.exp(mx.arange(half) * (-math.log(10000) / (half - 1)))
    angle = mx.arange(start, start + length).astype(mx.float32)[:, None] * rate[None]
    return mx.concatenate([mx.cos(angle), mx.sin(angle)], axis=-1)
