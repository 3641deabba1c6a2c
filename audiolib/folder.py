"""The library as a folder: where things lie, its manifest, its lock, and clips by id, ending, path or `last`.

library.json                          format version, embedder
audio/2026-11/<id>-<slug>.wav         the audio, with the recipe inside
audio/2026-11/<id>.json               the sidecar
audio/2026-11/<id>.codes.npz          the codec tokens of a generated clip
index/                                LanceDB, derived from the files
imports.jsonl                         which files were imported; a memory that can be deleted
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audiolib.errors import (
    AmbiguousClipError,
    ClipNotFoundError,
    LibraryBusyError,
    LibraryError,
    LibraryFormatError,
)
from audiolib.files import sync_folder, write_bytes
from audiolib.ids import ID_PATTERN, time_of
from audiolib.settings import MANIFEST_NAME

if TYPE_CHECKING:
    from filelock import BaseFileLock

LIBRARY_FORMAT: Final = 2
LAST: Final = "last"
_ID_LENGTH: Final = 26
_AFTER_ID: Final = (".", "-")


class LibraryFolder:
    """Paths, manifest and lock of one library; nothing is written before `create`.

    Args:
        root: The library's folder.
        lock_timeout: How long to wait for another process, in seconds.
    """

    def __init__(self, root: Path, *, lock_timeout: float = 60.0) -> None:
        self.root = Path(os.path.abspath(root))
        self.lock_timeout = lock_timeout

    @property
    def audio(self) -> Path:
        """The folder with the clips."""
        return self.root / "audio"

    @property
    def index(self) -> Path:
        """The folder of the LanceDB table."""
        return self.root / "index"

    @property
    def manifest_path(self) -> Path:
        """Where the format version and the embedder are kept."""
        return self.root / MANIFEST_NAME

    def manifest(self) -> dict[str, Any]:
        """Read `library.json`; an empty object when there is none.

        Raises:
            LibraryFormatError: A newer audiolib wrote it.
            LibraryError: It cannot be understood.
        """
        try:
            manifest = json.loads(self.manifest_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (ValueError, RecursionError) as error:
            raise LibraryError(
                f"{self.manifest_path} is damaged ({error}). Restore it, or remove it: it is made anew."
            ) from error
        version = manifest.get("format") if isinstance(manifest, dict) else None
        if not isinstance(version, int):
            raise LibraryError(
                f"{self.manifest_path} is no library's manifest. Choose another folder for the library."
            )
        if version > LIBRARY_FORMAT:
            raise LibraryFormatError(
                f"The library {self.root} has format {version}, this audiolib reads up to {LIBRARY_FORMAT}. "
                "Update audiolib to use it."
            )
        return dict(manifest)

    def update_manifest(self, **changes: object) -> None:
        """Change some keys of the manifest and keep all others.

        Args:
            **changes: Keys and their new values.

        Raises:
            LibraryBusyError: Another process holds the lock.
            OSError: It could not be written.
        """
        with self.lock():
            manifest = self.manifest() or {
                "format": LIBRARY_FORMAT,
                "created_at": utc_text(datetime.now(UTC)),
            }
            if {**manifest, **changes} != manifest or not self.manifest_path.exists():
                manifest.update(changes)
                write_bytes(
                    self.manifest_path, json.dumps(manifest, indent=1, ensure_ascii=False).encode() + b"\n"
                )

    def create(self, *, embedder: str) -> None:
        """Make the folder and the manifest where they are missing.

        Args:
            embedder: The model that turns words into vectors, recorded in a new library.

        Raises:
            LibraryFormatError: The library was written by a newer audiolib.
            OSError: The folder cannot be made or written.
        """
        if not self.manifest():
            self.audio.mkdir(parents=True, exist_ok=True)
            self.update_manifest(embedder=embedder)

    @cached_property
    def _file_lock(self) -> "BaseFileLock":
        from filelock import FileLock

        return FileLock(self.root / ".lock")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the library for oneself; may be nested.

        Raises:
            LibraryBusyError: Another process holds it for longer than `lock_timeout`; the message names it.
        """
        from filelock import Timeout

        holder = self.root / ".lock-holder"
        try:
            self._file_lock.acquire(timeout=self.lock_timeout)
        except Timeout as error:
            seconds = "second" if self.lock_timeout == 1 else "seconds"
            raise LibraryBusyError(
                f"The library {self.root} has been in use by {read_holder(holder)} "
                f"for {self.lock_timeout:g} {seconds}. Try again when it is done."
            ) from error
        try:
            if self._file_lock.lock_counter == 1:
                write_holder(holder)
            yield
        finally:
            self._file_lock.release()

    def month_folder(self, clip_id: str) -> Path:
        """Return the folder of a clip's files.

        Args:
            clip_id: The clip's id.
        """
        return self.audio / f"{time_of(clip_id):%Y-%m}"

    def make_month_folder(self, clip_id: str) -> Path:
        """Return the folder of a clip's files, made and its name flushed to the disk where it was not there.

        Args:
            clip_id: The clip's id.

        Raises:
            OSError: It cannot be made.
        """
        home = self.month_folder(clip_id)
        if not home.is_dir():
            home.mkdir(parents=True, exist_ok=True)
            sync_folder(home.parent)
        return home

    def sidecar_path(self, clip_id: str) -> Path:
        """Return where a clip's sidecar is.

        Args:
            clip_id: The clip's id.

        Raises:
            ClipNotFoundError: There is none.
        """
        usual = self.month_folder(clip_id) / f"{clip_id}.json"
        if usual.is_file():
            return usual
        for path in self.audio.rglob(f"{clip_id}.json"):  # people move files
            return path
        raise ClipNotFoundError(
            f"There is no clip {clip_id} in {self.root}. `audiolib list` shows what there is."
        )

    def sidecar_folders(self) -> dict[str, str]:
        """Return the folder of each clip's sidecar by the clip's id, in no order; sooner than all their paths."""
        folders: dict[str, str] = {}
        for folder, names in _listings(str(self.audio)):
            for name in names:
                if _may_be_sidecar(name) and ID_PATTERN.fullmatch(name, endpos=_ID_LENGTH):
                    clip_id = name[:_ID_LENGTH]
                    # People copy files: of two the one in the usual place counts, as for `sidecar_path`.
                    if clip_id not in folders or folder == str(self.month_folder(clip_id)):
                        folders[clip_id] = folder
        return folders

    def sidecar_paths(self) -> list[Path]:
        """Return the sidecars of all clips, oldest first."""
        folders = self.sidecar_folders()
        return [Path(folders[clip_id], f"{clip_id}.json") for clip_id in sorted(folders)]

    def count(self) -> int:
        """Return how many clips have a sidecar; several times sooner than `sidecar_paths`."""
        return len(
            {name for _, names in _listings(str(self.audio)) for name in names if _may_be_sidecar(name)}
        )

    def relative(self, path: Path) -> str:
        """Return a path of the library relative to its folder, with forward slashes; others stay absolute.

        Args:
            path: An absolute path.
        """
        return (path.relative_to(self.root) if path.is_relative_to(self.root) else path).as_posix()

    def resolve(self, reference: str | os.PathLike[str]) -> Path:
        """Return the sidecar of the clip that is named by its id, a unique ending of it, a path or `last`.

        Args:
            reference: The name.

        Raises:
            ClipNotFoundError: Nothing fits.
            AmbiguousClipError: The ending fits several clips.
        """
        name = os.fspath(reference)
        as_id = name.upper()
        if ID_PATTERN.fullmatch(as_id):
            return self.sidecar_path(as_id)
        folders = self.sidecar_folders()
        if name == LAST:
            if not folders:
                raise ClipNotFoundError("The library is empty. Make a first clip with `audiolib generate`.")
            return Path(folders[max(folders)], f"{max(folders)}.json")
        if os.sep in name or "." in name:
            return self._resolve_path(Path(name))
        fitting = [
            Path(folders[clip_id], f"{clip_id}.json")
            for clip_id in folders
            if name and clip_id.endswith(as_id)
        ]
        if len(fitting) > 1:
            raise AmbiguousClipError(f"{len(fitting)} clips end in {name!r}. Give more characters of the id.")
        if not fitting:
            raise ClipNotFoundError(
                f"There is no clip {name!r} in {self.root}. `audiolib list` shows what there is."
            )
        return fitting[0]

    def _resolve_path(self, path: Path) -> Path:
        """The id is the front of every file name of a clip."""
        full = Path(os.path.abspath(path.expanduser()))
        match = ID_PATTERN.match(full.name)
        if match is None or not full.is_relative_to(self.root):
            raise ClipNotFoundError(f"{path} is no file of the library {self.root}.")
        return self.sidecar_path(match[0])


def _listings(folder: str) -> Iterator[tuple[str, list[str]]]:
    """A folder and those in it, with the names there; as `os.walk`, past links and what cannot be read.

    Only names are listed: a look at each file would cost more than all the rest of a search.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return
    yield folder, names
    for name in names:
        # After its id a clip's file name goes on with a dot or a dash; anything else may be a folder.
        if name[_ID_LENGTH : _ID_LENGTH + 1] not in _AFTER_ID:
            path = os.path.join(folder, name)
            if os.path.isdir(path) and not os.path.islink(path):
                yield from _listings(path)


def _may_be_sidecar(name: str) -> bool:
    return len(name) == _ID_LENGTH + len(".json") and name.endswith(".json")


def utc_text(moment: datetime) -> str:
    """Return a moment as ISO 8601 in UTC with milliseconds, like `2026-11-22T11:14:11.123Z`.

    Args:
        moment: Any aware date and time.
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_holder(path: Path) -> None:
    """Leave a word for those who wait for a lock; on a full disk the lock works without it.

    Args:
        path: Where.
    """
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()} ({command})", encoding="utf-8")
    except OSError:
        path.unlink(missing_ok=True)


def read_holder(path: Path) -> str:
    """Return who left a word with `write_holder`.

    Args:
        path: Where.
    """
    try:
        return path.read_text(encoding="utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"
