"""Decoder steps as few, large kernels: the same tokens as the ordinary loop up to rounding, several times as fast.

The ordinary loop (`generation.compose`) stays the reference; this one takes over on CUDA where it can.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx import nn

from generation.decoder import KVCache, MusicGenDecoder, TextMemory
from generation.layers import sinusoidal_positions
from generation.portable_kernels import Text
from generation.sampling import SamplingSettings, clip_keys, step_keys

Tokens = npt.NDArray[np.int32]

_AHEAD = 4
"""Steps that are queued before the first of them is waited for, so that the device never idles."""
_NOISE_STEPS = 64
"""Steps for which one clip's random numbers are drawn at once; fewer for more clips."""
_ROOM_BLOCK = 64
_TEXT_BLOCK = 32
_SPARE = 16
"""Numbers that small arrays have over: MLX shares those of 8 bytes with the host, and a GPU that writes there waits."""


class _LastQueued:
    """Which run's step was queued last, so that no two runs' kernels are on the device at once.

    Blocks that wait for each other need the whole device: of two such kernels, half of each on it, none would end. One
    run's kernels follow each other by their data; another run, in whatever thread, first waits for them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run: object = None
        self._tokens: mx.array | None = None

    def queue(self, run: object, step: Callable[[], tuple[mx.array, mx.array]]) -> tuple[mx.array, mx.array]:
        """Queue a run's `step`, which gives its tokens first."""
        with self._lock:
            if self._run is not run and self._tokens is not None:
                mx.eval(self._tokens)
            results = step()
            mx.async_eval(*results)
            self._run, self._tokens = run, results[0]
        return results


_LAST_QUEUED = _LastQueued()


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
        self._numbers = mx.array(
            [settings.guidance, settings.temperature or 1.0, *[0.0] * _SPARE], mx.float32
        )
        width = decoder.config.hidden_size
        self._dtype = decoder.norm.weight.dtype
        self._positions = sinusoidal_positions(0, self._room, width).astype(self._dtype)
        self._caches = [self._with_room(cache) for cache in caches]
        self._barrier, self._text_room = kernels.new_barrier(), 0
        self._text = [None] * len(decoder.layers) if memory is None else self._texts(memory)
        mx.eval(self._known, self._positions, self._caches, self._text, self._barrier)

    def run(self, tokens: mx.array) -> Iterator[Tokens]:
        """Yield the tokens `(B, K)` of each step; `tokens (B, K)` are those of the step before the first."""
        clock = mx.full((_SPARE,), self._prefix + self._start, mx.int32)
        block = max(1, _NOISE_STEPS // self._clips)
        waiting: deque[mx.array] = deque()
        # Compiled here and gone with this call: kept here it would make a circle, and the caches wait to be collected.
        run_step = mx.compile(self._run) if self._kernels.TRACEABLE else self._run
        this = object()
        for step in range(self._start, self._steps):
            if (step - self._start) % block == 0:
                noise = self._noise(step, min(block, self._steps - step))
                numbers = [self._clips, self._room, self._prefix, self._prefix + step, self._text_room]
                sizes = mx.array(numbers, mx.int32)
            queued = functools.partial(run_step, tokens, clock, noise, sizes)
            tokens, clock = _LAST_QUEUED.queue(this, queued)
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

    def _with_room(self, cache: KVCache) -> tuple[mx.array, mx.array]:
        """A layer's keys and values `(R, H, room, d)`, what was read at their front."""
        config = self._decoder.config
        shape = (self._rows, config.num_attention_heads, self._room, config.head_dim)
        keys, values = mx.zeros(shape, self._dtype), mx.zeros(shape, self._dtype)
        if cache.length:
            old_keys, old_values = cache.filled
            keys[:, :, : cache.length] = old_keys
            values[:, :, : cache.length] = old_values
        return keys, values

    def _texts(self, memory: TextMemory) -> list[Text | None]:
        """What each layer's rows attend to, laid out for the kernels."""
        padding = -memory.states.shape[1] % _TEXT_BLOCK
        self._text_room = memory.states.shape[1] + padding
        lengths = self._text_lengths(memory)
        own = lengths[: memory.states.shape[0], None]
        mask = (mx.arange(self._text_room)[None] < own)[:, None, None]

        def padded(part: mx.array) -> mx.array:
            return mx.contiguous(mx.pad(part, [(0, 0), (0, 0), (0, padding), (0, 0)]))

        return [Text(padded(keys), padded(values), lengths, mask) for keys, values in memory.layers]

    def _text_lengths(self, memory: TextMemory) -> mx.array:
        rows, length, _ = memory.states.shape
        if memory.mask is None:
            return mx.full((rows + _SPARE,), length, mx.int32)
        return mx.pad(memory.mask.reshape(rows, -1).sum(axis=1), (0, _SPARE)).astype(mx.int32)

    def _run(
        self, tokens: mx.array, clock: mx.array, noise: mx.array, sizes: mx.array
    ) -> tuple[mx.array, mx.array]:
        decoder, kernels = self._decoder, self._kernels
        x = kernels.embed(
            tokens, decoder.embed.weight, self._positions, clock, sizes, repeats=self._rows // self._clips
        )
        for layer, cache, text in zip(decoder.layers, self._caches, self._text, strict=True):
            x = kernels.layer(x, layer, cache, text, clock, sizes, self._barrier)
        tokens, clock = kernels.sample(
            kernels.project(x, decoder.heads.weight, decoder.norm),
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
