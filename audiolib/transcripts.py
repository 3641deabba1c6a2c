"""Whisper over the library: transcripts into sidecars, or the reason why they wait."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from audiolib.errors import LibraryError
from audiolib.folder import LibraryFolder
from audiolib.requests import Progress
from audiolib.sidecars import Sidecar, edit_sidecar, read_sidecar

PENDING_KEY: Final = "transcript_pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeReport:
    """What `transcribe` did.

    Attributes:
        transcribed: Clips that have a transcript now.
        pending: Clips that still have none.
        reason: Why they have none; of several, the last.
        broken: Sidecars or audio files that cannot be read, each as a sentence.
    """

    transcribed: int
    pending: int
    reason: str | None
    broken: tuple[str, ...]


def transcribe(
    folder: LibraryFolder,
    *,
    whisper: str | None,
    changed: Callable[[Sidecar], None],
    progress: Progress | None = None,
) -> TranscribeReport:
    """Transcribe every clip that has no transcript; without a model they are marked with the reason.

    Args:
        folder: The library.
        whisper: The model's name or folder; the best one on this machine when `None`.
        changed: Called with each sidecar that got a transcript.
        progress: Called with the clips done and the clips in all.

    Raises:
        LibraryBusyError: Another process holds the lock.
        OSError: A sidecar cannot be written.
    """
    from generation.backend import prepare
    from generation.checkpoints import models_dirs
    from indexing.errors import TranscriberUnavailableError
    from indexing.transcribe import Transcriber, find_whisper

    waiting, broken = _waiting(folder)
    if not waiting:  # loading a model takes seconds
        return TranscribeReport(transcribed=0, pending=0, reason=None, broken=tuple(broken))
    try:
        prepare()
        transcriber = Transcriber(find_whisper(whisper, models_dirs=models_dirs()))
    except TranscriberUnavailableError as error:
        for sidecar in waiting:
            _mark(folder, sidecar, str(error))
        return TranscribeReport(transcribed=0, pending=len(waiting), reason=str(error), broken=tuple(broken))
    done = 0
    for number, sidecar in enumerate(waiting, start=1):
        try:
            found = _listen(transcriber, sidecar)
        except _Unreadable as error:
            _mark(folder, sidecar, str(error))
            broken.append(str(error))
        else:
            with folder.lock():
                changed(edit_sidecar(sidecar.path, {**found, PENDING_KEY: None}))
            done += 1
        if progress is not None:
            progress(number, len(waiting))
    pending = len(waiting) - done
    return TranscribeReport(
        transcribed=done, pending=pending, reason=broken[-1] if pending else None, broken=tuple(broken)
    )


class _Unreadable(Exception):
    """An audio file that cannot be listened to."""


def _waiting(folder: LibraryFolder) -> tuple[list[Sidecar], list[str]]:
    waiting, broken = [], []
    for path in folder.sidecar_paths():
        try:
            sidecar = read_sidecar(path)
        except LibraryError as error:
            broken.append(str(error))
        else:
            if sidecar.clip.transcript is None:
                waiting.append(sidecar)
    return waiting, broken


def _listen(transcriber: Any, sidecar: Sidecar) -> dict[str, Any]:
    from generation.audio import load_audio
    from generation.errors import AudioError
    from indexing.errors import IndexingError

    try:
        samples, rate = load_audio(sidecar.clip.path)
        heard = transcriber.transcribe(samples, rate)
    except (AudioError, IndexingError, OSError) as error:
        raise _Unreadable(f"Clip {sidecar.clip.id} cannot be transcribed: {error}") from error
    return {
        "transcript": heard.text,
        "language": heard.language,
        "segments": [asdict(segment) for segment in heard.segments],
        "transcript_model": heard.model,
    }


def _mark(folder: LibraryFolder, sidecar: Sidecar, reason: str) -> None:
    if sidecar.document.get(PENDING_KEY) != reason:  # a thousand clips are not written again for nothing
        with folder.lock():
            edit_sidecar(sidecar.path, {PENDING_KEY: reason})
