"""Errors of the library and the one table that turns any error into a sentence and an exit code.

    AudiolibError
    ├── InvalidInputError            (also ValueError)    exit code 2
    │   └── AmbiguousClipError
    ├── SettingsError                                     exit code 2
    ├── ClipNotFoundError            (also LookupError)
    ├── LibraryError
    │   ├── LibraryNotFoundError
    │   ├── LibraryFormatError
    │   ├── LibraryBusyError
    │   └── SidecarError
    ├── ReproductionError
    │   └── ModelChangedError
    └── PlaybackError

Everything else that is expected (errors of `generation` and `indexing`, a full disk, Ctrl+C) has its line in
`describe`. Only the three packages' error modules are imported here: none of them needs MLX or LanceDB.
"""

import errno
from dataclasses import dataclass


class AudiolibError(Exception):
    """Base of every error that `audiolib` raises on purpose; the message is for people."""


class InvalidInputError(AudiolibError, ValueError):
    """What was asked for makes no sense: an empty prompt, a negative duration, an unknown format."""


class AmbiguousClipError(InvalidInputError):
    """The ending of an id fits several clips."""


class SettingsError(AudiolibError):
    """The configuration file or an environment variable cannot be understood."""


class ClipNotFoundError(AudiolibError, LookupError):
    """The library holds no such clip."""


class LibraryError(AudiolibError):
    """Something is wrong with the library's folder."""


class LibraryNotFoundError(LibraryError):
    """There is no library where one was to be read."""


class LibraryFormatError(LibraryError):
    """The library, or a part of it, was written by a newer audiolib."""


class LibraryBusyError(LibraryError):
    """Another process held the library's lock for too long."""


class SidecarError(LibraryError):
    """A clip's sidecar cannot be read; the message names the file."""


class ReproductionError(AudiolibError):
    """A clip could not be made again as it was."""


class ModelChangedError(ReproductionError):
    """The weights on this machine are not the ones the clip was made with."""


class PlaybackError(AudiolibError):
    """No way was found to play audio on this machine."""


EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How an error ends a command: what is said on stderr and the exit code."""

    message: str
    exit_code: int


_OTHER_FOLDER = "Choose another folder or change its permissions."
_OS_ERRORS = {  # what happened, and the way out
    errno.ENOSPC: ("The disk is full", "Free some space and try again; clips stored before are safe."),
    errno.EDQUOT: ("The disk quota is used up", "Free some space and try again."),
    errno.EFBIG: ("A file would grow over the size that is allowed", "Raise the limit and try again."),
    errno.EACCES: ("No permission", _OTHER_FOLDER),
    errno.EPERM: ("No permission", _OTHER_FOLDER),
    errno.EROFS: ("The disk is read-only", "Choose another folder, for instance with --library."),
    errno.ENOTDIR: ("A part of the path is a file, not a folder", "Choose another path."),
    errno.EISDIR: ("That is a folder, not a file", "Choose another path."),
    errno.ENAMETOOLONG: ("The path is too long", "Choose a shorter one."),
    errno.ENOENT: ("No such file or folder", "Check the path."),
    errno.EEXIST: ("A file of that name is in the way", "Choose another path."),
}


def describe(error: BaseException) -> Failure | None:
    """Return the sentence and the exit code for an expected error, `None` for a defect of ours.

    Args:
        error: What a command raised.
    """
    from generation.errors import GenerationError, InvalidRequestError, ModelNotFoundError
    from indexing.errors import IndexingError, InvalidQueryError

    table: tuple[tuple[type[BaseException], int], ...] = (
        (InvalidInputError, EXIT_USAGE),
        (SettingsError, EXIT_USAGE),
        (AudiolibError, EXIT_FAILED),
        (InvalidRequestError, EXIT_USAGE),
        (ModelNotFoundError, EXIT_FAILED),
        (GenerationError, EXIT_FAILED),
        (InvalidQueryError, EXIT_USAGE),
        (IndexingError, EXIT_FAILED),
    )
    for kind, exit_code in table:
        if isinstance(error, kind):
            return Failure(message=str(error) + _way_out(error), exit_code=exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Failure(message=f"Interrupted. {error}".strip(), exit_code=EXIT_INTERRUPTED)
    if isinstance(error, MemoryError):
        return Failure(message="Not enough memory. Try a shorter duration or a smaller model.", exit_code=1)
    if isinstance(error, OSError) and error.errno is not None:
        return Failure(message=_describe_os_error(error), exit_code=EXIT_FAILED)
    return None


def _describe_os_error(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    what, way_out = _OS_ERRORS.get(error.errno or 0, (error.strerror or "The system refused", ""))
    return f"{what}{where}. {way_out}".strip()


def _way_out(error: BaseException) -> str:
    """What to do about the system's error behind another one, '' when there is none."""
    cause = error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    return " " + _OS_ERRORS[number][1] if number in _OS_ERRORS else ""
