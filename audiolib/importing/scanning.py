"""Which files are meant: paths and folders to regular sound files, in a fixed order.

Links inside a folder count only when they stay in it: a folder from elsewhere could otherwise have any file of this
machine copied. A link that is named by itself is followed.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

SUFFIXES: Final = frozenset(
    {".wav", ".wave", ".bwf", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"}
)
"""Of the files that are taken from folders; libsndfile reads more when they are named."""

_OWN_FOLDERS: Final = ("audio", "index", "trash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A regular file to be read: `path` is absolute, `size` in bytes, `mtime_ns` in nanoseconds."""

    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A path that will not be read, and why."""

    path: Path
    status: Literal["skipped", "failed"]
    reason: str


def scan(paths: Sequence[Path], *, library: Path) -> Iterator[Found | LeftOut]:
    """Yield what the paths mean, each file once; folders are walked in the order of their names.

    Args:
        paths: Files and folders.
        library: The library's folder, whose own files are left out.
    """
    seen: set[str] = set()
    inside = Path(os.path.realpath(library))
    for given in paths:
        path = Path(os.path.abspath(given))
        try:
            status = path.stat()
        except OSError as error:
            yield LeftOut(path=path, status="failed", reason=_cannot(path, error))
            continue
        target = Path(os.path.realpath(path))
        if any(target.is_relative_to(inside / own) for own in _OWN_FOLDERS):
            yield LeftOut(path=path, status="skipped", reason="It lies in the library already.")
        elif stat.S_ISDIR(status.st_mode):
            yield from (item for item in _walk(path, inside) if _fresh(item.path, seen))
        elif _fresh(path, seen):
            yield _file(path, status)


def is_gone(path: Path) -> bool:
    """Return whether there is no file any more where a scan found one.

    Args:
        path: The file; one that only cannot be looked at is there.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _fresh(path: Path, seen: set[str]) -> bool:
    fresh = str(path) not in seen
    seen.add(str(path))
    return fresh


def _walk(top: Path, library: Path) -> Iterator[Found | LeftOut]:
    root = Path(os.path.realpath(top))
    waiting = [top]  # no recursion: folders may be nested deeper than calls
    while waiting:
        folder = waiting.pop()
        try:
            if library.exists() and os.path.samefile(folder, library):
                if folder == top:
                    yield LeftOut(path=folder, status="skipped", reason="It is the library itself.")
                continue
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except FileNotFoundError:
            continue  # removed meanwhile
        except OSError as error:
            yield LeftOut(path=folder, status="failed", reason=_cannot(folder, error))
            continue
        deeper = []
        for entry in entries:
            if entry.name.startswith("."):
                continue  # also what macOS keeps beside files on other disks (`._song.wav`)
            if _is_folder(entry):
                deeper.append(Path(entry.path))
            elif (item := _entry(entry, root)) is not None:
                yield item
        waiting += reversed(deeper)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _entry(entry: "os.DirEntry[str]", root: Path) -> Found | LeftOut | None:
    path = Path(entry.path)
    sound = path.suffix.lower() in SUFFIXES
    try:
        if entry.is_symlink():
            target = Path(os.path.realpath(path))
            if not sound and not target.is_dir():
                return None
            if not target.is_relative_to(root):
                reason = "It is a link that points out of the folder. Name its target to add that."
                return LeftOut(path=path, status="skipped", reason=reason)
            if target.is_dir():
                return None  # it is walked where it is
        return _file(path, path.stat()) if sound else None
    except FileNotFoundError as error:
        # A link to nothing; a file that was removed meanwhile is no matter.
        return LeftOut(path=path, status="failed", reason=_cannot(path, error)) if path.is_symlink() else None
    except OSError as error:
        return LeftOut(path=path, status="failed", reason=_cannot(path, error))


def _file(path: Path, status: os.stat_result) -> Found | LeftOut:
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        return LeftOut(path=path, status="skipped", reason="It is no regular file.")
    return Found(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns)


def _cannot(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "It is a link that points nowhere." if path.is_symlink() else "It does not exist."
    if isinstance(error, PermissionError):
        return "It may not be read; check its permissions."
    return f"It cannot be read: {error.strerror or error}."
