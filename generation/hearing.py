"""Given sound as a model hears it: fitted to its rate and channels, and as codes to go on from."""

from __future__ import annotations

import hashlib
import math

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation.encodec import Encodec
from generation.errors import InvalidRequestError

Samples = npt.NDArray[np.float32]

_PIECE_SECONDS = 30  # what the codec hears at once, so that memory does not grow with the music
_LEAD_SECONDS = 2  # of the piece before that it hears first: its memory does not reach further


def fitted(audio: npt.ArrayLike, sampling_rate: int, *, rate: int, channels: int) -> Samples:
    """Sound `(samples, channels)` at a model's rate.

    Args:
        audio: `(samples,)` or `(samples, any channels)`.
        sampling_rate: In Hz.
        rate: The model's, in Hz.
        channels: The model's; another number of them is mixed to one and repeated.

    Raises:
        InvalidRequestError: There is no sound in it, or the rate makes no sense.
    """
    from generation.audio import as_floats, resample

    sound = as_floats(audio)
    sound = sound[:, None] if sound.ndim == 1 else sound
    if sound.ndim != 2 or not sound.size or not np.isfinite(sound).all():
        raise InvalidRequestError("The music to go on from is empty, or its samples are no numbers.")
    if sampling_rate <= 0:
        raise InvalidRequestError("The music to go on from needs its sample rate, in Hz.")
    if sound.shape[1] != channels:
        sound = np.repeat(sound.mean(axis=1, keepdims=True), channels, axis=1)
    sound = sound if sampling_rate == rate else resample(sound, sampling_rate, rate)
    if not len(sound):
        raise InvalidRequestError("The music to go on from is too short to be heard.")
    return sound


def encode_sound(codec: Encodec, sound: Samples, *, hop: int, rate: int) -> npt.NDArray[np.int16]:
    """Sound `(samples, channels)` at the model's rate as codes `(K, frames)`, of left and right in turn.

    Args:
        codec: Hears one channel at a time.
        sound: What to hear.
        hop: Samples a frame.
        rate: In Hz.
    """
    books = [_encode_channel(codec, sound[:, c], hop, rate) for c in range(sound.shape[1])]
    # Left and right of a codebook lie next to each other.
    return np.stack(books, axis=1).reshape(-1, books[0].shape[1]).astype(np.int16)


def _encode_channel(codec: Encodec, sound: Samples, hop: int, rate: int) -> npt.NDArray[np.integer]:
    piece, lead = (seconds * rate // hop for seconds in (_PIECE_SECONDS, _LEAD_SECONDS))
    frames, codes = math.ceil(len(sound) / hop), []
    for start in range(0, frames, piece):
        first, end = max(0, start - lead), min(frames, start + piece)
        # What follows is heard too, or the last frames would be heard as the music's end.
        heard = mx.array(sound[None, first * hop : (end + lead) * hop, None])
        codes.append(np.array(codec.encode(heard))[0][:, start - first : end - first])
    return np.concatenate(codes, axis=1)


def codec_digest(codec: Encodec) -> str:
    """`sha256:<hex>` of the codebooks: codes mean the same to two models where it is the same.

    Weights that were stored with 16 bits have the digest of the 32-bit ones that they come from.

    Args:
        codec: Any.
    """
    digest = hashlib.sha256()
    for book in codec.quantizer.layers:
        digest.update(np.array(book.embed.astype(mx.float16)).tobytes())
    return f"sha256:{digest.hexdigest()}"
