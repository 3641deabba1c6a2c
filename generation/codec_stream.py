"""The codec's decoder in pieces: codes come in as they are made, sound goes out, memory stays bounded.

Two things tie a sample to others: convolutions, over a few frames on either side, and the LSTM, over everything
before. So each piece is decoded with enough neighbouring frames on both sides, whose samples are thrown away, and the
LSTM's state is carried. The samples are those of one decode of the whole, up to rounding.
"""

from __future__ import annotations

import math

import mlx.core as mx

from generation.config import EncodecConfig
from generation.encodec import Encodec, LSTMState


class CodecStream:
    """Decodes one clip, or several of one length, from codes that come bit by bit."""

    def __init__(self, codec: Encodec, config: EncodecConfig) -> None:
        self._codec = codec
        self._hop, self._channels = config.hop_length, config.audio_channels
        self._input_reach = config.kernel_size - 1
        self._output_reach = output_reach(config)
        self._latents: mx.array | None = None  # from frame `_latents_start` on
        self._latents_start = 0
        self._states: list[LSTMState] | None = None
        self._hidden: mx.array | None = None  # the LSTM's output, from frame `_hidden_start` on
        self._hidden_start = 0
        self._hidden_end = 0
        self._frames = 0
        self._decoded = 0

    def feed(self, codes: mx.array, *, last: bool = False) -> mx.array:
        """Take codes `(B, K, n)` and give the samples `(B, m, channels)` that they settle.

        A few frames are held back, because what comes next changes them.

        Args:
            codes: The next frames; none (`n = 0`) is allowed, to get the rest.
            last: Nothing follows: everything is given.
        """
        if codes.shape[2]:
            latents = self._codec.quantizer.decode(codes)
            self._latents = _joined(self._latents, latents)
            self._frames += codes.shape[2]
        self._enter(last)
        settled = self._leave(last)
        return mx.zeros((codes.shape[0], 0, self._channels)) if settled is None else settled

    def _enter(self, last: bool) -> None:
        """First convolution and LSTM, as far as the frames to come do not matter."""
        end = self._frames if last else self._frames - self._input_reach
        if self._latents is None or end <= self._hidden_end:
            return
        first, lstm = self._codec.decoder.layers[:2]
        # The piece's own edges are padded like a clip's: right at the clip's edges, thrown away elsewhere.
        piece = first(self._latents)[:, self._hidden_end - self._latents_start : end - self._latents_start]
        out, self._states = lstm.resume(piece, self._states)
        self._hidden = _joined(self._hidden, out)
        self._hidden_end = end
        keep = max(0, end - self._input_reach)
        self._latents = self._latents[:, keep - self._latents_start :]
        self._latents_start = keep
        mx.eval(self._hidden, self._latents, self._states)

    def _leave(self, last: bool) -> mx.array | None:
        """The layers that make samples, as far as the frames to come do not matter."""
        end = self._hidden_end if last else self._hidden_end - self._output_reach
        if self._hidden is None or end <= self._decoded:
            return None
        x = self._codec.decoder.leave(self._hidden)
        start = (self._decoded - self._hidden_start) * self._hop
        samples = x[:, start : start + (end - self._decoded) * self._hop]
        self._decoded = end
        keep = max(0, end - self._output_reach)
        self._hidden = self._hidden[:, keep - self._hidden_start :]
        self._hidden_start = keep
        mx.eval(samples, self._hidden)
        return samples


def output_reach(config: EncodecConfig) -> int:
    """Frames on either side of a frame that its samples depend on, beyond the LSTM."""
    reach, rate = 0.0, 1
    for ratio in config.upsampling_ratios:
        reach += 1 / rate
        rate *= ratio
        for j in range(config.num_residual_layers):
            reach += (config.residual_kernel_size - 1) * config.dilation_growth_rate**j / rate
    return math.ceil(reach + (config.last_kernel_size - 1) / rate)


def decode_in_pieces(
    codec: Encodec, config: EncodecConfig, codes: mx.array, *, frames: int
) -> list[mx.array]:
    """Decode codes `(B, K, T)` in pieces of `frames` frames; the pieces `(B, samples, channels)`, in order."""
    stream, pieces = CodecStream(codec, config), []
    for start in range(0, codes.shape[2], frames):
        end = start + frames
        samples = stream.feed(codes[:, :, start:end], last=end >= codes.shape[2])
        if samples.shape[1]:
            pieces.append(samples)
    return pieces


def _joined(before: mx.array | None, more: mx.array) -> mx.array:
    return more if before is None else mx.concatenate([before, more], axis=1)
