"""Kernels for one decoder step on NVIDIA GPUs.

At batch 1 a step is some 25 small operations a layer, and what they cost is their number: MLX takes about 20 µs to
prepare a matrix product on CUDA and 5 to 10 µs for a kernel of one's own (docs/performance.md). So for few rows a layer
is one kernel here; more rows take MLX's products. Every function has a twin of the same name in
`generation.portable_kernels` and is held to it by a test.

`T` is float16 or bfloat16; sums are taken in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import cast

import mlx.core as mx
from mlx import nn

from generation import cuda_layer, cuda_sources, portable_kernels
from generation.decoder import Block

TRACEABLE = True
"""Whether `mx.compile` can trace them: all values stay on the device."""
HEAD_DIM = 64
"""Of every published checkpoint."""
FEW_ROWS = 8
"""Up to so many rows a layer is one kernel."""
SIZES = ("clips", "room", "first position of `known`", "first position of `noise`", "room of the text")
"""What the int32 array `sizes (5)` holds: on the device, so that no kernel is compiled anew for other numbers."""
_THREADS = 256


@functools.cache
def _kernel(
    name: str, inputs: str, outputs: str, source: str, header: str = cuda_sources.HEADER
) -> Callable[..., list[mx.array]]:
    made = mx.fast.cuda_kernel(
        name=f"musicgen_{name}",
        input_names=inputs.split(),
        output_names=outputs.split(),
        source=source,
        header=header,
    )
    return cast("Callable[..., list[mx.array]]", made)


@functools.cache
def _blocks() -> int:
    """Blocks of a kernel that wait for each other: all of them have to lie on the device at once, one a processor."""
    # More threads than a device holds, so that each processor gets some; what counts is who was seen.
    (seen,) = _kernel("processors", "none", "seen", cuda_sources.PROCESSORS)(
        inputs=[mx.zeros(1024)],
        grid=(4096 * 1024, 1, 1),
        threadgroup=(1024, 1, 1),
        output_shapes=[(1024,)],
        output_dtypes=[mx.uint32],
        init_value=0,
    )
    return int(cast("int", seen.sum().item())) // 32 * 32


def _are_few(rows: int, width: int, inner: int) -> bool:
    """Whether the kernels' registers and shared memory hold them."""
    shapes_fit = width % 256 == 0 and width <= 2048 and inner % 1024 == 0 and inner <= 8192
    return rows <= FEW_ROWS and shapes_fit and _blocks() > 0


def new_barrier() -> mx.array:
    """Where the blocks of `layer` wait for each other, for one step after the other: uint32, of which two are used.

    On the device itself: MLX shares small arrays, and what comes from Python, with the host.
    """
    return mx.zeros(1024, mx.uint32)


def layer(
    x: mx.array,
    block: Block,
    cache: tuple[mx.array, mx.array],
    text: portable_kernels.Text | None,
    clock: mx.array,
    sizes: mx.array,
    barrier: mx.array,
) -> mx.array:
    """One layer of one step, `(R, D) -> (R, D)`; the step's own key and value are written into the cache in place.

    Args:
        x: States `(R, D)`.
        block: The layer's weights.
        cache: Keys and values `(R, H, room, 64)` of the clock's positions.
        text: What the first rows attend to; the others take nothing from it. None for no text at all.
        clock: int32, whose first is the position.
        sizes: See `SIZES`.
        barrier: From `new_barrier`.
    """
    (rows, width), inner = x.shape, block.fc1.weight.shape[0]
    if not _are_few(rows, width, inner):
        return portable_kernels.layer(x, block, cache, text, clock, sizes, barrier, attend=attend)
    weights = [block.self_attn.qkv.weight, *_scales(block.self_attn_norm), block.self_attn.out.weight]
    if text is None:
        weights += [x] * 4  # they are not read
        memory, texts = (x, x, clock), 0
    else:
        cross = block.cross_attn
        weights += [cross.q.weight, *_scales(block.cross_attn_norm), cross.out.weight]
        memory, texts = (text.keys, text.values, text.lengths), text.keys.shape[0]
    weights += [block.fc1.weight, *_scales(block.ffn_norm), block.fc2.weight]
    names = (
        "x qkv gamma_1 beta_1 out_1 query gamma_2 beta_2 out_2 fc_1 gamma_3 beta_3 fc_2 "
        "keys values text_keys text_values lengths clock sizes barrier"
    )
    blocks = _blocks()
    numbers = {"ROWS": rows, "TEXTS": texts, "HEADS": width // HEAD_DIM, "FFN": inner, "BLOCKS": blocks}
    out, _ = _kernel("layer", names, "out scratch", cuda_layer.LAYER, cuda_layer.HEADER)(
        inputs=[x, *weights, *cache, *memory, clock, sizes, barrier],
        template=[("T", x.dtype), *numbers.items()],
        grid=(blocks * _THREADS, 1, 1),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[(rows, width), (rows, 6 * width + inner)],
        output_dtypes=[x.dtype, x.dtype],
    )
    return out


def _scales(norm: nn.LayerNorm) -> list[mx.array]:
    return [norm.weight, norm.bias]


def project(x: mx.array, weight: mx.array, norm: nn.LayerNorm) -> mx.array:
    """`norm(x) W^T`: `(R, I) -> (R, O)` with `weight (O, I)`."""
    (rows, width), outputs = x.shape, weight.shape[0]
    if not _are_few(rows, width, 1024):
        return portable_kernels.project(x, weight, norm)
    blocks = _blocks()
    numbers = {"ROWS": rows, "IN": width, "OUT": outputs, "WARPS": blocks * _THREADS // 32}
    (out,) = _kernel("project", "x weight gamma beta", "out", cuda_layer.PROJECT, cuda_layer.HEADER)(
        inputs=[x, weight, *_scales(norm)],
        template=[("T", x.dtype), *numbers.items()],
        grid=(blocks * _THREADS, 1, 1),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[(rows, outputs)],
        output_dtypes=[x.dtype],
    )
    return out


def attend(qkv: mx.array, keys: mx.array, values: mx.array, clock: mx.array, sizes: mx.array) -> mx.array:
    """Self-attention of one step: `qkv (R, 3 D)`, caches `(R, H, room, 64)` of the clock's positions -> `(R, D)`.

    The step's own key and value are written into the caches in place.
    """
    rows, heads, _, _ = keys.shape
    threads = 512 if rows <= FEW_ROWS else 128
    (out,) = _kernel("attend", "qkv keys values clock sizes", "out", cuda_sources.ATTEND)(
        inputs=[qkv, keys, values, clock, sizes],
        template=[("T", qkv.dtype), ("HEADS", heads)],
        grid=(rows * heads * threads, 1, 1),
        threadgroup=(threads, 1, 1),
        output_shapes=[(rows, heads * HEAD_DIM)],
        output_dtypes=[qkv.dtype],
    )
    return out


def embed(
    tokens: mx.array, table: mx.array, positions: mx.array, clock: mx.array, sizes: mx.array, *, repeats: int
) -> mx.array:
    """Tokens `(B, K)` at the clock's position -> `(repeats B, D)`, the clips' rows one after the other, repeated.

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
        clock: int32, whose first is the position of the tokens that went in.
        sizes: See `SIZES`.
        settings: float32, whose first two are guidance and temperature.
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
        output_shapes=[(clips, books), clock.shape],
        output_dtypes=[mx.int32, mx.int32],
    )
    return tokens, following
