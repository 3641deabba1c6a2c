"""A melody as a condition: which pitch class leads in each frame, put before the decoder's tokens.

Copet et al. 2023 (arXiv:2306.05284), section 2.3; the filter bank is librosa's (Ellis 2007, "Chroma feature analysis
and synthesis"), the frames are those of `facebook/musicgen-melody`'s feature extractor.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation.config import MelodyConfig
from generation.decoder import MusicGenDecoder
from generation.errors import InvalidRequestError

SAMPLING_RATE = 32_000
WINDOW = 16_384
HOP = 4_096
_LONGEST_SECONDS = 30

Chroma = npt.NDArray[np.float32]


def chroma_filters(num_chroma: int) -> npt.NDArray[np.float64]:
    """Weights `(num_chroma, WINDOW // 2 + 1)` of each frequency bin in each pitch class, C first.

    Args:
        num_chroma: Pitch classes in an octave.
    """
    hertz = np.linspace(0, SAMPLING_RATE, WINDOW, endpoint=False)[1:]
    # Octaves above 27.5 Hz / 2, in pitch classes; the bin at 0 Hz lies an octave and a half below the first.
    place = num_chroma * np.log2(hertz / (440.0 / 16))
    place = np.concatenate([[place[0] - 1.5 * num_chroma], place])
    width = np.concatenate([np.maximum(np.diff(place), 1.0), [1.0]])
    distance = place[None, :] - np.arange(num_chroma)[:, None]
    half = round(num_chroma / 2)
    distance = np.remainder(distance + half + 10 * num_chroma, num_chroma) - half
    bumps = np.exp(-0.5 * (2 * distance / width) ** 2)
    bumps /= np.sqrt((bumps**2).sum(axis=0, keepdims=True))
    bumps *= np.exp(-0.5 * ((place / num_chroma - 5.0) / 2.0) ** 2)
    from_c = np.roll(bumps, -3 * (num_chroma // 12), axis=0)
    return np.ascontiguousarray(from_c[:, : WINDOW // 2 + 1])


def hear_chroma(audio: npt.NDArray[np.float32], config: MelodyConfig) -> Chroma:
    """The leading pitch class of each frame, one-hot `(frames, num_chroma)`; silence counts as C.

    Args:
        audio: `(samples,)` at 32 kHz; what is longer than 30 seconds is cut off.
        config: How many pitch classes.

    Raises:
        InvalidRequestError: There is no audio, or its samples are no numbers.
    """
    sound = np.asarray(audio, dtype=np.float32)[: _LONGEST_SECONDS * SAMPLING_RATE]
    if sound.ndim != 1 or not len(sound) or not np.isfinite(sound).all():
        raise InvalidRequestError("The melody is empty, or its samples are no numbers.")
    if (missing := WINDOW - len(sound)) > 0:
        sound = np.pad(sound, (missing // 2, missing - missing // 2))
    padded = np.pad(sound, WINDOW // 2, mode="reflect")
    window = np.hanning(WINDOW + 1)[:-1]
    filters = chroma_filters(config.num_chroma)
    leading = []
    # Frame by frame: all of them at once would take half a gigabyte.
    for start in range(0, len(padded) - WINDOW + 1, HOP):
        power = np.abs(np.fft.rfft(padded[start : start + WINDOW] * window)) ** 2
        leading.append(int(np.argmax(filters @ power)))
    return np.eye(config.num_chroma, dtype=np.float32)[leading]


def prefix_states(
    decoder: MusicGenDecoder,
    config: MelodyConfig,
    texts: Sequence[mx.array | None],
    chroma: Chroma | None,
    *,
    first: int = 0,
    guided: bool,
) -> mx.array:
    """What goes before the tokens: the melody's states, then the text's, `(B, P, D)`, with guidance `(2 B, P, D)`.

    The rows without a condition hear C throughout and a text of zeros, as the published model was trained.

    Args:
        decoder: Projects the melody.
        config: How many frames it sees.
        texts: Projected text states `(S, D)` of each clip, all of one length; None for a clip without text.
        chroma: `(frames, num_chroma)`, repeated or cut to the length that the decoder sees; None is no melody.
        first: Frame of the melody to begin with.
        guided: Add the rows without a condition.
    """
    none = np.eye(config.num_chroma, dtype=np.float32)[[0]]
    dim = decoder.config.hidden_size
    text = mx.stack([mx.zeros((0, dim)) if states is None else states for states in texts])
    places = np.arange(config.chroma_length) + first

    def rows(heard: Chroma, words: mx.array) -> mx.array:
        melody = decoder.chroma_proj(mx.array(heard[places % len(heard)])[None])
        melody = mx.broadcast_to(melody, (len(texts), *melody.shape[1:]))
        return mx.concatenate([melody.astype(words.dtype), words], axis=1)

    conditioned = rows(none if chroma is None else chroma, text)
    if not guided:
        return conditioned
    return mx.concatenate([conditioned, rows(none, mx.zeros_like(text))])
