"""Whisper's network as it is trained: the names of mlx_whisper's tensors, a short vocabulary, and what guides it.

Radford et al. 2022 (arXiv:2212.04356), section 2.2. Training adds two helpers that the finished model leaves out:
a classifier of the word that is being said in each frame, and the weights of the attention to the sound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mlx.core as mx
from mlx import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Sizes; `rows` is the short vocabulary's, `words` the classifier's (with silence)."""

    width: int = 128
    heads: int = 4
    encoder_layers: int = 6
    decoder_layers: int = 3
    text_positions: int = 192
    bands: int = 80
    sound_positions: int = 1500
    rows: int
    words: int


def sinusoids(length: int, channels: int) -> mx.array:
    """Whisper's positions of the sound, `(length, channels)`."""
    step = math.log(10_000) / (channels // 2 - 1)
    angles = mx.arange(length)[:, None] * mx.exp(-step * mx.arange(channels // 2))[None]
    return mx.concatenate([mx.sin(angles), mx.cos(angles)], axis=1)


class Attention(nn.Module):
    """Attention with Whisper's names: the keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def _split(self, x: mx.array) -> mx.array:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)

    def __call__(self, x: mx.array, mask: mx.array | None = None) -> mx.array:
        """Attention of `(B, T, D)` to itself."""
        q, k, v = (self._split(f(x)) for f in (self.query, self.key, self.value))
        y = mx.fast.scaled_dot_product_attention(q, k, v, scale=q.shape[-1] ** -0.5, mask=mask)
        joined: mx.array = self.out(y.transpose(0, 2, 1, 3).reshape(x.shape))
        return joined

    def to_sound(self, x: mx.array, sound: mx.array) -> tuple[mx.array, mx.array]:
        """Attention of `(B, L, D)` to `(B, T, D)`, and the first head's weights `(B, L, T)`."""
        q, k, v = self._split(self.query(x)), self._split(self.key(sound)), self._split(self.value(sound))
        weights = mx.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(0, 1, 3, 2), axis=-1)
        y = (weights @ v).transpose(0, 2, 1, 3).reshape(x.shape)
        return self.out(y), weights[:, 0]


class Block(nn.Module):
    """A residual block of the encoder, or of the decoder with attention to the sound."""

    def __init__(self, width: int, heads: int, *, decoder: bool) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.attn_ln = nn.LayerNorm(width)
        if decoder:
            self.cross_attn = Attention(width, heads)
            self.cross_attn_ln = nn.LayerNorm(width)
        self.mlp1 = nn.Linear(width, 4 * width)
        self.mlp2 = nn.Linear(4 * width, width)
        self.mlp_ln = nn.LayerNorm(width)

    def encode(self, x: mx.array) -> mx.array:
        """`(B, T, D)` of the encoder."""
        x = x + self.attn(self.attn_ln(x))
        return x + self.mlp2(nn.gelu(self.mlp1(self.mlp_ln(x))))

    def decode(self, x: mx.array, sound: mx.array, mask: mx.array) -> tuple[mx.array, mx.array]:
        """`(B, L, D)` of the decoder, and its weights to the sound `(B, L, T)`."""
        x = x + self.attn(self.attn_ln(x), mask)
        y, weights = self.cross_attn.to_sound(self.cross_attn_ln(x), sound)
        x = x + y
        return x + self.mlp2(nn.gelu(self.mlp1(self.mlp_ln(x)))), weights


class Encoder(nn.Module):
    """Mel frames to states, half as many."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        width = geometry.width
        self.conv1 = nn.Conv1d(geometry.bands, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.blocks = [Block(width, geometry.heads, decoder=False) for _ in range(geometry.encoder_layers)]
        self.ln_post = nn.LayerNorm(width)
        self._positions = sinusoids(geometry.sound_positions, width)

    def __call__(self, mel: mx.array) -> mx.array:
        """`(B, frames, 80)` to `(B, frames / 2, D)`; fewer frames than 30 s take the first positions."""
        x = nn.gelu(self.conv2(nn.gelu(self.conv1(mel))))
        x = x + self._positions[: x.shape[1]].astype(x.dtype)
        for block in self.blocks:
            x = block.encode(x)
        states: mx.array = self.ln_post(x)
        return states


class Decoder(nn.Module):
    """Rows of the short vocabulary to the next row's logits."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(geometry.rows, geometry.width)
        self.positional_embedding = mx.random.normal((geometry.text_positions, geometry.width)) * 0.02
        self.blocks = [
            Block(geometry.width, geometry.heads, decoder=True) for _ in range(geometry.decoder_layers)
        ]
        self.ln = nn.LayerNorm(geometry.width)

    def __call__(self, tokens: mx.array, sound: mx.array) -> tuple[mx.array, list[mx.array]]:
        """`(B, L)` and `(B, T, D)` to logits `(B, L, rows)` and every layer's weights `(B, L, T)`."""
        length = tokens.shape[1]
        x = self.token_embedding(tokens) + self.positional_embedding[:length]
        mask = nn.MultiHeadAttention.create_additive_causal_mask(length).astype(x.dtype)
        attended = []
        for block in self.blocks:
            x, weights = block.decode(x, sound, mask)
            attended.append(weights)
        return self.token_embedding.as_linear(self.ln(x)), attended


class Whisper(nn.Module):
    """All of it, and the classifier of frames."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.encoder = Encoder(geometry)
        self.decoder = Decoder(geometry)
        self.frame_words = nn.Linear(geometry.width, geometry.words)
        self._initialise(geometry.encoder_layers + geometry.decoder_layers)

    def _initialise(self, depth: int) -> None:
        """Small embeddings, and residual branches that start small (Radford et al. 2019, section 2.3)."""
        embedding = self.decoder.token_embedding
        embedding.weight = mx.random.normal(embedding.weight.shape) * 0.05
        for part in (self.encoder, self.decoder):
            for block in part.blocks:
                for layer in (block.attn.out, block.mlp2):
                    layer.weight = layer.weight / math.sqrt(depth)
