"""Words sung or spoken in a clip, by Whisper in MLX (Radford et al. 2022, arXiv:2212.04356).

mlx_whisper takes up to five seconds to import (numba), so that happens where a model is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from indexing.errors import IndexingError
from indexing.whisper_accept import HeardSegment, judged, reason_against_all
from indexing.whisper_models import CANDIDATES, SUGGESTED, find_whisper, load_whisper, name_of

if TYPE_CHECKING:
    import numpy as np

    from indexing.whisper_windows import RawSegment

__all__ = [
    "CANDIDATES", "SAMPLING_RATE", "SUGGESTED", "HeardSegment", "Segment", "Transcriber", "Transcript",
    "find_whisper", "joined",
]  # fmt: skip

SAMPLING_RATE = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of text; `start` and `end` in seconds from the clip's beginning."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was heard in a clip.

    Attributes:
        text: The believed segments' texts, joined; empty when nothing was heard, or nothing believed.
        raw_text: Everything that Whisper wrote.
        language: Whisper's code for it (`en`, `de`, ...); None when there is no believed text.
        segments: The believed ones, in order of time.
        heard: All of them, each with its scores and the reason against it.
        rejected: The commonest reason where there is text and none is believed, a key of
            `indexing.whisper_accept.REASONS`.
        model: Name of the model's folder or repository.
    """

    text: str
    raw_text: str
    language: str | None
    segments: tuple[Segment, ...]
    heard: tuple[HeardSegment, ...]
    rejected: str | None
    model: str


class Transcriber:
    """One Whisper model in memory."""

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        """Loads the model, which takes seconds, so that one that is of no use is known before the first clip.

        Args:
            path: Its folder, as `find_whisper` gives it.
            name: What transcripts call it; a cache snapshot's repository or the folder's name by default.

        Raises:
            TranscriberUnavailableError: The folder holds no model in mlx-whisper's format, its weights are
                unusable, or mlx_whisper is not installed.
        """
        self.name = name or name_of(Path(path))
        self._model, self._half = load_whisper(Path(path))

    def transcribe(self, audio: "np.ndarray", sampling_rate: int) -> Transcript:
        """Transcribes one clip; its language is detected from the first 30 seconds.

        Args:
            audio: `(samples,)` or `(samples, channels)` float, finite.
            sampling_rate: Hz.

        Raises:
            IndexingError: The audio is not finite, or of another shape.
        """
        return self.transcribe_many([(audio, sampling_rate)])[0]

    def transcribe_many(self, clips: "Sequence[tuple[np.ndarray, int]]") -> list[Transcript]:
        """Transcribes clips, eight windows of 30 seconds at a time.

        Args:
            clips: Each as `transcribe` takes it.

        Raises:
            IndexingError: A clip's audio is not finite, or of another shape.
        """
        from indexing.whisper_models import uncompiled_on_cpu
        from indexing.whisper_windows import read_clips

        heard = [_prepare(audio, rate) for audio, rate in clips]
        full = [samples for samples in heard if len(samples)]
        with uncompiled_on_cpu():
            read = iter(read_clips(self._model, full, half=self._half))
        transcripts = []
        for samples in heard:
            language, segments = next(read) if len(samples) else (None, [])
            transcripts.append(_transcript(samples, language, segments, self.name))
        return transcripts


def joined(pieces: Sequence[tuple[float, Transcript]]) -> Transcript:
    """The transcript of a clip that was taken in pieces.

    Args:
        pieces: Each with the second at which it begins; at least one.
    """
    from dataclasses import replace

    segments = tuple(
        replace(s, start=s.start + begin, end=s.end + begin) for begin, part in pieces for s in part.segments
    )
    heard = tuple(
        replace(s, start=s.start + begin, end=s.end + begin) for begin, part in pieces for s in part.heard
    )
    return Transcript(
        text=" ".join(segment.text for segment in segments),
        raw_text=" ".join(segment.text for segment in heard),
        language=next((part.language for _, part in pieces if part.language), None),
        segments=segments,
        heard=heard,
        rejected=reason_against_all(heard),
        model=pieces[0][1].model,
    )


def _prepare(audio: "np.ndarray", sampling_rate: int) -> "np.ndarray":
    """Whisper's input: `(samples,)` float32 at 16 kHz."""
    import numpy as np
    import soxr

    mono = np.asarray(audio, dtype=np.float32)
    if mono.ndim == 2:
        mono = mono.mean(axis=1)
    if mono.ndim != 1 or not np.isfinite(mono).all() or sampling_rate <= 0:
        raise IndexingError("Audio to transcribe must be finite samples, one column a channel.")
    if sampling_rate == SAMPLING_RATE or not len(mono):
        return mono
    resampled: np.ndarray = soxr.resample(mono, sampling_rate, SAMPLING_RATE)
    return resampled


def _transcript(
    samples: "np.ndarray", language: str | None, raw: "Sequence[RawSegment]", model: str
) -> Transcript:
    duration = len(samples) / SAMPLING_RATE
    heard = []
    for segment in raw:
        # Whisper pads to 30 seconds and may end a segment in the padding.
        start, end = (min(max(side, 0.0), duration) for side in (segment.start, segment.end))
        end = max(start, end)
        heard.append(
            HeardSegment(
                start=start,
                end=end,
                text=segment.text,
                avg_logprob=segment.result.avg_logprob,
                no_speech_prob=segment.result.no_speech_prob,
                compression_ratio=segment.result.compression_ratio,
                temperature=segment.result.temperature,
                level=_level(samples, start, end),
            )
        )
    known = judged(heard, language)
    kept = tuple(Segment(start=s.start, end=s.end, text=s.text) for s in known if s.rejected is None)
    return Transcript(
        text=" ".join(segment.text for segment in kept),
        raw_text=" ".join(segment.text for segment in known),
        language=language if kept else None,  # one is always detected; where nobody speaks it means nothing
        segments=kept,
        heard=known,
        rejected=reason_against_all(known),
        model=model,
    )


def _level(samples: "np.ndarray", start: float, end: float) -> float:
    """Root mean square in dB of full scale of a stretch, of all where the stretch has no length."""
    import numpy as np

    part = samples[int(start * SAMPLING_RATE) : int(end * SAMPLING_RATE)]
    part = part if len(part) else samples
    return float(10 * np.log10(np.mean(np.square(part, dtype=np.float64)) + 1e-20))
