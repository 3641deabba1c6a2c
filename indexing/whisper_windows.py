"""Whisper over several clips at once: one window of 30 seconds of each in a batch.

The rules of mlx_whisper's `transcribe` (after openai-whisper's), which takes one clip at a time: how text and
timestamps become segments, where the next window begins, which windows are tried again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from indexing.whisper_accept import COMPRESSION, LOG_PROBABILITY, NO_SPEECH

if TYPE_CHECKING:
    import mlx.core as mx
    import numpy as np

SAMPLING_RATE: Final = 16_000
WINDOWS: Final = 8
"""In a batch: enough for a GPU, and within the memory that the largest model leaves."""
TEMPERATURES: Final = (0.2, 0.4)
"""Second and third tries of a window whose text is improbable or repeats itself. Hotter ones, which mlx_whisper goes
on to, find text in anything."""
_FRAMES: Final = 3000
_FRAMES_PER_SECOND: Final = 100
_TIME_STEP: Final = 0.02
_FRAMES_PER_STEP: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSegment:
    """Text with its times in seconds, and the decoder's result for its window."""

    start: float
    end: float
    text: str
    result: Any


@dataclass(slots=True)
class _Reading:
    """One clip: its mel frames `(frames, bands)`, how many are content, and how far it was read."""

    mel: "mx.array"
    content: int
    seek: int = 0
    language: str | None = None
    segments: list[RawSegment] = field(default_factory=list)

    def window(self) -> "mx.array":
        from mlx_whisper.audio import pad_or_trim

        end = min(self.seek + _FRAMES, self.content)
        padded: mx.array = pad_or_trim(self.mel[self.seek : end], _FRAMES, axis=-2)
        return padded

    @property
    def done(self) -> bool:
        return self.seek >= self.content


def read_clips(
    model: Any, clips: Sequence["np.ndarray"], *, half: bool
) -> list[tuple[str | None, list[RawSegment]]]:
    """What Whisper writes for each clip.

    Args:
        model: mlx_whisper's.
        clips: Each `(samples,)` float32 at 16 kHz, not empty.
        half: Compute in float16.

    Returns:
        For each clip the language that its first window is taken for, and its text.
    """
    import mlx.core as mx
    from mlx_whisper.audio import HOP_LENGTH, N_SAMPLES, log_mel_spectrogram

    dtype = mx.float16 if half else mx.float32
    readings = []
    for samples in clips:
        mel = log_mel_spectrogram(samples, n_mels=model.dims.n_mels, padding=N_SAMPLES)
        readings.append(_Reading(mel=mel.astype(dtype), content=max(1, len(samples) // HOP_LENGTH)))
    while waiting := [reading for reading in readings if not reading.done]:
        _read_windows(model, waiting[:WINDOWS], half=half)
    return [(reading.language, reading.segments) for reading in readings]


def _read_windows(model: Any, readings: Sequence[_Reading], *, half: bool) -> None:
    """Read the next window of each."""
    import mlx.core as mx

    features = model.encoder(mx.stack([reading.window() for reading in readings]))
    _detect_languages(model, readings, features)
    languages = sorted({reading.language or "en" for reading in readings})
    for language in languages:
        same = [i for i, reading in enumerate(readings) if (reading.language or "en") == language]
        for i, result in zip(
            same, _decode(model, features[mx.array(same)], language, half=half), strict=True
        ):
            _take(model, readings[i], result, language)


def _detect_languages(model: Any, readings: Sequence[_Reading], features: "mx.array") -> None:
    import mlx.core as mx

    unknown = [i for i, reading in enumerate(readings) if reading.language is None]
    if not unknown:
        return
    if not model.is_multilingual:
        probabilities = [{"en": 1.0}] * len(unknown)
    else:
        _, probabilities = model.detect_language(features[mx.array(unknown)])
    for i, found in zip(unknown, probabilities, strict=True):
        readings[i].language = max(found, key=found.__getitem__)


def _decode(model: Any, features: "mx.array", language: str, *, half: bool) -> list[Any]:
    """Decode windows together, and those that went wrong again, each by itself."""
    import mlx.core as mx
    from mlx_whisper.decoding import DecodingOptions

    results: list[Any] = model.decode(features, DecodingOptions(language=language, fp16=half))
    for i, result in enumerate(results):
        for temperature in TEMPERATURES:
            if not _went_wrong(result):
                break
            mx.random.seed(0)  # the same clip gives the same words
            options = DecodingOptions(language=language, fp16=half, temperature=temperature)
            result = model.decode(features[i : i + 1], options)[0]
        results[i] = result
    return results


def _went_wrong(result: Any) -> bool:
    if result.no_speech_prob > NO_SPEECH:
        return False
    return bool(result.compression_ratio > COMPRESSION or result.avg_logprob < LOG_PROBABILITY)


def _take(model: Any, reading: _Reading, result: Any, language: str) -> None:
    """Turn a window's tokens into segments, and move on."""
    from mlx_whisper.tokenizer import get_tokenizer

    tokenizer = get_tokenizer(
        model.is_multilingual, num_languages=model.num_languages, language=language, task="transcribe"
    )
    tokens: list[int] = result.tokens
    begin = reading.seek / _FRAMES_PER_SECOND
    size = min(_FRAMES, reading.content - reading.seek)
    times = [token - tokenizer.timestamp_begin for token in tokens]  # negative for text
    # Two timestamps side by side end one segment and begin the next.
    cuts = [i for i in range(1, len(times)) if times[i] >= 0 and times[i - 1] >= 0]
    finished = len(times) >= 2 and times[-1] >= 0 > times[-2]
    advance = size
    if cuts and finished:
        cuts.append(len(times))
    elif cuts:  # what begins there is read again from its beginning
        advance = times[cuts[-1] - 1] * _FRAMES_PER_STEP or size
    for first, cut in zip([0, *cuts], cuts or [len(times)], strict=False):
        stamps = [time * _TIME_STEP for time in times[first:cut] if time >= 0]
        start = stamps[0] if cuts and stamps else 0.0
        end = stamps[-1] if stamps and (cuts or stamps[-1] > 0) else size / _FRAMES_PER_SECOND
        words = [token for token in tokens[first:cut] if token < tokenizer.eot]
        text = " ".join(tokenizer.decode(words).split())
        if text and end > start:
            reading.segments.append(
                RawSegment(start=begin + start, end=begin + end, text=text, result=result)
            )
    reading.seek += advance
