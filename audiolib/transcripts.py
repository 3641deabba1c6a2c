"""Whisper over the library: transcripts into sidecars, or the reason why they wait.

A sidecar's `transcription` holds all that was heard: `state` (`done`; `rejected` where there is text and none of it is
believed; `pending` while there is no model; `failed` where the audio cannot be read), `model`, `raw_text`, `text`,
`language`, `segments` with their scores and the reason against each, and `reason`. `transcript`, `language` and
`segments` hold what is believed; that is what searches see.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audiolib.errors import LibraryError
from audiolib.folder import LibraryFolder
from audiolib.requests import Progress
from audiolib.sidecars import Sidecar, edit_sidecar, read_sidecar

if TYPE_CHECKING:
    import numpy as np

    from indexing.transcribe import Transcriber, Transcript

KEY: Final = "transcription"
_BATCH_CLIPS: Final = 8
_BATCH_SECONDS: Final = 240.0
_PIECE_SECONDS: Final = 300.0
"""A longer clip is listened to in pieces, so that memory does not grow with it."""
_SCORES: Final = ("avg_logprob", "no_speech_prob", "compression_ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeReport:
    """What `transcribe` did.

    Attributes:
        transcribed: Clips that were listened to.
        rejected: Those of them with text of which none is believed.
        pending: Clips that still have no transcript.
        reason: Why they have none; of several, the last.
        model: The Whisper model's name; None when there was nothing to do, or no model.
        broken: Sidecars or audio files that cannot be read, each as a sentence.
    """

    transcribed: int
    rejected: int
    pending: int
    reason: str | None
    model: str | None
    broken: tuple[str, ...]


def transcribe(
    folder: LibraryFolder,
    *,
    whisper: str | None,
    changed: Callable[[Sequence[Sidecar]], None],
    ids: Collection[str] | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> TranscribeReport:
    """Transcribe every clip that has no transcript; without a model they are marked with the reason.

    What was heard is written a batch of clips at a time, so an interruption loses one batch's work and no clip.

    Args:
        folder: The library.
        whisper: The model's name or folder; the best one on this machine when `None`.
        changed: Called with the sidecars of each batch.
        ids: Only these clips.
        again: Listen to clips again that another model listened to.
        progress: Called with the clips done and the clips in all.

    Raises:
        LibraryBusyError: Another process holds the lock.
        OSError: A sidecar cannot be written.
    """
    from generation.backend import prepare
    from generation.checkpoints import models_dirs
    from indexing.errors import TranscriberUnavailableError
    from indexing.transcribe import Transcriber, find_whisper
    from indexing.whisper_models import name_of

    every, broken = _readable(folder, ids)
    try:
        path = find_whisper(whisper, models_dirs=models_dirs())
        waiting = [sidecar for sidecar in every if _waits(sidecar, name_of(path) if again else None)]
        if not waiting:  # loading a model takes seconds
            return TranscribeReport(
                transcribed=0, rejected=0, pending=0, reason=None, model=None, broken=tuple(broken)
            )
        prepare()
        transcriber = Transcriber(path)
    except TranscriberUnavailableError as error:
        waiting = [sidecar for sidecar in every if _waits(sidecar, None)]
        _mark(folder, waiting, "pending", str(error))
        reason = str(error) if waiting else None
        return TranscribeReport(
            transcribed=0, rejected=0, pending=len(waiting), reason=reason, model=None, broken=tuple(broken)
        )
    run = _Run(folder=folder, transcriber=transcriber, changed=changed, progress=progress)
    run.listen(waiting)
    pending = len(run.unreadable)
    return TranscribeReport(
        transcribed=run.done,
        rejected=run.rejected,
        pending=pending,
        reason=run.unreadable[-1] if pending else None,
        model=transcriber.name,
        broken=(*broken, *run.unreadable),
    )


def waiting() -> dict[str, Any]:
    """The keys of a new clip's sidecar that say why nothing has listened to it yet."""
    from generation.checkpoints import models_dirs

    return {KEY: {"state": "pending", "reason": _why_not_yet(tuple(models_dirs()))}}


@cache
def _why_not_yet(models: tuple[Path, ...]) -> str:
    from indexing.errors import TranscriberUnavailableError
    from indexing.transcribe import find_whisper

    try:
        find_whisper(None, models_dirs=models)
    except TranscriberUnavailableError as error:
        return str(error)
    return "Not listened to yet; `audiolib index --transcribe` does."


class _Run:
    """One run over the clips, with one model."""

    def __init__(
        self,
        *,
        folder: LibraryFolder,
        transcriber: "Transcriber",
        changed: Callable[[Sequence[Sidecar]], None],
        progress: Progress | None,
    ) -> None:
        self._folder, self._transcriber = folder, transcriber
        self._changed, self._progress = changed, progress
        self.done = self.rejected = 0
        self.unreadable: list[str] = []

    def listen(self, sidecars: Sequence[Sidecar]) -> None:
        """Read and transcribe clips, the short ones together."""
        from generation.errors import AudioError

        self._all, self._seen = len(sidecars), 0
        batch: list[tuple[Sidecar, np.ndarray]] = []
        seconds = 0.0
        for sidecar in sidecars:
            try:
                pieces = _pieces(sidecar.clip.path)
                first = next(pieces, None)
                if first is not None and (second := next(pieces, None)) is not None:
                    self._store([(sidecar, self._long(first, second, pieces))])
                    continue
            except (AudioError, OSError) as error:
                self._give_up(sidecar, error)
                continue
            batch.append((sidecar, _none() if first is None else first))
            seconds += len(batch[-1][1]) / _rate()
            if len(batch) == _BATCH_CLIPS or seconds >= _BATCH_SECONDS:
                self._together(batch)
                batch, seconds = [], 0.0
        self._together(batch)

    def _together(self, batch: "Sequence[tuple[Sidecar, np.ndarray]]") -> None:
        if batch:
            heard = self._transcriber.transcribe_many([(samples, _rate()) for _, samples in batch])
            self._store([(sidecar, found) for (sidecar, _), found in zip(batch, heard, strict=True)])

    def _long(self, first: "np.ndarray", second: "np.ndarray", rest: "Iterator[np.ndarray]") -> "Transcript":
        from itertools import chain

        from indexing.transcribe import joined

        parts, begin = [], 0.0
        for samples in chain((first, second), rest):
            parts.append((begin, self._transcriber.transcribe(samples, _rate())))
            begin += len(samples) / _rate()
        return joined(parts)

    def _store(self, heard: "Sequence[tuple[Sidecar, Transcript]]") -> None:
        written = []
        with self._folder.lock():
            for sidecar, transcript in heard:
                try:
                    if read_sidecar(sidecar.path).clip.sha256 != sidecar.clip.sha256:
                        continue  # other audio meanwhile
                    written.append(edit_sidecar(sidecar.path, _keys(transcript)))
                except FileNotFoundError:
                    continue  # removed meanwhile
                self.rejected += transcript.rejected is not None
            self._changed(written)
        self.done += len(written)
        self._step(len(heard))

    def _give_up(self, sidecar: Sidecar, error: Exception) -> None:
        self._step(1)
        if not sidecar.path.exists():  # removed meanwhile
            return
        sentence = f"Clip {sidecar.clip.id} cannot be transcribed: {error}"
        if sidecar.clip.transcript is None:  # what was heard before is not forgotten
            _mark(self._folder, [sidecar], "failed", sentence)
        self.unreadable.append(sentence)

    def _step(self, clips: int) -> None:
        self._seen += clips
        if self._progress is not None:
            self._progress(self._seen, self._all)


def _rate() -> int:
    from indexing.transcribe import SAMPLING_RATE

    return SAMPLING_RATE


def _none() -> "np.ndarray":
    import numpy as np

    return np.zeros(0, np.float32)


def _pieces(path: Path) -> "Iterator[np.ndarray]":
    """A file's sound `(samples,)` at 16 kHz, at most five minutes at a time."""
    import numpy as np
    import soxr

    from generation.stream import open_audio

    with open_audio(path) as stream:
        resampler = soxr.ResampleStream(stream.sampling_rate, _rate(), 1, dtype="float32")
        parts: list[np.ndarray] = []
        seconds = 0.0
        for block in stream.blocks():
            parts.append(resampler.resample_chunk(block.mean(axis=1, dtype=np.float32)))
            seconds += len(block) / stream.sampling_rate
            if seconds >= _PIECE_SECONDS:
                yield np.concatenate(parts)
                parts, seconds = [], 0.0
        parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        if any(len(part) for part in parts):
            yield np.concatenate(parts)


def _readable(folder: LibraryFolder, ids: Collection[str] | None) -> tuple[list[Sidecar], list[str]]:
    sidecars, broken = [], []
    for path in folder.sidecar_paths():
        if ids is not None and path.stem not in ids:
            continue
        try:
            sidecars.append(read_sidecar(path))
        except LibraryError as error:
            broken.append(str(error))
        except FileNotFoundError:
            continue  # removed meanwhile
    return sidecars, broken


def _waits(sidecar: Sidecar, other_than: str | None) -> bool:
    """Whether a clip has no transcript, or one of another model than `other_than`."""
    if sidecar.clip.transcript is None:
        return True
    known = sidecar.document.get(KEY)
    model = known.get("model") if isinstance(known, dict) else sidecar.document.get("transcript_model")
    return other_than is not None and model != other_than


def _keys(transcript: "Transcript") -> dict[str, Any]:
    """The keys of a sidecar that hold what was heard."""
    from indexing.whisper_accept import ACCEPTANCE_VERSION, REASONS

    heard = []
    for segment in transcript.heard:
        fields = asdict(segment)
        # JSON knows no NaN; a score that is none of the numbers is null.
        fields |= {name: fields[name] if math.isfinite(fields[name]) else None for name in _SCORES}
        heard.append({name: round(v, 4) if isinstance(v, float) else v for name, v in fields.items()})
    rejected = transcript.rejected
    return {
        "transcript": transcript.text,
        "language": transcript.language,
        "segments": [asdict(segment) for segment in transcript.segments],
        KEY: {
            "state": "rejected" if rejected else "done",
            "reason": REASONS[rejected] if rejected else None,
            "model": transcript.model,
            "rules": ACCEPTANCE_VERSION,
            "text": transcript.text,
            "raw_text": transcript.raw_text,
            "segments": heard,
        },
    }


def _mark(folder: LibraryFolder, sidecars: Sequence[Sidecar], state: str, reason: str) -> None:
    """Write why clips have no transcript; a thousand clips are not written again for nothing."""
    mark = {"state": state, "reason": reason}
    for sidecar in sidecars:
        if sidecar.document.get(KEY) != mark:
            with folder.lock():
                try:
                    edit_sidecar(sidecar.path, {KEY: mark})
                except FileNotFoundError:
                    continue  # removed meanwhile
