"""The kernels of `generation.cuda_kernels` in plain MLX: what they mean, on any backend.

Slower than an ordinary step: they are here to be compared with.
"""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np

from generation.sampling import guide, keep_top_k

TRACEABLE = False
"""Whether `mx.compile` can trace them: these look at the values of `clock` and `sizes`."""


def fits(rows: int, width: int, dtype: mx.Dtype) -> bool:
    """Nothing is too large."""
    return rows > 0 and width > 0 and dtype.size > 0


def project(
    x: mx.array,
    weight: mx.array,
    *,
    rows: int | None = None,
    norm: tuple[mx.array, mx.array] | None = None,
    gelu: bool = False,
    residual: mx.array | None = None,
) -> mx.array:
    """`act(norm(x) W^T) + residual`: `(R, I) -> (R, O)` with `weight (O, I)`; only the first `rows`, if given."""
    x = x if rows is None else x[:rows]
    if norm is not None:
        x = mx.fast.layer_norm(x, *norm, 1e-5)
    out = x @ weight.T
    if gelu:
        out = out * (1 + mx.erf(out / math.sqrt(2))) / 2
    return out if residual is None else residual + out


def attend(qkv: mx.array, keys: mx.array, values: mx.array, clock: mx.array, sizes: mx.array) -> mx.array:
    """Self-attention of one step: `qkv (R, 3 D)`, caches `(R, H, room, d)` of `clock (1)` positions -> `(R, D)`.

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


def cross(
    x: mx.array,
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    lengths: mx.array,
    weight: mx.array,
) -> mx.array:
    """`x + attention(queries) W^T` over the text: `x (R, D)`, `queries (B, D)`, `keys (B, H, S, d)`, `lengths (B)`.

    Rows of `x` after the B-th are passed on as they are.
    """
    rows, heads, room, dim = keys.shape
    mask = (mx.arange(room)[None] < lengths[:, None])[:, None, None]
    q = queries.reshape(rows, heads, 1, dim)
    out = mx.fast.scaled_dot_product_attention(q, keys, values, scale=dim**-0.5, mask=mask)
    added = x[:rows] + out.reshape(rows, heads * dim) @ weight.T
    return mx.concatenate([added, x[rows:]])


def embed(
    tokens: mx.array, table: mx.array, positions: mx.array, clock: mx.array, sizes: mx.array, *, repeats: int
) -> mx.array:
    """Tokens `(B, K)` at position `clock (1)` -> `(repeats B, D)`, the clips' rows one after the other, repeated.

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
        clock: `(1)` int32, the position of the tokens that went in.
        sizes: See `cuda_kernels.SIZES`.
        settings: `(2)` float32: guidance and temperature.
        guided: Whether there is a second half.
        greedy: Take the likeliest.
        top_k: Of how many to choose; 0 is all.
    """
    _, clips, books = known.shape
    weight, temperature = np.array(settings)
    at, _, first, noisy = int(clock[0]), *(int(n) for n in np.array(sizes)[1:])
    scores = logits.astype(mx.float32).reshape(logits.shape[0], books, -1)
    if guided:
        scores = guide(scores[:clips], scores[clips:], float(weight))
    if not greedy:
        scores = keep_top_k(scores / float(temperature), top_k) + noise[at - noisy]
    chosen = mx.argmax(scores, axis=-1).astype(mx.int32)
    given = known[at - first]
    return mx.where(given >= 0, given, chosen), clock + 1
