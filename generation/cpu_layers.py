"""The parts of a decoder layer for `generation.cpu_steps`: arrays that are allocated, products that are prepared once.

States are `(C, r, D)`: the rows of each clip, the one without text after the one with it. Each clip's products are its
own, so that its bits never depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx import nn

from generation.backend import CPU_ROW_TILE
from generation.config import DecoderConfig
from generation.cpu_math import Elementwise
from generation.cpu_products import Attention, Product, columns, product, rows
from generation.decoder import Block, KVCache, TextMemory
from generation.layers import SplitLinear, activation

Array = npt.NDArray[np.float32]
Scale = tuple[Array, Array]
"""A norm's weight and bias."""

_ONE = np.array(1.0, np.float32)


def view(weight: mx.array) -> Array:
    """The memory of MLX's array, contiguous; only where it is not, a copy."""
    return np.ascontiguousarray(np.array(weight, copy=False))


def scale_of(norm: nn.LayerNorm) -> Scale:
    """A norm's weight and bias."""
    return view(norm.weight), view(norm.bias)


class Workspace:
    """What the layers of one run share: its size, the states, and memory to work in.

    Attributes:
        clips: How many.
        rows: Of each clip: two with guidance, else one.
        room: Positions at most.
        x: The states.
        norm: The norm of all of them.
        math: The elementwise functions.
    """

    def __init__(
        self, config: DecoderConfig, *, clips: int, guided: bool, room: int, words: int, epsilon: float
    ) -> None:
        self.config, self.clips, self.rows, self.room = config, clips, 2 if guided else 1, room
        heads, states = config.num_attention_heads, self.rows * clips
        self.math = Elementwise(max(states * heads * room, heads * words, states * config.ffn_dim))
        self.x = np.empty((clips, self.rows, config.hidden_size), np.float32)
        self.norm = Norm(self.x, epsilon)
        self._epsilon = epsilon
        self._buffers: dict[tuple[object, ...], Array] = {}
        self._row_norms: dict[int, Norm] = {}

    def buffer(self, name: str, *shape: int) -> Array:
        """Memory of that name and shape, the same for every layer; zeros at first."""
        return self._buffers.setdefault((name, *shape), np.zeros(shape, np.float32))

    def row_norm(self, clip: int) -> Norm:
        """The norm of a clip's first row alone."""
        if clip not in self._row_norms:
            self._row_norms[clip] = Norm(self.x[clip : clip + 1, :1], self._epsilon)
        return self._row_norms[clip]

    def each(self, weight: Array, x: Array, out: Array) -> list[Product]:
        """Products `(N, D)` times the rows `(C, r, D)` of each clip as columns: `(C, N, r)`."""
        return [columns(weight, x[clip], out[clip]) for clip in range(self.clips)]


class Norm:
    """Layer norm of some states `(C, r, D)`, whatever its weight and bias.

    Attributes:
        out: What it came to, `(C, r, D)`.
    """

    def __init__(self, x: Array, epsilon: float) -> None:
        clips, count, dim = x.shape
        self._x, self._epsilon = x, np.array(epsilon, np.float32)
        self._mean, self._variance = (np.empty((clips, count, 1), np.float32) for _ in range(2))
        self._centred, self.out = (np.empty(x.shape, np.float32) for _ in range(2))
        mean = np.full((dim, 1), 1 / dim, np.float32)
        self._means = [product(x[clip], mean, self._mean[clip]) for clip in range(clips)]
        # The variance and its epsilon as one product of each row with itself.
        self._variances = [
            product(row[None], row[:, None], variance[None], scale=1 / dim, add=True)
            for row, variance in zip(
                self._centred.reshape(-1, dim), self._variance.reshape(-1, 1), strict=True
            )
        ]

    def __call__(self, scale: Scale) -> None:
        """Make it from what the states hold now."""
        weight, bias = scale
        for make in self._means:
            make()
        np.subtract(self._x, self._mean, self._centred)
        self._variance.fill(self._epsilon)
        for make in self._variances:
            make()
        np.sqrt(self._variance, self._variance)
        np.divide(_ONE, self._variance, self._variance)
        np.multiply(self._centred, self._variance, self.out)
        np.multiply(self.out, weight, self.out)
        np.add(self.out, bias, self.out)


class SelfAttention:
    """Queries, keys, values, attention over the positions so far, output and residual."""

    def __init__(self, work: Workspace, layer: Block, cache: KVCache) -> None:
        config, clips, count, room = work.config, work.clips, work.rows, work.room
        heads, width, dim = config.num_attention_heads, config.head_dim, config.hidden_size
        self._work, self._scale = work, scale_of(layer.self_attn_norm)
        self._factor = np.array(width**-0.5, np.float32)
        qkv = work.buffer("qkv", clips, 3 * dim, count)
        self._qkv = work.each(view(layer.self_attn.qkv.weight), work.norm.out, qkv)
        # A cache's rows are in the order of one that was filled by reading: all clips with text, then all without.
        self._columns = qkv.transpose(2, 0, 1)
        self._sorted = work.buffer("sorted", count, clips, 3 * dim)
        parts = self._sorted.reshape(count * clips, 3, heads, width)
        self._asked, self._key, self._value = parts[:, 0], parts[:, 1], parts[:, 2]
        self._queries, self._heard = (
            work.buffer(name, count * clips, heads, width) for name in ("queries", "heard")
        )
        self._weights = work.buffer("weights", count * clips, heads, room)
        self._keys, self._values = (
            np.empty((count * clips, heads, room, width), np.float32) for _ in range(2)
        )
        if cache.length:
            for own, read in zip((self._keys, self._values), cache.filled, strict=True):
                own[:, :, : cache.length] = np.array(read)
        self._attention = Attention(self._queries, self._keys, self._values, self._weights, self._heard)
        self._weight_rows = self._weights.reshape(-1, room)
        self._heard_rows = self._heard.reshape(count, clips, dim).swapaxes(0, 1)
        self._turned = work.buffer("turned", clips, count, dim)
        added = work.buffer("added", clips, dim, count)
        self._added = added.swapaxes(1, 2)
        self._out = work.each(view(layer.self_attn.out.weight), self._turned, added)

    def __call__(self, position: int) -> None:
        """Make the step at a position."""
        work, end = self._work, position + 1
        work.norm(self._scale)
        for make in self._qkv:
            make()
        self._sorted[...] = self._columns
        np.multiply(self._asked, self._factor, self._queries)
        self._keys[:, :, position] = self._key
        self._values[:, :, position] = self._value
        self._attention.score(end)
        weights = self._weight_rows[:, :end]
        work.math.softmax(weights, weights)
        self._attention.sum(end)
        self._turned[...] = self._heard_rows
        for make in self._out:
            make()
        np.add(work.x, self._added, work.x)


class FewWords:
    """Attention of a clip's row to a text that was multiplied into the weights of queries and outputs once."""

    def __init__(self, work: Workspace, layer: Block, memory: TextMemory, index: int) -> None:
        if index == len(memory.merged):
            memory.merged.append(_merged(layer, *memory.layers[index], work.config.head_dim**-0.5))
        asked, told = (view(part) for part in memory.merged[index])
        clip, heads = memory.rows[0], work.config.num_attention_heads
        self._norm, self._scale = work.row_norm(clip), scale_of(layer.cross_attn_norm)
        self._math, self._x = work.math, work.x[clip, 0]
        scores = work.buffer("words", asked.shape[0])
        self._scores = scores.reshape(heads, -1)
        out = work.buffer("word row", work.config.hidden_size)
        self._out = out
        self._ask = columns(asked, self._norm.out[0], scores.reshape(-1, 1))
        self._tell = columns(told, scores.reshape(1, -1), out.reshape(-1, 1))

    def __call__(self) -> None:
        """Add what the text says."""
        self._norm(self._scale)
        self._ask()
        self._math.softmax(self._scores, self._scores)
        self._tell()
        np.add(self._x, self._out, self._x)


class ManyWords:
    """The same for a text that would be larger than the weights themselves: in tiles, as `Linear` works."""

    def __init__(self, work: Workspace, layer: Block, memory: TextMemory, index: int) -> None:
        heads, width, dim = work.config.num_attention_heads, work.config.head_dim, work.config.hidden_size
        keys, values = (np.array(part[0]) for part in memory.layers[index])
        clip, words = memory.rows[0], keys.shape[1]
        self._norm, self._scale = work.row_norm(clip), scale_of(layer.cross_attn_norm)
        self._math, self._x = work.math, work.x[clip, 0]
        self._factor = np.array(width**-0.5, np.float32)
        self._tile, asked, self._mixed, out = (
            work.buffer(name, CPU_ROW_TILE, dim) for name in ("tile", "asked", "mixed", "word rows")
        )
        self._ask = rows(self._tile, view(layer.cross_attn.q.weight), asked)
        self._tell = rows(self._mixed, view(layer.cross_attn.out.weight), out)
        self._queries, self._out = asked[0].reshape(heads, width), out[0]
        self._scores = work.buffer("many words", heads, words)
        heard, turned = self._mixed[0].reshape(heads, width), np.ascontiguousarray(keys.swapaxes(1, 2))
        values = np.ascontiguousarray(values)
        each = range(heads)
        self._score = [product(self._queries[h, None], turned[h], self._scores[h, None]) for h in each]
        self._sum = [product(self._scores[h, None], values[h], heard[h, None]) for h in each]

    def __call__(self) -> None:
        """Add what the text says."""
        self._norm(self._scale)
        self._tile[0] = self._norm.out[0, 0]
        self._ask()
        np.multiply(self._queries, self._factor, self._queries)
        for make in self._score:
            make()
        self._math.softmax(self._scores, self._scores)
        for make in self._sum:
            make()
        self._tell()
        np.add(self._x, self._out, self._x)


class FeedForward:
    """Two products with the activation between them, and the residual."""

    def __init__(self, work: Workspace, layer: Block) -> None:
        clips, count, dim, wide = work.clips, work.rows, work.config.hidden_size, work.config.ffn_dim
        self._work, self._scale = work, scale_of(layer.ffn_norm)
        self._hidden = work.buffer("hidden", clips, wide, count)
        self._first = work.each(view(layer.fc1.weight), work.norm.out, self._hidden)
        self._activate = _activation(work.config.activation_function, work.math)
        weight = view(layer.fc2.weight)
        weight = weight if isinstance(layer.fc2, SplitLinear) else weight[None]
        parts = len(weight)
        self._turned = work.buffer("hidden rows", clips, parts, count, wide // parts)
        self._columns = self._hidden.reshape(clips, parts, wide // parts, count).swapaxes(2, 3)
        self._parts = work.buffer("parts", clips, parts, dim, count)
        self._added = self._parts[:, 0].swapaxes(1, 2)
        self._second = [
            columns(weight[part], self._turned[clip, part], self._parts[clip, part])
            for clip in range(clips)
            for part in range(parts)
        ]

    def __call__(self) -> None:
        """Add it to the states."""
        work = self._work
        work.norm(self._scale)
        for make in self._first:
            make()
        self._activate(self._hidden)
        self._turned[...] = self._columns
        for make in self._second:
            make()
        for part in range(1, self._parts.shape[1]):
            np.add(self._parts[:, 0], self._parts[:, part], self._parts[:, 0])
        np.add(work.x, self._added, work.x)


def attend_text(work: Workspace, layer: Block, memory: TextMemory, index: int) -> FewWords | ManyWords:
    """How a clip's row attends to its text."""
    # More words than half a head's width read more than the weights themselves, and take more memory.
    few = 2 * memory.layers[index][0].shape[2] <= work.config.head_dim
    return (FewWords if few else ManyWords)(work, layer, memory, index)


def _merged(layer: Block, keys: mx.array, values: mx.array, scale: float) -> tuple[mx.array, mx.array]:
    """A text's keys and values `(1, H, S, d)`, times the weights of queries `(H S, D)` and of outputs `(D, H S)`."""
    _, heads, length, width = keys.shape
    dim = heads * width
    asked = (keys[0] * scale) @ layer.cross_attn.q.weight.reshape(heads, width, dim)
    out = layer.cross_attn.out.weight.reshape(dim, heads, width).swapaxes(0, 1)
    told = (out @ values[0].swapaxes(1, 2)).swapaxes(0, 1)
    return asked.reshape(heads * length, dim), told.reshape(dim, heads * length)


def _activation(name: str, functions: Elementwise) -> Callable[[Array], None]:
    """An activation in place."""
    if name == "gelu":
        return lambda x: functions.gelu(x, x)

    def by_mlx(x: Array) -> None:
        x[...] = np.array(activation(name, mx.array(x)))

    return by_mlx
