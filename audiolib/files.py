"""Files that are whole or not there: atomic writes, publishing under a new name, digests."""

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audiolib.crashpoints import crashpoint
from audiolib.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

_CHUNK_BYTES: Final = 1 << 20
# Errors of os.link that mean "not on this file system", as exFAT and some network shares answer.
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV})


TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\.\w+)?")
"""What `temporary_path` calls files."""

TOLERATED_FRAMES: Final = 4_608
"""So many samples a header may promise in vain: encoders pad, and headers of lossy files count roughly."""
OF_THE_SYSTEM: Final = frozenset(
    {".DS_Store", "Thumbs.db", "desktop.ini", ".directory", ".gitignore", ".gitkeep"}
)
"""Files that are put into folders by what people look at them with, and are nobody's loss."""


def temporary_path(target: Path) -> Path:
    """Return a hidden, unused name in `target`'s folder that keeps its suffix.

    Args:
        target: The final path of the file to be written.
    """
    return target.with_name(f".{target.stem}.{secrets.token_hex(4)}.tmp{target.suffix}")


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a hidden path to write to; the file gets its final name only when the block ends well.

    The temporary is in the same folder, is synced to the disk before the rename and removed on any exception,
    Ctrl+C included.

    Args:
        target: The final path; a file of that name is replaced.

    Raises:
        OSError: The file could not be written, synced or renamed.
    """
    temporary = temporary_path(target)
    try:
        yield temporary
        crashpoint("file.written")
        sync_file(temporary)
        os.replace(temporary, target)
        crashpoint("file.renamed")
        sync_folder(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(target: Path, data: bytes) -> None:
    """Write a file atomically.

    Args:
        target: The final path.
        data: Its content.

    Raises:
        OSError: It could not be written; nothing is left behind.
    """
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk.

    Args:
        path: The file.

    Raises:
        OSError: The system could not do it.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk, where the system can do that.

    Args:
        folder: The folder.
    """
    if os.name == "nt":  # Windows cannot open a folder, and needs no sync for a rename
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems know no sync of folders
            raise
    finally:
        os.close(descriptor)


def publish_numbered(temporary: Path, folder: Path, prefix: str) -> Path:
    """Give a finished temporary the next free name, like `prefix_001`, and never replace a file.

    Args:
        temporary: A whole file in `folder`; it is gone afterwards.
        folder: Where the numbered files are.
        prefix: What their names start with.

    Returns:
        The final path.

    Raises:
        OSError: The folder cannot be read or written.
    """
    number = _highest_number(folder, prefix) + 1
    sync_file(temporary)
    while True:
        target = folder / f"{prefix}_{number:03d}{temporary.suffix}"
        try:
            os.link(temporary, target)
        except FileExistsError:  # another process took this number meanwhile
            number += 1
            continue
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if not _reserve(target):
                number += 1
                continue
            os.replace(temporary, target)
        temporary.unlink(missing_ok=True)
        sync_folder(folder)
        return target


def _reserve(target: Path) -> bool:
    """Make an empty file that keeps others off a name; `False` when the name is taken."""
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return False
    return True


def _highest_number(folder: Path, prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"_(\d+)\.[A-Za-z0-9]+")
    matches = (pattern.fullmatch(entry.name) for entry in os.scandir(folder))
    return max((int(match[1]) for match in matches if match), default=0)


def check_prefix(prefix: str) -> str:
    """Return a prefix for file names if it is one.

    Args:
        prefix: What the user typed.

    Raises:
        InvalidInputError: It is empty, hidden or holds a path separator.
    """
    if not prefix or prefix.startswith(".") or any(character in prefix for character in "/\\\0"):
        raise InvalidInputError(
            f"{prefix!r} cannot start file names. Use a plain word; folders go to --output-dir."
        )
    return prefix


def check_writable(folder: Path) -> None:
    """Say so at once, not after minutes of music, when nothing can be written to a folder. It need not exist.

    Args:
        folder: The folder; where it does not exist, the nearest one above it counts.

    Raises:
        OSError: It is no folder, may not be written, or lies on a read-only disk.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    number = 0
    if not folder.is_dir():
        number = errno.ENOTDIR
    elif hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
        number = errno.EROFS
    elif not os.access(folder, os.W_OK):
        number = errno.EACCES
    if number:
        raise OSError(number, os.strerror(number), str(folder))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hex.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


class SamplesDigest:
    """The SHA-256 of decoded samples that come in blocks, the same whatever file holds them."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, block: "np.ndarray") -> None:
        """Add samples.

        Args:
            block: `(samples,)` or `(samples, channels)` float32.
        """
        import numpy as np

        self._digest.update(np.ascontiguousarray(block, dtype="<f4").tobytes())

    def hexdigest(self) -> str:
        """Return the digest of what came so far, in hex."""
        return self._digest.hexdigest()


def samples_sha256(samples: "np.ndarray") -> str:
    """Return the SHA-256 of decoded samples in hex; see `SamplesDigest`.

    Args:
        samples: `(samples,)` or `(samples, channels)` float32.
    """
    digest = SamplesDigest()
    digest.update(samples)
    return digest.hexdigest()
