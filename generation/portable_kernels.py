"""The kernels of `generation.cuda_kernels` in plain MLX: what they mean, on any backend.

They are here to be compared with, but for `layer` and `project`: those are what GPUs do with many rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import mlx.core as mx
import numpy as np
from mlx import nn

from generation.decoder import Block
from generation.layers import activation
from generation.sampling import guide, keep_top_k

TRACEABLE = False
"""Whether `mx.compile` can trace them: these look at the values of `clock` and `sizes`."""


class Text(NamedTuple):
    """What the clips' rows attend to in one layer.

    Attributes:
        keys: `(B, H, S, d)`.
        values: `(B, H, S, d)`.
        lengths: int32, of which the first `B` are those of the texts.
        mask: `(B, 1, 1, S)`, true within the lengths.
    """

    keys: mx.array
    values: mx.array
    lengths: mx.array
    mask: mx.array


def new_barrier() -> mx.array:
    """Nothing waits here."""
    return mx.zeros(2, mx.uint32)


def attend(qkv: mx.array, keys: mx.array, values: mx.array, clock: mx.array, sizes: mx.array) -> mx.array:
    """Self-attention of one step: `qkv (R, 3 D)`, caches `(R, H, room, d)` of the clock's positions -> `(R, D)`.

    The step's own key and value are written into the caches in place.
    """
    rows, heads, room, dim = keys.shape
    if room != int(sizes[1]):
        raise ValueError(f"The caches have room for {room} positions, not for {int(sizes[1])}.")
    at = int(clock[0])
    q, k, v = (part.reshape(rows, heads, 1, dim) for part in mx.split(qkv, 3, axis=-1))
    keys[:, :, at : at + 1] = k
    values[:, :, at : at + 1] = v
    out = mx.fast.scaled_dot_product_attention(
        q, keys[:, :, : at + 1], values[:, :, : at + 1], scale=dim**-0.5
    )
    return out.reshape(rows, heads * dim)


def layer(
    x: mx.array,
    block: Block,
    cache: tuple[mx.array, mx.array],
    text: Text | None,
    clock: mx.array,
    sizes: mx.array,
    barrier: mx.array,
    *,
    attend: Callable[..., mx.array] = attend,
) -> mx.array:
    """One layer of one step, `(R, D) -> (R, D)`; the step's own key and value are written into the cache in place.

    Args:
        x: States `(R, D)`.
        block: The layer's weights.
        cache: Keys and values `(R, H, room, d)` of the clock's positions.
        text: What the first rows attend to; the others take nothing from it. None for no text at all.
        clock: int32, whose first is the position.
        sizes: See `cuda_kernels.SIZES`.
        barrier: From `new_barrier`.
        attend: What self-attention is made with.
    """
    qkv = project(x, block.self_attn.qkv.weight, block.self_attn_norm)
    x = mx.addmm(x, attend(qkv, *cache, clock, sizes), block.self_attn.out.weight.T)
    if text is not None:
        x = _cross(x, block, text)
    wide = activation("gelu", project(x, block.fc1.weight, block.ffn_norm))
    return mx.addmm(x, wide, block.fc2.weight.T)


def _cross(x: mx.array, block: Block, text: Text) -> mx.array:
    rows, heads, _, dim = text.keys.shape
    queries = project(x[:rows], block.cross_attn.q.weight, block.cross_attn_norm)
    mixed = mx.fast.scaled_dot_product_attention(
        queries.reshape(rows, heads, 1, dim), text.keys, text.values, scale=dim**-0.5, mask=text.mask
    )
    added = mx.addmm(x[:rows], mixed.reshape(rows, heads * dim), block.cross_attn.out.weight.T)
    return added if rows == x.shape[0] else mx.concatenate([added, x[rows:]])


def project(x: mx.array, weight: mx.array, norm: nn.LayerNorm) -> mx.array:
    """`norm(x) W^T`: `(R, I) -> (R, O)` with `weight (O, I)`."""
    return mx.fast.layer_norm(x, norm.weight, norm.bias, 1e-5) @ weight.T


def embed(
    tokens: mx.array, table: mx.array, positions: mx.array, clock: mx.array, sizes: mx.array, *, repeats: int
) -> mx.array:
    """Tokens `(B, K)` at the clock's position -> `(repeats B, D)`, the clips' rows one after the other, repeated.

    `table (K (V + 1), D)`, `positions (room, D)`.
    """
    clips, books = tokens.shape
    if clips != int(sizes[0]):
        raise ValueError(f"There are {clips} clips, not {int(sizes[0])}.")
    first = mx.arange(books) * (table.shape[0] // books)
    embedded = table[tokens + first].sum(axis=1) + positions[clock[0]]
    return mx.concatenate([embedded] * repeats)


def sample(
    logits: mx.array,
    noise: mx.array,
    known: mx.array,
    clock: mx.array,
    sizes: mx.array,
    settings: mx.array,
    *,
    guided: bool,
    greedy: bool,
    top_k: int,
) -> tuple[mx.array, mx.array]:
    """Choose tokens `(B, K)` and move the clock on.

    Args:
        logits: `(R, K V)`; with guidance the second half of the rows is without text.
        noise: Gumbel noise `(n, B, K, V)` float32.
        known: `(steps, B, K)` int32; what is not negative is taken as it is.
        clock: int32, whose first is the position of the tokens that went in.
        sizes: See `cuda_kernels.SIZES`.
        settings: float32, whose first two are guidance and temperature.
        guided: Whether there is a second half.
        greedy: Take the likeliest.
        top_k: Of how many to choose; 0 is all.
    """
    _, clips, books = known.shape
    weight, temperature = np.array(settings)[:2]
    at, (first, noisy) = int(clock[0]), (int(n) for n in np.array(sizes)[2:4])
    scores = logits.astype(mx.float32).reshape(logits.shape[0], books, -1)
    if guided:
        scores = guide(scores[:clips], scores[clips:], float(weight))
    if not greedy:
        scores = keep_top_k(scores / float(temperature), top_k) + noise[at - noisy]
    chosen = mx.argmax(scores, axis=-1).astype(mx.int32)
    given = known[at - first]
    return mx.where(given >= 0, given, chosen), clock + 1
