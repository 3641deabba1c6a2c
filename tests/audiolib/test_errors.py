"""Every expected error has a sentence and an exit code; what is not expected is called a defect."""

from __future__ import annotations

import errno
import inspect

import pytest

from audiolib import errors
from audiolib.errors import AudiolibError, describe
from generation import errors as generation_errors
from generation.errors import AudioError, GenerationError
from indexing import errors as indexing_errors
from indexing.errors import IndexingError


def classes_of(module: object, base: type[Exception]) -> list[type[Exception]]:
    return [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base)]


EXPECTED = [
    *classes_of(errors, AudiolibError),
    *classes_of(generation_errors, GenerationError),
    *classes_of(indexing_errors, IndexingError),
]
USAGE = {
    "InvalidInputError",
    "AmbiguousClipError",
    "SettingsError",
    "InvalidRequestError",
    "InvalidQueryError",
}


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_errors_of_ours_are_said_as_they_are(kind: type[Exception]) -> None:
    failure = describe(kind("Nothing works."))
    assert failure is not None
    assert failure.message == "Nothing works."
    assert failure.exit_code == (2 if kind.__name__ in USAGE else 1)


@pytest.mark.parametrize(
    ("number", "what", "way_out"),
    [
        (errno.ENOSPC, "disk is full", "Free some space"),
        (errno.EACCES, "No permission", "another folder"),
        (errno.EROFS, "read-only", "--library"),
        (errno.ENOTDIR, "not a folder", "another path"),
        (errno.EFBIG, "size that is allowed", "Raise the limit"),
        (errno.EIO, "nput/output error", ""),
    ],
)
def test_the_systems_errors_name_the_file_and_a_way_out(number: int, what: str, way_out: str) -> None:
    failure = describe(OSError(number, "Input/output error", "/music/a.wav"))
    assert failure is not None
    assert failure.exit_code == 1
    for part in (what, way_out, "/music/a.wav"):
        assert part in failure.message
    assert "\n" not in failure.message


def test_the_system_behind_an_error_of_ours_gives_the_way_out() -> None:
    error = AudioError("a.wav cannot be written: No space left on device.")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    failure = describe(error)
    assert failure is not None
    assert failure.message.endswith("device. Free some space and try again; clips stored before are safe.")


def test_interruptions_and_memory() -> None:
    failure = describe(KeyboardInterrupt("Nothing was stored."))
    assert failure is not None
    assert (failure.message, failure.exit_code) == ("Interrupted. Nothing was stored.", 130)
    failure = describe(MemoryError())
    assert failure is not None
    assert failure.exit_code == 1


@pytest.mark.parametrize(
    "error", [TypeError("x"), ValueError("x"), KeyError("x"), RuntimeError("x"), OSError("x")]
)
def test_a_defect_is_no_expected_error(error: Exception) -> None:
    assert describe(error) is None
