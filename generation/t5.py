"""The T5 text encoder (Raffel et al. 2020, arXiv:1910.10683): a prompt's tokens to a sequence of states."""

from __future__ import annotations

import math

import mlx.core as mx
from mlx import nn

from generation.config import T5Config
from generation.layers import Linear, activation, join_heads, split_heads


def relative_position_buckets(length: int, num_buckets: int, max_distance: int) -> mx.array:
    """Bucket of each (query, key) distance: `(length, length)` int32.

    Half of the buckets are for keys after the query; of each half, the first half are exact distances and the rest
    grow logarithmically up to `max_distance` (section 2.1 of the paper, bidirectional case).
    """
    positions = mx.arange(length)
    distance = positions[None, :] - positions[:, None]
    half = num_buckets // 2
    exact = half // 2
    after = (distance > 0).astype(mx.int32) * half
    distance = mx.abs(distance)
    growth = mx.log(mx.maximum(distance, 1).astype(mx.float32) / exact) / math.log(max_distance / exact)
    far = mx.minimum(exact + (growth * (half - exact)).astype(mx.int32), half - 1)
    return after + mx.where(distance < exact, distance, far)


class SelfAttention(nn.Module):
    """Multi-head attention without scaling or biases, with an additive position bias."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        width = config.num_heads * config.d_kv
        self.q = Linear(config.d_model, width, bias=False)
        self.k = Linear(config.d_model, width, bias=False)
        self.v = Linear(config.d_model, width, bias=False)
        self.o = Linear(width, config.d_model, bias=False)
        self._heads = config.num_heads

    def __call__(self, x: mx.array, bias: mx.array) -> mx.array:
        """`x (B, T, D)`, `bias (B or 1, H, T, T)` -> `(B, T, D)`."""
        q, k, v = (split_heads(layer(x), self._heads) for layer in (self.q, self.k, self.v))
        out = mx.fast.scaled_dot_product_attention(q, k, v, scale=1.0, mask=bias.astype(q.dtype))
        return self.o(join_heads(out))


class FeedForward(nn.Module):
    """The plain (T5 1.0) or gated (T5 1.1) feed-forward layer."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        if config.gated:
            self.wi_0 = Linear(config.d_model, config.d_ff, bias=False)
            self.wi_1 = Linear(config.d_model, config.d_ff, bias=False)
        else:
            self.wi = Linear(config.d_model, config.d_ff, bias=False)
        self.wo = Linear(config.d_ff, config.d_model, bias=False)
        self._gated = config.gated
        self._activation = config.activation

    def __call__(self, x: mx.array) -> mx.array:
        if self._gated:
            hidden = activation(self._activation, self.wi_0(x)) * self.wi_1(x)
        else:
            hidden = activation(self._activation, self.wi(x))
        return self.wo(hidden)


class Block(nn.Module):
    """Pre-norm attention and feed-forward, each with its residual connection."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)

    def __call__(self, x: mx.array, bias: mx.array) -> mx.array:
        x = x + self.attention(self.attention_norm(x), bias)
        return x + self.feed_forward(self.feed_forward_norm(x))


class T5Encoder(nn.Module):
    """Token ids `(B, T)` to states `(B, T, d_model)`."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.relative_bias = nn.Embedding(config.relative_attention_num_buckets, config.num_heads)
        self.blocks = [Block(config) for _ in range(config.num_layers)]
        self.norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self._buckets = config.relative_attention_num_buckets
        self._max_distance = config.relative_attention_max_distance

    def __call__(self, tokens: mx.array, mask: mx.array | None = None) -> mx.array:
        """Encode `tokens (B, T)`; where `mask (B, T)` is false the token is padding and is not attended to."""
        buckets = relative_position_buckets(tokens.shape[1], self._buckets, self._max_distance)
        bias = self.relative_bias(buckets).transpose(2, 0, 1)[None]
        if mask is not None:
            bias = mx.where(mask[:, None, None, :], bias, mx.finfo(bias.dtype).min)
        x = self.shared(tokens)
        for block in self.blocks:
            x = block(x, bias)
        states: mx.array = self.norm(x)
        return states
