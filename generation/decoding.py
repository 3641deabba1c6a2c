"""Codes of finished clips to waveforms: one clip after the other on the CPU, several together on GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation import backend, batching
from generation.codec_stream import decode_in_pieces
from generation.composition import Waveform
from generation.config import EncodecConfig
from generation.encodec import Encodec
from generation.errors import GenerationError

Codes = npt.NDArray[np.integer]

_PIECE_SECONDS = {"cpu": 1.0}
_LONGEST_PIECE = 30.0
"""What is decoded at once; longer clips are decoded in pieces, so that memory does not grow with them. On the CPU a
second at a time stays in its caches and takes two thirds of the time, with the same samples."""
_BYTES_A_SECOND = 125_000_000
"""Of the codec's work on a second of one clip at 32 kHz: 32 clips of ten seconds took 32 GB on an H200."""
_SHARE = 0.3  # of the device's memory
_MOST = 32
"""Clips beyond which decoding gains nothing: 77, 250, 995 and 1,368 times real time with 1, 4, 16 and 32."""


def decode_clip(codec: Encodec, config: EncodecConfig, codes: Codes, channels: int) -> Waveform:
    """Codes `(K, frames)` to a waveform `(samples,)`, stereo `(samples, 2)`, float32, as loud as the codec makes it.

    Raises:
        GenerationError: The codec gave samples that are no numbers.
    """
    narrow = config.num_filters * 2 ** len(config.upsampling_ratios) <= backend.NARROW
    piece = round(_PIECE_SECONDS.get(backend.backend_name(), _LONGEST_PIECE) * config.frame_rate)
    decoded = []
    with backend.one_thread() if narrow else nullcontext():
        for channel in range(channels):
            own = mx.array(codes[channel::channels].astype(np.int32))[None]
            if own.shape[2] <= piece:
                pieces = [codec.decode(own)]
            else:
                pieces = decode_in_pieces(codec, config, own, frames=piece)
            decoded.append(np.concatenate([np.array(p[0, :, 0], dtype=np.float32) for p in pieces]))
    return _whole(decoded[0] if channels == 1 else np.stack(decoded, axis=1))


def decode_clips(
    codec: Encodec, config: EncodecConfig, clips: Sequence[Codes], channels: int, *, rows: int
) -> list[Waveform]:
    """Waveforms of clips of one length, as `decode_clip` makes them, as many together as memory has room for.

    Args:
        codec: The codec.
        config: Its geometry.
        clips: Codes `(K, frames)` of each.
        channels: 1 or 2.
        rows: Clips that were generated together. The last bits depend on how many are decoded at once, so that is
            decided by this number and not by how many of them are wanted.

    Raises:
        GenerationError: The codec gave samples that are no numbers.
    """
    frames = clips[0].shape[1]
    together = min(rows, _room(frames / config.frame_rate))
    if together == 1 or frames > round(_LONGEST_PIECE * config.frame_rate):
        return [decode_clip(codec, config, codes, channels) for codes in clips]
    filled = np.stack([*clips, *[clips[-1]] * (-(-rows // together) * together - len(clips))]).astype(
        np.int32
    )
    # The LSTM goes frame by frame, however many clips there are: all of them go at once.
    hidden = [_enter(codec, mx.array(filled[:, channel::channels])) for channel in range(channels)]
    decoded: list[Waveform] = []
    waiting: mx.array | None = None
    for start in range(0, len(clips), together):
        sides = [_leave(codec, side[start : start + together]) for side in hidden]
        sound = sides[0] if channels == 1 else mx.stack(sides, axis=-1)
        mx.async_eval(sound)
        # Copied while the next ones are decoded.
        if waiting is not None:
            decoded += _apart(waiting)
        waiting = sound
    return [*decoded, *([] if waiting is None else _apart(waiting))][: len(clips)]


def _enter(codec: Encodec, codes: mx.array) -> mx.array:
    """Codes `(B, K, T)` through the first convolution and the LSTM: `(B, T, D)`."""
    x = codec.decoder.enter(codec.quantizer.decode(codes))
    mx.eval(x)
    return x


def _leave(codec: Encodec, hidden: mx.array) -> mx.array:
    """`(B, T, D)` through the layers that make samples: `(B, samples)`."""
    return codec.decoder.leave(hidden)[:, :, 0]


def _apart(sound: mx.array) -> list[Waveform]:
    """Copies, or one clip that is kept would keep them all."""
    return [_whole(row.copy()) for row in np.array(sound, dtype=np.float32)]


def _room(seconds: float) -> int:
    """How many clips are decoded together."""
    room = int(_SHARE * batching.device_memory() / (_BYTES_A_SECOND * seconds))
    # A power of two: the last bits of the sound depend on it, and what a device says of its memory differs a little.
    return min(_MOST, 1 << max(0, room.bit_length() - 1))


def _whole(audio: Waveform) -> Waveform:
    if not np.isfinite(audio).all():
        raise GenerationError("The model gave samples that are no numbers; its weights are damaged.")
    return audio
