"""Decoder steps on the float32 CPU path: the numbers of `MusicGenDecoder` up to rounding, in half the time.

Three things make a step dear on a CPU, and each has its remedy here (figures in docs/performance.md):

- Products of few rows. A clip's rows (one, or two with guidance) are multiplied as columns, `W x^T`, which reads the
  weights at nearly the memory's speed. Each clip has its own product, so its bits never depend on the others.
- Cross-attention to a few words. The text is multiplied into the weights of queries and outputs once; a step then
  reads a fifth of them.
- Many small operations. The norm takes six of them here, `mx.fast.layer_norm` eleven.
"""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager, nullcontext

import mlx.core as mx
from mlx import nn

from generation import backend
from generation.decoder import Block, KVCache, MusicGenDecoder, TextMemory
from generation.layers import Linear, SplitLinear, activation, sinusoidal_positions

_LONGEST_PRODUCT = 1536
"""Inputs above which a product is made in parts."""
_NARROW = 512
"""Width up to which a decoder works in one thread."""
_POSITIONS = 256
"""Positions by which the table of their embeddings grows."""


def threads_for(decoder: MusicGenDecoder) -> AbstractContextManager[None]:
    """One thread for a decoder whose products are too small to be shared out; to be held while it makes steps."""
    narrow = decoder.quick_step is not None and decoder.config.hidden_size <= _NARROW
    return backend.one_thread() if narrow else nullcontext()


def prepare_decoder(decoder: MusicGenDecoder) -> None:
    """Make a decoder's products the same for any number of clips, and its steps fast.

    Args:
        decoder: In float32, on the CPU. Its weights are laid out anew where that helps.
    """
    for module in decoder.modules():
        if isinstance(module, Linear):
            module.row_tile = backend.CPU_ROW_TILE
    if not isinstance(decoder.heads, Linear):
        return  # quantised
    for layer in decoder.layers:
        width = decoder.config.ffn_dim
        parts = next((n for n in range(1, width) if width % n == 0 and width // n <= _LONGEST_PRODUCT), 1)
        if isinstance(layer.fc2, Linear) and parts > 1:
            layer.fc2 = SplitLinear(layer.fc2, parts)
            mx.eval(layer.fc2.weight)  # one after the other, so that no more than one is there twice
    decoder.quick_step = CpuSteps(decoder)


class CpuSteps:
    """Steps of one token for a decoder, whose weights it shares.

    States are `(C, r, D)`: the rows of each clip, the one without text after the one with it.
    """

    def __init__(self, decoder: MusicGenDecoder) -> None:
        config = decoder.config
        # Not the decoder itself: it refers to its steps, and gigabytes would wait for the collector of cycles.
        self._config, self._layers = config, decoder.layers
        self._embed, self._final_norm, self._heads = decoder.embed, decoder.norm, decoder.heads
        self._dim, self._scale = config.hidden_size, config.head_dim**-0.5
        self._mean = mx.full((1, self._dim, 1), 1 / self._dim)
        self._epsilon = mx.array(decoder.norm.eps).reshape(1, 1, 1, 1)
        self._first_rows = mx.arange(config.num_codebooks)[:, None] * (config.vocab_size + 1)
        self._positions = sinusoidal_positions(0, _POSITIONS, self._dim)

    def __call__(
        self, tokens: mx.array, memories: list[TextMemory], cache: list[KVCache], *, guided: bool
    ) -> mx.array:
        """Logits `(B, K, V)` after tokens `(B, K, 1)`; guided, as many rows without text follow.

        Args:
            tokens: Of the step before.
            memories: Of one clip each.
            cache: Goes on by one position.
            guided: With guidance.
        """
        clips, rows = tokens.shape[0], 2 if guided else 1
        embedded = self._embed.weight[tokens + self._first_rows].sum(axis=1)  # (C, 1, D)
        x = embedded + mx.broadcast_to(self._position(cache[0].length), (1, rows, self._dim))
        for i, layer in enumerate(self._layers):
            x = self._self_attention(layer, x, cache[i])
            x = self._cross_attention(layer, x, memories, i)
            x = self._feed_forward(layer, x)
        logits = _columns(self._heads.weight, self._norm(self._final_norm, x))
        return logits.transpose(2, 0, 1).reshape(rows * clips, self._config.num_codebooks, -1)

    def _position(self, place: int) -> mx.array:
        if place >= self._positions.shape[0]:
            self._positions = sinusoidal_positions(0, place + _POSITIONS, self._dim)
        return self._positions[place]

    def _norm(self, norm: nn.LayerNorm, x: mx.array) -> mx.array:
        centred = x - x @ self._mean
        # The variance and its epsilon as one product of each row with itself.
        variance = mx.addmm(self._epsilon, centred[:, :, None], centred[..., None], alpha=1 / self._dim)
        return centred * mx.rsqrt(variance)[..., 0] * norm.weight + norm.bias

    def _self_attention(self, layer: Block, x: mx.array, cache: KVCache) -> mx.array:
        clips, rows, dim = x.shape
        heads, width = self._config.num_attention_heads, self._config.head_dim
        qkv = _columns(layer.self_attn.qkv.weight, self._norm(layer.self_attn_norm, x))
        # The cache's rows are in the order of a prefilled one: all clips with text, then all without.
        qkv = mx.contiguous(qkv.transpose(2, 0, 1)).reshape(rows * clips, 3, heads, 1, width)
        keys, values = cache.extend(qkv[:, 1], qkv[:, 2])
        weights = mx.softmax((qkv[:, 0] * self._scale) @ keys.swapaxes(-1, -2), axis=-1)
        heard = (weights @ values).reshape(rows, clips, dim).swapaxes(0, 1)
        return x + _columns(layer.self_attn.out.weight, mx.contiguous(heard)).swapaxes(1, 2)

    def _cross_attention(self, layer: Block, x: mx.array, memories: list[TextMemory], index: int) -> mx.array:
        """Only the row with text of a clip that has some is computed: to the others nothing is added."""
        parts: list[mx.array] = []
        done = 0
        for memory in memories:
            clip = memory.rows[0]
            if clip > done:
                parts.append(x[done:clip])
            told, untold = x[clip : clip + 1, :1], x[clip : clip + 1, 1:]
            told = told + self._hear(layer, self._norm(layer.cross_attn_norm, told), memory, index)
            parts.append(mx.concatenate([told, untold], axis=1) if untold.size else told)
            done = clip + 1
        if done < x.shape[0]:
            parts.append(x[done:])
        return parts[0] if len(parts) == 1 else mx.concatenate(parts)

    def _hear(self, layer: Block, x: mx.array, memory: TextMemory, index: int) -> mx.array:
        """What a clip's text adds to its normed row `(1, 1, D)`."""
        keys, values = memory.layers[index]
        length = keys.shape[2]
        if 2 * length > self._config.head_dim:
            # So much text reads more than the weights themselves, and takes more memory.
            return layer.cross_attn(x, [dataclasses.replace(memory, rows=(0, 1))], index)
        if index == len(memory.merged):
            memory.merged.append(self._merge(layer, keys[0], values[0]))
        asked, told = memory.merged[index]
        scores = _columns(asked, x).reshape(1, self._config.num_attention_heads, length)
        return _columns(told, mx.softmax(scores, axis=-1).reshape(1, 1, -1)).swapaxes(1, 2)

    def _merge(self, layer: Block, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """A text's keys and values `(H, S, d)`, times the weights of queries `(H S, D)` and of outputs `(D, H S)`."""
        heads, length, width = keys.shape
        asked = (keys * self._scale) @ layer.cross_attn.q.weight.reshape(heads, width, self._dim)
        out = layer.cross_attn.out.weight.reshape(self._dim, heads, width).swapaxes(0, 1)
        told = (out @ values.swapaxes(1, 2)).swapaxes(0, 1)
        return asked.reshape(heads * length, self._dim), told.reshape(self._dim, heads * length)

    def _feed_forward(self, layer: Block, x: mx.array) -> mx.array:
        hidden = _columns(layer.fc1.weight, self._norm(layer.ffn_norm, x))
        hidden = activation(self._config.activation_function, hidden)
        if isinstance(layer.fc2, SplitLinear):
            clips, width, rows = hidden.shape
            parts = layer.fc2.weight.shape[0]
            hidden = mx.contiguous(hidden.reshape(clips, parts, width // parts, rows).swapaxes(2, 3))
            out = (layer.fc2.weight @ hidden.swapaxes(2, 3)).sum(axis=1)
        else:
            out = _columns(layer.fc2.weight, mx.contiguous(hidden.swapaxes(1, 2)))
        return x + out.swapaxes(1, 2)


def _columns(weight: mx.array, x: mx.array) -> mx.array:
    """`(N, D)` times the rows of each clip `(C, r, D)` as columns: `(C, N, r)`."""
    return weight @ x.swapaxes(1, 2)
