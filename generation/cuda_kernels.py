"""Kernels for one decoder step on NVIDIA GPUs.

At batch 1 a step is some 25 small operations a layer, and what they cost is their number: MLX takes about 20 µs to
prepare a matrix product on CUDA and 5 µs for a kernel of one's own (docs/performance.md). So a layer is seven kernels
here. Every function has a twin of the same name in `generation.portable_kernels` and is held to it by a test.

`T` is float16 or bfloat16; sums are taken in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import cast

import mlx.core as mx

from generation import cuda_sources

TRACEABLE = True
"""Whether `mx.compile` can trace them: all values stay on the device."""
HEAD_DIM = 64
"""Of every published checkpoint."""
MATVEC_ROWS = 4
"""Up to so many rows `project` beats a matrix product."""
SIZES = ("clips", "room", "first position of `known`", "first position of `noise`")
"""What the int32 array `sizes (4)` holds: on the device, so that no kernel is compiled anew for other numbers."""
_SHARED_BYTES = 48 * 1024
_THREADS = 256


@functools.cache
def _kernel(name: str, inputs: str, outputs: str, source: str) -> Callable[..., list[mx.array]]:
    made = mx.fast.cuda_kernel(
        name=f"musicgen_{name}",
        input_names=inputs.split(),
        output_names=outputs.split(),
        source=source,
        header=cuda_sources.HEADER,
    )
    return cast("Callable[..., list[mx.array]]", made)


def _per_warp(outputs: int) -> int:
    """Outputs that a warp makes at once: about one block for each of an H100's 132 processors."""
    return next(per for per in (4, 3, 2, 1) if (outputs % per == 0 and outputs >= per * 1024) or per == 1)


def fits(rows: int, width: int, dtype: mx.Dtype) -> bool:
    """Whether `project` can hold so many rows of so many numbers in shared memory."""
    return rows <= MATVEC_ROWS and width % 256 == 0 and rows * width * dtype.size <= _SHARED_BYTES - 256


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
    count, (outputs, width) = rows or x.shape[0], weight.shape
    per = _per_warp(outputs)
    gamma, beta = norm if norm is not None else (weight, weight)  # any array: it is not read
    kernel = _kernel("project", "x weight gamma beta residual", "out", cuda_sources.PROJECT)
    flags = {"NORM": norm is not None, "GELU": gelu, "RESIDUAL": residual is not None}
    numbers = {"ROWS": count, "IN": width, "OUT": outputs, "PER": per, **flags}
    (out,) = kernel(
        inputs=[x, weight, gamma, beta, x if residual is None else residual],
        template=[("T", x.dtype), *numbers.items()],
        grid=(-(-outputs // (per * _THREADS // 32)) * _THREADS, 1, 1),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[(count, outputs)],
        output_dtypes=[x.dtype],
    )
    return out


def attend(qkv: mx.array, keys: mx.array, values: mx.array, clock: mx.array, sizes: mx.array) -> mx.array:
    """Self-attention of one step: `qkv (R, 3 D)`, caches `(R, H, room, 64)` of `clock (1)` positions -> `(R, D)`.

    The step's own key and value are written into the caches in place.
    """
    rows, heads, _, _ = keys.shape
    threads = 512 if rows <= 2 * MATVEC_ROWS else 128
    (out,) = _kernel("attend", "qkv keys values clock sizes", "out", cuda_sources.ATTEND)(
        inputs=[qkv, keys, values, clock, sizes],
        template=[("T", qkv.dtype), ("HEADS", heads)],
        grid=(rows * heads * threads, 1, 1),
        threadgroup=(threads, 1, 1),
        output_shapes=[(rows, heads * HEAD_DIM)],
        output_dtypes=[qkv.dtype],
    )
    return out


def cross(
    x: mx.array,
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    lengths: mx.array,
    weight: mx.array,
) -> mx.array:
    """`x + attention(queries) W^T` over the text: `x (R, D)`, `queries (B, D)`, `keys (B, H, S, 64)`, `lengths (B)`.

    Rows of `x` after the B-th are passed on as they are.
    """
    count, heads, room, _ = keys.shape
    width = heads * HEAD_DIM
    per = _per_warp(width)
    (out,) = _kernel("cross", "x queries keys values lengths weight", "out", cuda_sources.CROSS)(
        inputs=[x, queries, keys, values, lengths, weight],
        template=[
            ("T", x.dtype),
            ("ROWS", count),
            ("REPEATS", x.shape[0] // count),
            ("HEADS", heads),
            ("ROOM", room),
            ("PER", per),
        ],
        grid=(-(-width // (per * _THREADS // 32)) * _THREADS, 1, 1),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[x.shape],
        output_dtypes=[x.dtype],
    )
    return out


def embed(
    tokens: mx.array, table: mx.array, positions: mx.array, clock: mx.array, sizes: mx.array, *, repeats: int
) -> mx.array:
    """Tokens `(B, K)` at position `clock (1)` -> `(repeats B, D)`, the clips' rows one after the other, repeated.

    `table (K (V + 1), D)`, `positions (room, D)`.
    """
    clips, books = tokens.shape
    width, rows = table.shape[1], clips * repeats
    numbers = {"REPEATS": repeats, "BOOKS": books, "ENTRIES": table.shape[0] // books, "WIDTH": width}
    (out,) = _kernel("embed", "tokens table positions clock sizes", "out", cuda_sources.EMBED)(
        inputs=[tokens, table, positions, clock, sizes],
        template=[("T", table.dtype), *numbers.items()],
        grid=(-(-rows * width // _THREADS) * _THREADS, 1, 1),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[(rows, width)],
        output_dtypes=[table.dtype],
    )
    return out


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
        sizes: See `SIZES`.
        settings: `(2)` float32: guidance and temperature.
        guided: Whether there is a second half.
        greedy: Take the likeliest.
        top_k: Of how many to choose; 0 is all.
    """
    _, clips, books = known.shape
    vocabulary = logits.shape[1] // books
    numbers = {"BOOKS": books, "VOCABULARY": vocabulary, "TOP_K": top_k}
    flags = {"GUIDED": guided, "GREEDY": greedy}
    kernel = _kernel("sample", "logits noise known clock sizes settings", "tokens next", cuda_sources.SAMPLE)
    tokens, following = kernel(
        inputs=[logits, noise, known, clock, sizes, settings],
        template=[("T", logits.dtype), *numbers.items(), *flags.items()],
        grid=(clips * books * _THREADS, 1, 1),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[(clips, books), (1,)],
        output_dtypes=[mx.int32, mx.int32],
    )
    return tokens, following
