"""The MusicGen decoder: a transformer over several codebooks at once (Copet et al. 2023, arXiv:2306.05284).

Projections that the checkpoint stores apart (queries, keys and values; the codebooks' tables and heads) are fused
here: fewer, larger products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import mlx.core as mx
from mlx import nn

from generation.config import DecoderConfig, MelodyConfig
from generation.layers import Linear, SplitLinear, activation, join_heads, sinusoidal_positions, split_heads

CACHE_BLOCK = 256
"""Positions by which a cache grows: about five seconds."""


class KVCache:
    """Keys and values of one layer, `(B, H, T, d)`, in a buffer that grows by blocks and is written in place."""

    def __init__(self) -> None:
        self.length = 0
        self._keys: mx.array | None = None
        self._values: mx.array | None = None

    @property
    def filled(self) -> tuple[mx.array, mx.array]:
        """Keys and values `(B, H, length, d)` so far.

        Raises:
            ValueError: There are none yet.
        """
        if self._keys is None or self._values is None:
            raise ValueError("Nothing was read yet.")
        return self._keys[:, :, : self.length], self._values[:, :, : self.length]

    def extend(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Append `(B, H, t, d)` and return all that is filled."""
        start, end = self.length, self.length + keys.shape[2]
        if self._keys is None or self._values is None:
            self._keys, self._values = self._room(keys, end), self._room(values, end)
        elif end > self._keys.shape[2]:
            missing = end - self._keys.shape[2]
            self._keys = mx.concatenate([self._keys, self._room(keys, missing)], axis=2)
            self._values = mx.concatenate([self._values, self._room(values, missing)], axis=2)
        self._keys[:, :, start:end] = keys
        self._values[:, :, start:end] = values
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    @staticmethod
    def _room(like: mx.array, positions: int) -> mx.array:
        batch, heads, _, dim = like.shape
        return mx.zeros((batch, heads, math.ceil(positions / CACHE_BLOCK) * CACHE_BLOCK, dim), like.dtype)


@dataclass(slots=True)
class TextMemory:
    """What a run of neighbouring rows cross-attends to.

    Attributes:
        rows: First row and the row after the last.
        states: Projected text states `(rows, S, D)`, zero where padded.
        mask: `(rows, 1, 1, S)`, true where a key may be attended to; None is everywhere.
        layers: Keys and values `(rows, H, S, d)` of each layer, made once by `MusicGenDecoder.remember`.
        merged: The same multiplied into the layers' weights, where `generation.cpu_steps` made it.
    """

    rows: tuple[int, int]
    states: mx.array
    mask: mx.array | None = None
    layers: list[tuple[mx.array, mx.array]] = field(default_factory=list)
    merged: list[tuple[mx.array, mx.array]] = field(default_factory=list)


class SelfAttention(nn.Module):
    """Causal multi-head attention over the steps so far, without biases."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.qkv = Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.out = Linear(config.hidden_size, config.hidden_size, bias=False)
        self._heads = config.num_attention_heads
        self._scale = config.head_dim**-0.5

    def __call__(self, x: mx.array, cache: KVCache | None) -> mx.array:
        q, k, v = (split_heads(part, self._heads) for part in mx.split(self.qkv(x), 3, axis=-1))
        if cache is not None:
            k, v = cache.extend(k, v)
        mask = "causal" if x.shape[1] > 1 else None
        return self.out(
            join_heads(mx.fast.scaled_dot_product_attention(q, k, v, scale=self._scale, mask=mask))
        )


class CrossAttention(nn.Module):
    """Attention over the text, whose keys and values are made once.

    Rows without text (the unconditional half of guidance, an empty prompt) attend to zero vectors, whose mean is
    zero, and nothing here has a bias: for them the layer adds nothing and is not computed.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.q = Linear(config.hidden_size, config.hidden_size, bias=False)
        self.kv = Linear(config.hidden_size, 2 * config.hidden_size, bias=False)
        self.out = Linear(config.hidden_size, config.hidden_size, bias=False)
        self._heads = config.num_attention_heads
        self._scale = config.head_dim**-0.5

    def remember(self, states: mx.array) -> tuple[mx.array, mx.array]:
        """Keys and values `(B, H, S, d)` of text states `(B, S, D)`."""
        keys, values = mx.split(self.kv(states), 2, axis=-1)
        return split_heads(keys, self._heads), split_heads(values, self._heads)

    def __call__(self, x: mx.array, memories: list[TextMemory], layer: int) -> mx.array:
        """`x (B, T, D) -> (B, T, D)`; `memories` are in the order of their rows and do not overlap."""
        parts: list[mx.array] = []
        done = 0
        for memory in memories:
            start, end = memory.rows
            if start > done:
                parts.append(mx.zeros_like(x[done:start]))
            keys, values = memory.layers[layer]
            q = split_heads(self.q(x[start:end]), self._heads)
            heads = mx.fast.scaled_dot_product_attention(q, keys, values, scale=self._scale, mask=memory.mask)
            parts.append(self.out(join_heads(heads)))
            done = end
        if done < x.shape[0]:
            parts.append(mx.zeros_like(x[done:]))
        return parts[0] if len(parts) == 1 else mx.concatenate(parts)


class Block(nn.Module):
    """Pre-norm self-attention, cross-attention and feed-forward, each with its residual connection."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        dim = config.hidden_size
        self.self_attn = SelfAttention(config)
        self.self_attn_norm = nn.LayerNorm(dim)
        if config.cross_attention:
            self.cross_attn = CrossAttention(config)
            self.cross_attn_norm = nn.LayerNorm(dim)
        self.fc1 = Linear(dim, config.ffn_dim, bias=False)
        self.fc2: Linear | SplitLinear = Linear(config.ffn_dim, dim, bias=False)
        self.ffn_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)  # does nothing outside training
        self._activation = config.activation_function

    def __call__(
        self, x: mx.array, memories: list[TextMemory], layer: int, cache: KVCache | None
    ) -> mx.array:
        x = x + self.dropout(self.self_attn(self.self_attn_norm(x), cache))
        if "cross_attn" in self:
            x = x + self.dropout(self.cross_attn(self.cross_attn_norm(x), memories, layer))
        return x + self.dropout(self.fc2(activation(self._activation, self.fc1(self.ffn_norm(x)))))


class MusicGenDecoder(nn.Module):
    """Tokens of all codebooks up to a step -> logits of all codebooks for the next."""

    cpu_steps = False
    """Steps of one token are made by `generation.cpu_steps`."""

    def __init__(self, config: DecoderConfig, text_dim: int, melody: MelodyConfig | None = None) -> None:
        super().__init__()
        self.config = config
        dim, books = config.hidden_size, config.num_codebooks
        self.embed = nn.Embedding(books * (config.vocab_size + 1), dim)
        if text_dim != dim:
            self.text_proj = Linear(text_dim, dim)
        if melody is not None:
            self.chroma_proj = Linear(melody.num_chroma, dim)
        self.layers = [Block(config) for _ in range(config.num_hidden_layers)]
        self.norm = nn.LayerNorm(dim)
        self.heads = Linear(dim, books * config.vocab_size, bias=False)

    def project_text(self, states: mx.array) -> mx.array:
        """Text states `(B, S, text_dim) -> (B, S, D)`."""
        return self.text_proj(states) if "text_proj" in self else states

    def remember(self, memory: TextMemory) -> TextMemory:
        """Fill in the keys and values of every layer."""
        memory.layers = [layer.cross_attn.remember(memory.states) for layer in self.layers]
        return memory

    def new_cache(self) -> list[KVCache]:
        """An empty cache for each layer."""
        return [KVCache() for _ in self.layers]

    def embed_tokens(self, tokens: mx.array) -> mx.array:
        """Sum of the codebooks' embeddings: tokens `(B, K, T) -> (B, T, D)`."""
        first_row = mx.arange(self.config.num_codebooks)[:, None] * (self.config.vocab_size + 1)
        embedded: mx.array = self.embed(tokens + first_row).sum(axis=1)
        return embedded

    def hidden(
        self,
        tokens: mx.array,
        memories: list[TextMemory],
        cache: list[KVCache] | None = None,
        positions: mx.array | None = None,
        prefix: mx.array | None = None,
    ) -> mx.array:
        """States after the last norm, `(B, T, D)`, for tokens `(B, K, T)` that follow what the cache holds.

        `positions (T, D)` are embeddings to use instead of those from the cache's length on. States `prefix (B, P, D)`
        go before the tokens, and their own states before the tokens' in what is returned.
        """
        x = self.embed_tokens(tokens)
        if prefix is not None:
            x = mx.concatenate([prefix.astype(x.dtype), x], axis=1)
        if positions is None:
            positions = sinusoidal_positions(cache[0].length if cache else 0, x.shape[1], x.shape[-1])
        x = x + positions.astype(x.dtype)
        for i, layer in enumerate(self.layers):
            x = layer(x, memories, i, cache[i] if cache else None)
        states: mx.array = self.norm(x)
        return states

    def logits(self, hidden: mx.array) -> mx.array:
        """States `(B, T, D)` -> logits `(B, K, T, V)`."""
        batch, length, _ = hidden.shape
        flat = self.heads(hidden).reshape(batch, length, self.config.num_codebooks, self.config.vocab_size)
        return flat.transpose(0, 2, 1, 3)

    def next_logits(
        self,
        tokens: mx.array,
        memories: list[TextMemory],
        cache: list[KVCache],
        *,
        guided: bool,
        prefix: mx.array | None = None,
    ) -> mx.array:
        """Logits of the step after tokens `(B, K, T)`: `(B, K, V)`; `guided` adds as many rows without text."""
        rows = mx.concatenate([tokens, tokens]) if guided else tokens
        hidden = self.hidden(rows, memories, cache, prefix=prefix)[:, -1:]
        return self.logits(hidden)[:, :, 0]

    def __call__(
        self, tokens: mx.array, memories: list[TextMemory], cache: list[KVCache] | None = None
    ) -> mx.array:
        """Logits `(B, K, T, V)` for tokens `(B, K, T)`; with a cache, tokens go on from what it holds."""
        return self.logits(self.hidden(tokens, memories, cache))
