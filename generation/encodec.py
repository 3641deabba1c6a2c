"""EnCodec: SEANet encoder and decoder with a residual vector quantiser (Défossez et al. 2022, arXiv:2210.13438).

Arrays are channel-last, `(B, T, C)`, as MLX's convolutions want them. Weight norm is folded when a checkpoint is
loaded, so these modules hold plain weights.
"""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
from mlx import nn

from generation.backend import backend_name
from generation.config import EncodecConfig

LSTMState = tuple[mx.array, mx.array]
"""Hidden and cell state of one layer, each `(B, D)`."""


def _pad(x: mx.array, left: int, right: int, mode: str) -> mx.array:
    """Pad the time axis of `(B, T, C)`; `reflect` on an input shorter than the padding adds zeros first."""
    if left == 0 and right == 0:
        return x
    if mode != "reflect":
        return mx.pad(x, [(0, 0), (left, right), (0, 0)])
    length = x.shape[1]
    extra = max(0, max(left, right) - length + 1)
    if extra:
        x = mx.pad(x, [(0, 0), (0, extra), (0, 0)])
    total = length + extra
    head = x[:, left:0:-1]
    tail = x[:, total - 2 : total - 2 - right : -1] if right < total - 1 else x[:, total - 2 :: -1]
    padded = mx.concatenate([head, x, tail], axis=1)
    return padded[:, : padded.shape[1] - extra] if extra else padded


class Conv1d(nn.Module):
    """Convolution `(B, T, C_in) -> (B, ceil(T / stride), C_out)` with the codec's own padding."""

    def __init__(
        self, config: EncodecConfig, c_in: int, c_out: int, kernel: int, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(c_in, c_out, kernel, stride=stride, dilation=dilation)
        self._causal = config.use_causal_conv
        self._mode = config.pad_mode
        self._stride = stride
        self._reach = (kernel - 1) * dilation + 1  # effective kernel length
        self._plain = stride == dilation == 1

    def __call__(self, x: mx.array) -> mx.array:
        total = self._reach - self._stride
        frames = math.ceil(x.shape[1] / self._stride)
        extra = frames * self._stride - x.shape[1]  # fills the last stride
        if self._causal:
            x = _pad(x, total, extra, self._mode)
        else:
            right = total // 2
            x = _pad(x, total - right, right + extra, self._mode)
        if self.conv.weight.shape[0] == 1 and self._plain and backend_name() == "cpu":
            return self._one_channel(x)
        out: mx.array = self.conv(x)
        return out

    def _one_channel(self, x: mx.array) -> mx.array:
        """What makes the sound, as a product for all taps and a shifted sum: 20 times as fast on the CPU."""
        taps = self.conv.weight[0]
        spread, length = x @ taps.T, x.shape[1] - taps.shape[0] + 1
        total = spread[:, :length, 0]
        for tap in range(1, taps.shape[0]):
            total = total + spread[:, tap : tap + length, tap]
        return (total + self.conv.bias)[..., None]


class ConvTranspose1d(nn.Module):
    """Transposed convolution of kernel `2 * stride`: `(B, T, C_in) -> (B, T * stride, C_out)`.

    With that kernel each input frame touches two output frames, so the layer is one matrix product and one shifted
    sum: the same numbers as a transposed convolution and, on the CPU, tens of times faster.
    `weight` is `(2 * stride * C_out, C_in)`.
    """

    def __init__(self, config: EncodecConfig, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        scale = 1 / math.sqrt(c_in * 2)
        self.weight = mx.random.uniform(-scale, scale, (2 * stride * c_out, c_in))
        self.bias = mx.zeros((c_out,))
        self._stride = stride
        trimmed_right = math.ceil(stride * config.trim_right_ratio) if config.use_causal_conv else stride // 2
        self._trim_left = stride - trimmed_right

    def __call__(self, x: mx.array) -> mx.array:
        batch, length, _ = x.shape
        channels = self.bias.shape[0]
        spread = (x @ self.weight.T).reshape(batch, length, 2, self._stride * channels)
        between = spread[:, 1:, 0] + spread[:, :-1, 1]
        full = mx.concatenate([spread[:, :1, 0], between, spread[:, -1:, 1]], axis=1)
        full = full.reshape(batch, (length + 1) * self._stride, channels)
        return full[:, self._trim_left : self._trim_left + length * self._stride] + self.bias


class ELU(nn.Module):
    """Exponential linear unit (Clevert et al. 2016, arXiv:1511.07289), elementwise.

    Not `nn.ELU`: that one is compiled, which on the CPU needs a C++ compiler at run time.
    """

    def __call__(self, x: mx.array) -> mx.array:
        if not self.training and x.dtype == mx.float32 and backend_name() == "cpu":
            return _elu_on_cpu(x)
        # Below zero exp(x) - 1 lies above x, from zero on it is clamped to 0: the larger one is always the answer.
        return mx.maximum(x, mx.exp(mx.minimum(x, 0)) - 1)


def _elu_on_cpu(x: mx.array) -> mx.array:
    """The same with NumPy, whose exponential works on 16 numbers at once: 7 times as fast as MLX's on Linux."""
    out = mx.minimum(x, 0)
    below = np.array(out, copy=False)  # a view: what is written here is written in `out`
    np.exp(below, out=below)
    below -= 1
    np.maximum(np.array(x, copy=False), below, out=below)
    return out


class LSTM(nn.Module):
    """Stacked LSTM with a residual connection around the stack: `(B, T, D) -> (B, T, D)`, on any backend.

    Gates are stacked in the order input, forget, cell, output (as in PyTorch's checkpoints), with one bias.
    """

    def __init__(self, dim: int, num_layers: int) -> None:
        super().__init__()
        self.layers = [LSTMLayer(dim) for _ in range(num_layers)]

    def __call__(self, x: mx.array) -> mx.array:
        return self.resume(x, None)[0]

    def resume(self, x: mx.array, states: list[LSTMState] | None) -> tuple[mx.array, list[LSTMState]]:
        """Go on from where an earlier call ended: `(B, T, D)` and states in, the same out."""
        out, after = x, []
        for i, layer in enumerate(self.layers):
            out, state = layer(out, None if states is None else states[i])
            after.append(state)
        return out + x, after


class LSTMLayer(nn.Module):
    """One LSTM layer, `(B, T, D) -> (B, T, D)` and its state; the input's products are made for all steps at once."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        scale = 1 / math.sqrt(dim)
        self.weight_ih = mx.random.uniform(-scale, scale, (4 * dim, dim))
        self.weight_hh = mx.random.uniform(-scale, scale, (4 * dim, dim))
        self.bias = mx.zeros((4 * dim,))

    def __call__(self, x: mx.array, state: LSTMState | None = None) -> tuple[mx.array, LSTMState]:
        inputs = x @ self.weight_ih.T + self.bias
        recurrent = self.weight_hh.T
        empty = mx.zeros((x.shape[0], x.shape[2]), x.dtype)
        hidden, cell = state or (empty, empty)
        outputs = []
        for t in range(x.shape[1]):
            i, f, g, o = mx.split(inputs[:, t] + hidden @ recurrent, 4, axis=-1)
            cell = mx.sigmoid(f) * cell + mx.sigmoid(i) * mx.tanh(g)
            hidden = mx.sigmoid(o) * mx.tanh(cell)
            outputs.append(hidden)
        return mx.stack(outputs, axis=1), (hidden, cell)


class ResidualBlock(nn.Module):
    """ELU, dilated convolution, ELU, 1x1 convolution, added to the input: `(B, T, C) -> (B, T, C)`."""

    def __init__(self, config: EncodecConfig, dim: int, dilation: int) -> None:
        super().__init__()
        hidden = dim // config.compress
        self.block = [
            ELU(),
            Conv1d(config, dim, hidden, config.residual_kernel_size, dilation=dilation),
            ELU(),
            Conv1d(config, hidden, dim, 1),
        ]
        if config.use_conv_shortcut:
            self.shortcut = Conv1d(config, dim, dim, 1)

    def __call__(self, x: mx.array) -> mx.array:
        y = x
        for layer in self.block:
            y = layer(y)
        skipped: mx.array = self.shortcut(x) if "shortcut" in self else x
        return skipped + y


class Encoder(nn.Module):
    """SEANet encoder: `(B, samples, channels) -> (B, frames, D)`."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        dim = config.num_filters
        layers: list[nn.Module] = [Conv1d(config, config.audio_channels, dim, config.kernel_size)]
        for ratio in reversed(config.upsampling_ratios):
            layers += [
                ResidualBlock(config, dim, config.dilation_growth_rate**j)
                for j in range(config.num_residual_layers)
            ]
            layers += [ELU(), Conv1d(config, dim, 2 * dim, 2 * ratio, stride=ratio)]
            dim *= 2
        layers += [LSTM(dim, config.num_lstm_layers), ELU()]
        layers.append(Conv1d(config, dim, config.hidden_size, config.last_kernel_size))
        self.layers = layers

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.layers:
            x = layer(x)
        return x


class Decoder(nn.Module):
    """SEANet decoder: `(B, frames, D) -> (B, samples, channels)`."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        dim = config.num_filters * 2 ** len(config.upsampling_ratios)
        layers: list[nn.Module] = [Conv1d(config, config.hidden_size, dim, config.kernel_size)]
        layers.append(LSTM(dim, config.num_lstm_layers))
        for ratio in config.upsampling_ratios:
            layers += [ELU(), ConvTranspose1d(config, dim, dim // 2, ratio)]
            dim //= 2
            layers += [
                ResidualBlock(config, dim, config.dilation_growth_rate**j)
                for j in range(config.num_residual_layers)
            ]
        layers += [ELU(), Conv1d(config, dim, config.audio_channels, config.last_kernel_size)]
        self.layers = layers

    def __call__(self, x: mx.array) -> mx.array:
        return self.leave(self.enter(x))

    def enter(self, x: mx.array) -> mx.array:
        """The first convolution and the LSTM, which goes frame by frame: `(B, frames, D) -> (B, frames, dim)`."""
        for layer in self.layers[:2]:
            x = layer(x)
        return x

    def leave(self, x: mx.array) -> mx.array:
        """The layers that make samples of what `enter` gave, each of a few frames: `(B, samples, channels)`."""
        for layer in self.layers[2:]:
            x = layer(x)
        return x


class Codebook(nn.Module):
    """One stage of the quantiser: `embed` is `(codes, D)`."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.embed = mx.random.normal((size, dim)) * dim**-0.5

    def encode(self, x: mx.array) -> mx.array:
        """Index of the nearest code (squared Euclidean distance): `(..., D) -> (...)`."""
        # The input's own norm is the same for every code, so it cannot change the winner.
        score = 2 * (x @ self.embed.T) - (self.embed * self.embed).sum(axis=-1)
        return mx.argmax(score, axis=-1)

    def decode(self, codes: mx.array) -> mx.array:
        """Codes to vectors: `(...) -> (..., D)`."""
        vectors: mx.array = self.embed[codes]
        return vectors


class ResidualVectorQuantizer(nn.Module):
    """A stack of codebooks, each quantising what the ones before it left over (section 3.2 of the paper)."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        self.layers = [
            Codebook(config.codebook_size, config.hidden_size) for _ in range(config.num_quantizers)
        ]

    def encode(self, z: mx.array) -> mx.array:
        """`(B, frames, D) -> (B, K, frames)` codes."""
        codes = []
        for layer in self.layers:
            indices = layer.encode(z)
            z = z - layer.decode(indices)
            codes.append(indices)
        return mx.stack(codes, axis=1)

    def decode(self, codes: mx.array) -> mx.array:
        """`(B, K, frames) -> (B, frames, D)`."""
        total = self.layers[0].decode(codes[:, 0])
        for k, layer in enumerate(self.layers[1:], start=1):
            total = total + layer.decode(codes[:, k])
        return total


class Encodec(nn.Module):
    """The whole codec: waveform `(B, samples, channels)` to codes `(B, K, frames)` and back."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quantizer = ResidualVectorQuantizer(config)

    def encode(self, audio: mx.array) -> mx.array:
        """`(B, samples, channels) -> (B, K, frames)` codes; frames = ceil(samples / hop length)."""
        return self.quantizer.encode(self.encoder(audio))

    def decode(self, codes: mx.array) -> mx.array:
        """`(B, K, frames) -> (B, frames * hop length, channels)`."""
        return self.decoder(self.quantizer.decode(codes))
