"""Sound while it is made: codes in as the decoder chooses them, chunks of a waveform out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation.codec_stream import CodecStream
from generation.composition import Composition, Waveform
from generation.config import MusicGenConfig
from generation.encodec import Encodec
from generation.errors import GenerationError

Codes = npt.NDArray[np.int32]


class MusicStream:
    """Iterates over the chunks of one clip, `(samples,)` or stereo `(samples, 2)`, float32 in [-1, 1].

    Made by `MusicGen.stream`. The codec holds some frames back, so the first chunk is shorter than what it waits for
    (0.16 seconds with the published codec); the last one ends the clip exactly. An error on the way ends the stream.
    """

    def __init__(
        self,
        config: MusicGenConfig,
        codec: Encodec,
        pieces: Iterator[Codes],
        *,
        samples: int,
        sizes: tuple[int, int],
        finish: Callable[[Codes], Composition],
    ) -> None:
        self._streams = [
            CodecStream(codec, config.audio_encoder) for _ in range(config.decoder.audio_channels)
        ]
        self._pieces = pieces
        self._left = samples
        self._wanted, self._later = sizes
        self._finish = finish
        self._codes: list[Codes] = []
        self._waiting: list[Codes] = []
        self._done = self._broken = False

    def __iter__(self) -> Iterator[Waveform]:
        return self

    def __next__(self) -> Waveform:
        # Not a generator of its own: it would hold this object, and a stream that is left in the middle would keep its
        # memory and its thread until the collector of cycles comes.
        if self._done:
            raise StopIteration
        if self._broken:
            raise GenerationError("The stream ended with an error. Make a new one.")
        self._broken = True  # until this chunk is there
        chunk = self._next_chunk()
        self._broken = False
        if chunk is None:
            raise StopIteration
        return chunk

    def _next_chunk(self) -> Waveform | None:
        for piece in self._pieces:
            self._waiting.append(piece[0])
            if sum(codes.shape[1] for codes in self._waiting) < self._wanted:
                continue
            waiting, self._waiting = self._waiting, []
            chunk = self._decode(waiting, last=False)
            # The codec holds a few frames back: then the first chunk needs the next ones too.
            self._wanted = self._later if len(chunk) else 1
            if len(chunk):
                return chunk
        chunk = self._decode(self._waiting, last=True)
        self._done = True
        return chunk if len(chunk) else None

    @functools.cached_property
    def composition(self) -> Composition:
        """The whole clip, once every chunk was taken: its codes, decoded as `MusicGen.compose` decodes them.

        Raises:
            GenerationError: The stream has not ended.
        """
        if not self._done:
            raise GenerationError("The clip is not finished: take every chunk first.")
        return self._finish(np.concatenate(self._codes, axis=1))

    def _decode(self, waiting: list[Codes], *, last: bool) -> Waveform:
        self._codes += waiting
        books = self._codes[-1].shape[0] if self._codes else 0
        codes = np.concatenate(waiting, axis=1) if waiting else np.zeros((books, 0), np.int32)
        count = len(self._streams)
        sound = [
            np.array(stream.feed(mx.array(codes[c::count][None]), last=last)[0, :, 0], dtype=np.float32)
            for c, stream in enumerate(self._streams)
        ]
        audio = sound[0] if count == 1 else np.stack(sound, axis=1)
        audio = audio[: self._left]
        self._left -= len(audio)
        if not np.isfinite(audio).all():
            raise GenerationError("The model gave samples that are no numbers; its weights are damaged.")
        return np.clip(audio, -1.0, 1.0)
