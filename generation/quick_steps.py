"""Decoder steps as few, large kernels: the same tokens as the ordinary loop up to rounding, several times as fast.

The ordinary loop (`generation.compose`) stays the reference; this one takes over on CUDA where it can.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator, Sequence
from types import ModuleType

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx import nn

from generation.decoder import Block, KVCache, MusicGenDecoder, TextMemory
from generation.layers import SplitLinear, activation, sinusoidal_positions
from generation.sampling import SamplingSettings, clip_keys, step_keys

Tokens = npt.NDArray[np.int32]

_AHEAD = 4
"""Steps that are queued before the first of them is waited for, so that the device never idles."""
_NOISE_STEPS = 64
"""Steps for which one clip's random numbers are drawn at once; fewer for more clips."""
_ROOM_BLOCK = 64
_TEXT_BLOCK = 32


def suits(decoder: MusicGenDecoder, memories: Sequence[TextMemory], settings: SamplingSettings) -> bool:
    """Whether the kernels can do what is asked for: 16-bit weights on CUDA, heads of 64, no nucleus sampling."""
    from generation import cuda_kernels

    config = decoder.config
    first = decoder.layers[0]
    products = [decoder.heads, first.self_attn.qkv, first.fc1, first.fc2]
    return (
        not mx.metal.is_available()
        and mx.default_device() != mx.Device(mx.cpu)
        and all(isinstance(product, nn.Linear) for product in products)  # neither quantised nor split
        and all(product.weight.dtype in (mx.float16, mx.bfloat16) for product in products)
        and config.head_dim == cuda_kernels.HEAD_DIM
        and config.activation_function == "gelu"
        and len(memories) <= 1
        and not 0 < settings.top_p < 1
    )


class QuickSteps:
    """One window's steps after its first: weights, caches and text laid out for the kernels.

    Args:
        decoder: The language model.
        memory: What the clips cross-attend to, all of them in one; None for none.
        caches: Keys and values of what was read already.
        known: Tokens `(B, K, steps)`, `UNKNOWN` where to choose.
        step: The first step that is to be chosen here.
        seeds: One for each clip.
        settings: How tokens are chosen.
        first: Frame of the clip that step 0 counts as, for its random keys.
        kernels: `generation.cuda_kernels` or its twin.
    """

    def __init__(
        self,
        decoder: MusicGenDecoder,
        memory: TextMemory | None,
        caches: Sequence[KVCache],
        *,
        known: Tokens,
        step: int,
        seeds: Sequence[int],
        settings: SamplingSettings,
        first: int,
        kernels: ModuleType,
    ) -> None:
        self._decoder = decoder
        self._kernels = kernels
        self._settings = settings
        self._guided = settings.guidance != 1
        self._clips, self._books, self._steps = known.shape
        self._rows = self._clips * (2 if self._guided else 1)
        self._start = step
        self._seeds = clip_keys(list(seeds))
        self._first = first
        length = caches[0].length
        self._prefix = length - step  # positions before the first step's: a melody's
        self._room = -(-(length + self._steps - step) // _ROOM_BLOCK) * _ROOM_BLOCK
        self._known = mx.array(np.ascontiguousarray(known.transpose(2, 0, 1)))
        self._numbers = mx.array([settings.guidance, settings.temperature or 1.0], mx.float32)
        width = decoder.config.hidden_size
        self._dtype = decoder.norm.weight.dtype
        self._positions = sinusoidal_positions(0, self._room, width).astype(self._dtype)
        self._caches = [self._roomy(cache) for cache in caches]
        self._text = [] if memory is None else [self._contiguous(memory, layer) for layer in memory.layers]
        self._lengths = None if memory is None else self._text_lengths(memory)
        mx.eval(self._known, self._positions, self._caches, self._text)

    def run(self, tokens: mx.array) -> Iterator[Tokens]:
        """Yield the tokens `(B, K)` of each step; `tokens (B, K)` are those of the step before the first."""
        clock = mx.array([self._prefix + self._start], mx.int32)
        block = max(1, _NOISE_STEPS // self._clips)
        waiting: deque[mx.array] = deque()
        # Compiled here and gone with this call: kept here it would make a circle, and the caches wait to be collected.
        run_step = mx.compile(self._run) if self._kernels.TRACEABLE else self._run
        for step in range(self._start, self._steps):
            if (step - self._start) % block == 0:
                noise = self._noise(step, min(block, self._steps - step))
                sizes = mx.array([self._clips, self._room, self._prefix, self._prefix + step], mx.int32)
            tokens, clock = run_step(tokens, clock, noise, sizes)
            mx.async_eval(tokens, clock)
            waiting.append(tokens)
            if len(waiting) > _AHEAD:
                yield np.array(waiting.popleft())
        while waiting:
            yield np.array(waiting.popleft())

    def _noise(self, step: int, steps: int) -> mx.array:
        """Gumbel noise `(steps, B, K, V)`, the very numbers that `sampling.choose` draws."""
        shape = (self._books, self._decoder.config.vocab_size)
        if self._settings.temperature == 0:
            return mx.zeros((1, *shape))
        keys = mx.concatenate([step_keys(self._seeds, self._first + step + i) for i in range(steps)])
        noise = mx.vmap(lambda key: mx.random.gumbel(shape, key=key))(keys)
        return noise.reshape(steps, self._clips, *shape)

    def _roomy(self, cache: KVCache) -> tuple[mx.array, mx.array]:
        """A layer's keys and values `(R, H, room, d)`, what was read at their front."""
        config = self._decoder.config
        shape = (self._rows, config.num_attention_heads, self._room, config.head_dim)
        keys, values = mx.zeros(shape, self._dtype), mx.zeros(shape, self._dtype)
        if cache.length:
            old_keys, old_values = cache.filled
            keys[:, :, : cache.length] = old_keys
            values[:, :, : cache.length] = old_values
        return keys, values

    def _contiguous(self, memory: TextMemory, layer: tuple[mx.array, mx.array]) -> tuple[mx.array, mx.array]:
        padding = [(0, 0), (0, 0), (0, -memory.states.shape[1] % _TEXT_BLOCK), (0, 0)]
        keys, values = (mx.contiguous(mx.pad(part, padding)) for part in layer)
        return keys, values

    def _text_lengths(self, memory: TextMemory) -> mx.array:
        rows, length, _ = memory.states.shape
        if memory.mask is None:
            return mx.full((rows,), length, mx.int32)
        return memory.mask.reshape(rows, -1).sum(axis=1).astype(mx.int32)

    def _run(
        self, tokens: mx.array, clock: mx.array, noise: mx.array, sizes: mx.array
    ) -> tuple[mx.array, mx.array]:
        decoder, kernels = self._decoder, self._kernels
        x = kernels.embed(
            tokens, decoder.embed.weight, self._positions, clock, sizes, repeats=self._rows // self._clips
        )
        for i, layer in enumerate(decoder.layers):
            qkv = self._product(x, layer.self_attn.qkv, norm=layer.self_attn_norm)
            heads = kernels.attend(qkv, *self._caches[i], clock, sizes)
            x = self._product(heads, layer.self_attn.out, residual=x)
            if self._lengths is not None:
                x = self._cross(x, layer, i)
            wide = self._product(x, layer.fc1, norm=layer.ffn_norm, gelu=True)
            x = self._product(wide, layer.fc2, residual=x)
        logits = self._product(x, decoder.heads, norm=decoder.norm)
        tokens, clock = kernels.sample(
            logits,
            noise,
            self._known,
            clock,
            sizes,
            self._numbers,
            guided=self._guided,
            greedy=self._settings.temperature == 0,
            top_k=self._settings.top_k,
        )
        return tokens, clock

    def _cross(self, x: mx.array, layer: Block, number: int) -> mx.array:
        """Text attention of the clips' rows; those without text, the second half, take nothing."""
        attention = layer.cross_attn
        keys, values = self._text[number]
        rows, heads, _, dim = keys.shape
        queries = self._product(x, attention.q, norm=layer.cross_attn_norm, rows=rows)
        weight = attention.out.weight
        if self._kernels.fits(rows, weight.shape[1], x.dtype):
            out: mx.array = self._kernels.cross(x, queries, keys, values, self._lengths, weight)
            return out
        mask = self._text_mask
        q = queries.reshape(rows, heads, 1, dim)
        mixed = mx.fast.scaled_dot_product_attention(q, keys, values, scale=dim**-0.5, mask=mask)
        added = mx.addmm(x[:rows], mixed.reshape(rows, heads * dim), weight.T)
        return added if rows == x.shape[0] else mx.concatenate([added, x[rows:]])

    @functools.cached_property
    def _text_mask(self) -> mx.array:
        """`(B, 1, 1, S)`, true where a key may be attended to."""
        room = self._text[0][0].shape[2]
        lengths = self._lengths if self._lengths is not None else mx.zeros(1)
        return (mx.arange(room)[None] < lengths[:, None])[:, None, None]

    def _product(
        self,
        x: mx.array,
        linear: nn.Linear | SplitLinear,
        *,
        norm: nn.LayerNorm | None = None,
        rows: int | None = None,
        gelu: bool = False,
        residual: mx.array | None = None,
    ) -> mx.array:
        """`act(norm(x) W^T) + residual`, of the first `rows` only if given: one kernel for few rows, else products."""
        weight = linear.weight
        scale = None if norm is None else (norm.weight, norm.bias)
        if self._kernels.fits(rows or x.shape[0], weight.shape[1], x.dtype):
            out: mx.array = self._kernels.project(
                x, weight, rows=rows, norm=scale, gelu=gelu, residual=residual
            )
            return out
        x = x if rows is None else x[:rows]
        if scale is not None:
            x = mx.fast.layer_norm(x, *scale, 1e-5)
        if residual is not None:
            return mx.addmm(residual, x, weight.T)
        product = x @ weight.T
        return activation("gelu", product) if gelu else product
