"""Sound files read block by block, in memory that does not grow with the file, whatever its header claims."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from generation.chunks import ogg_is_cut, promised_frames
from generation.errors import AudioError

Samples = npt.NDArray[np.float32]

_BLOCK = 1 << 17  # samples of all channels together, half a megabyte
# What libsndfile says of its own insides, or of another matter.
_CLEARER = {
    "File does not exist or is not a regular file (possibly a pipe?).": "it is damaged, or of another kind",
    "Format not recognised.": "it is of another kind, or damaged from its beginning",
    "Internal error : SF_INFO struct incomplete.": "its header makes no sense",
    "Internal psf_fseek() failed.": "it is damaged or cut short",
    "Supported file format but file is malformed.": "it is damaged or cut short",
    "Error : flac decoder lost sync.": "it is damaged or cut short",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStream:
    """An open sound file.

    Attributes:
        path: The file.
        sampling_rate: Hz.
        channels: How many.
        container: libsndfile's name of the format, as WAV, FLAC, OGG, MP3, AIFF.
        promised: Frames that the header claims, whatever there is; None where it leaves that open.
        cut: The format marks its end, and that mark is missing.
    """

    path: Path
    sampling_rate: int
    channels: int
    container: str
    promised: int | None
    cut: bool
    _file: Any

    def blocks(self) -> Iterator[Samples]:
        """The samples, `(frames, channels)` float32 a block; every block is the caller's own.

        Raises:
            AudioError: the file is damaged or holds samples that are no numbers.
        """
        frames = max(1, _BLOCK // self.channels)
        while True:
            block = np.empty((frames, self.channels), dtype=np.float32)
            with errors_of(self.path):
                # Not `read`: it makes an array as long as the header claims, and trusts it to be the end.
                count = self._file.buffer_read_into(block, dtype="float32")
            if count == 0:
                return
            if not np.isfinite(block[:count]).all():
                raise AudioError(f"{self.path} holds samples that are no numbers (NaN or infinite).")
            yield block[:count]


@contextmanager
def open_audio(path: str | os.PathLike[str]) -> Iterator[AudioStream]:
    """Open a sound file of any format that libsndfile knows.

    Raises:
        AudioError: the file is missing, no regular file, or no sound file.
    """

    source = Path(path)
    with errors_of(source):
        # A pipe of that name would be waited on for ever.
        if not stat.S_ISREG(source.stat().st_mode):
            raise AudioError(f"{source} is {_kind(source)}, not a sound file.")
        # As bytes, because a name need not be valid Unicode; by name, because MP3 is told by that too.
        file = _straight()(os.fsencode(source) if os.name == "posix" else str(source))
    with file:
        with errors_of(source):
            claimed = promised_frames(source)
            cut = file.format == "OGG" and ogg_is_cut(source)
        yield AudioStream(
            path=source,
            sampling_rate=int(file.samplerate),
            channels=int(file.channels),
            container=str(file.format),
            promised=claimed if claimed is not None else _plausible(file.frames, file.format),
            cut=cut,
            _file=file,
        )


@cache
def _straight() -> Any:
    """A sound file that is read from its beginning to its end.

    soundfile seeks after every read of a seekable file, which fails on FLAC of unknown length.
    """
    import soundfile

    class Straight(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
        def seekable(self) -> bool:
            return False

    return Straight


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Turns what libsndfile and the system raise while a file is read into `AudioError`."""
    import soundfile

    try:
        yield
    except AudioError:
        raise
    except (soundfile.SoundFileError, OSError, ValueError, TypeError, MemoryError) as error:
        raise AudioError(_unreadable(path, error)) from error


def reason_of(error: Exception) -> str:
    """What libsndfile or the system says, without the path, which may be anything."""
    import soundfile

    if isinstance(error, soundfile.LibsndfileError):
        said = str(error.error_string)
        return _CLEARER.get(said, said.removeprefix("Error : "))
    return str(error)


def _plausible(frames: int, container: str) -> int | None:
    # WAV's own number is what is there, and some decoders say "unknown" with the largest one.
    return frames if 0 < frames < 1 << 62 and container in ("FLAC", "OGG", "MP3") else None


def _unreadable(path: Path, error: Exception) -> str:
    if not path.exists():
        return f"{path} does not exist."
    if path.is_dir():
        return f"{path} is a folder, not a sound file."
    if isinstance(error, PermissionError) or not os.access(path, os.R_OK):
        return f"{path} may not be read; check its permissions."
    if path.stat().st_size == 0:
        return f"{path} is an empty file."
    return f"{path} cannot be read as a sound file: {reason_of(error).rstrip('.')}."


def _kind(path: Path) -> str:
    return "a folder" if path.is_dir() else "no regular file"
