"""The trash: clips that were removed, whole, until they are restored or the trash is emptied.

trash/<id>/removed.json               when, where from, and which files
trash/<id>/<id>-<slug>.wav, …         all files of the clip that were in the library

A clip is where its sidecar is. Removing moves the sidecar first, restoring moves it last, each by one rename; so a
crash at any moment leaves a clip that is either still there or gone, and `mend` brings its other files after it.
Audio outside the library, to which a sidecar only refers, is never touched.
"""

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from audiolib.crashpoints import crashpoint
from audiolib.errors import AmbiguousClipError, ClipNotFoundError, LibraryError
from audiolib.files import OF_THE_SYSTEM, atomic_path, sync_folder, write_bytes
from audiolib.folder import LibraryFolder, utc_text
from audiolib.ids import ID_PATTERN
from audiolib.jsonfields import JsonValue

NOTE_NAME: Final = "removed.json"
NOTE_FORMAT: Final = 1
_ENTRY: Final = re.compile(rf"({ID_PATTERN.pattern})(\.\d+)?")
DOOMED: Final = ".emptied-"
"""What the names of entries that are being deleted begin with."""

_LAST: Final = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashedClip(JsonValue):
    """A clip in the trash.

    Attributes:
        id: Its id, which it keeps.
        title: Its title; empty where its sidecar cannot be read.
        removed_at: ISO 8601 in UTC.
        path: Its folder in the trash, absolute.
        size: Bytes of all its files.
    """

    id: str
    title: str
    removed_at: str
    path: Path
    size: int

    @property
    def removed(self) -> datetime:
        """When it was removed, as a moment in UTC."""
        return datetime.fromisoformat(self.removed_at).astimezone(UTC)

    @property
    def sidecar(self) -> Path:
        """Its sidecar in the trash."""
        return self.path / f"{self.id}.json"


class Trash:
    """The trash of one library. Whoever calls what changes it holds the library's lock.

    Args:
        folder: The library.
    """

    def __init__(self, folder: LibraryFolder) -> None:
        self._folder = folder

    @property
    def path(self) -> Path:
        """The folder with the entries; it need not exist."""
        return self._folder.root / "trash"

    def entries(self, *, older_than: timedelta | None = None) -> list[TrashedClip]:
        """Return the clips in the trash, the last removed first.

        Args:
            older_than: Only what was removed longer ago than this.
        """
        found = [entry for path in self._folders() if (entry := _read_entry(path)) is not None]
        if older_than is not None:
            now = datetime.now(UTC)  # and not `now - older_than`, which may lie before the first year
            found = [entry for entry in found if now - entry.removed > older_than]
        return sorted(found, key=lambda entry: (entry.removed_at, entry.id), reverse=True)

    def find(self, reference: str) -> TrashedClip:
        """Return the clip that is named by its id, a unique ending of it, or `last`.

        Args:
            reference: The name.

        Raises:
            ClipNotFoundError: Nothing in the trash fits.
            AmbiguousClipError: The ending fits several clips.
        """
        entries = self.entries()
        if reference == _LAST and entries:
            return entries[0]
        fitting = [entry for entry in entries if reference and entry.id.endswith(reference.upper())]
        if not fitting:
            raise ClipNotFoundError(
                f"There is no clip {reference!r} in the trash. `audiolib trash` shows what there is."
            )
        if len({entry.id for entry in fitting}) > 1:
            raise AmbiguousClipError(
                f"{len(fitting)} clips in the trash end in {reference!r}. Give more characters of the id."
            )
        return fitting[0]

    def put(self, sidecar: Path) -> TrashedClip:
        """Move a clip's files into the trash.

        Args:
            sidecar: Its sidecar, which need not be readable.

        Raises:
            LibraryError: What was moved cannot be found again.
            OSError: A file cannot be moved; the clip is where its sidecar is.
        """
        home, clip_id = sidecar.parent, sidecar.stem
        files = _files_of(home, clip_id)
        entry = self._new_entry(clip_id)
        note = {
            "format": NOTE_FORMAT,
            "id": clip_id,
            "removed_at": utc_text(datetime.now(UTC)),
            "folder": self._folder.relative(home),
            "files": files,
        }
        write_bytes(entry / NOTE_NAME, json.dumps(note, ensure_ascii=False, indent=1).encode() + b"\n")
        crashpoint("remove.note-written")
        _move(sidecar, entry / sidecar.name)
        sync_folder(entry)
        sync_folder(home)
        crashpoint("remove.sidecar-moved")
        for name in files:
            if name != sidecar.name:
                _move(home / name, entry / name)
        sync_folder(entry)
        sync_folder(home)
        trashed = _read_entry(entry)
        if trashed is None:
            raise LibraryError(f"{entry} cannot be read. See what is in it.")
        return trashed

    def restore(self, entry: TrashedClip) -> Path:
        """Move a clip's files back to where they were.

        Args:
            entry: The clip.

        Returns:
            Its sidecar in the library.

        Raises:
            ClipNotFoundError: It is not in the trash any more.
            LibraryError: A clip of this id, or a file of one of the names, is in the library.
            OSError: A file cannot be moved; the clip is where its sidecar is.
        """
        if not entry.path.is_dir():  # another process was faster
            raise ClipNotFoundError(f"The clip {entry.id} is no longer in the trash.")
        home = self._home(entry.path, entry.id)
        home.mkdir(parents=True, exist_ok=True)
        names = _contents(entry.path)
        if entry.sidecar.name not in names:
            raise LibraryError(f"The clip in {entry.path} has lost its sidecar, so it cannot be restored.")
        taken = next((home / name for name in names if (home / name).exists()), None) or self._same_id(
            entry.id
        )
        if taken is not None:
            raise LibraryError(f"{taken} is in the way. Remove that clip first, or leave this one.")
        for name in sorted(names, key=lambda name: name == entry.sidecar.name):  # the sidecar last
            if name == entry.sidecar.name:
                sync_folder(home)
                crashpoint("restore.files-moved")
            _move(entry.path / name, home / name)
        sync_folder(home)
        crashpoint("restore.sidecar-moved")
        _discard(entry.path)
        return home / entry.sidecar.name

    def delete(self, entry: TrashedClip) -> None:
        """Delete a clip for good: by one rename it is gone, then its files go.

        Args:
            entry: The clip.

        Raises:
            OSError: It cannot be deleted.
        """
        doomed = self.path / f"{DOOMED}{entry.path.name}-{secrets.token_hex(4)}"
        os.rename(entry.path, doomed)
        sync_folder(self.path)
        crashpoint("empty.renamed")
        shutil.rmtree(doomed)

    def mend(self) -> int:
        """Finish what a crash cut off: every clip's files go where its sidecar is. This takes the lock itself.

        Returns:
            How many clips were made whole.

        Raises:
            LibraryBusyError: Another process holds the lock.
            OSError: A file cannot be moved.
        """
        if not self.path.is_dir():
            return 0
        with self._folder.lock():
            mended = sum(self._mend(path) for path in self._folders())
            for doomed in self.path.glob(f"{DOOMED}*"):
                shutil.rmtree(doomed)
        return mended

    def _mend(self, entry: Path) -> bool:
        clip_id, home = entry.name[:26], self._home(entry, entry.name[:26])
        here, there = entry / f"{clip_id}.json", home / f"{clip_id}.json"
        if here.exists() and there.exists():
            if here.read_bytes() != there.read_bytes():
                return False  # a clip of this id came back by another way; both are whole
            here.unlink()  # copied from one disk to another, and not yet taken away
        if there.exists():
            moved = [_carry(entry / name, home / name) for name in _contents(entry)]
            if all(moved):
                _discard(entry)
            return any(moved)
        listed = [name for name in _note(entry).get("files") or () if isinstance(name, str)]
        own = set(_files_of(home, clip_id)) & set(listed)
        moved = [_carry(home / name, entry / name) for name in sorted(own) if here.exists()]
        if not _contents(entry):
            _discard(entry)
        return bool(moved)

    def _folders(self) -> list[Path]:
        try:
            names = sorted(os.listdir(self.path))
        except FileNotFoundError:
            return []
        paths = (self.path / name for name in names if _ENTRY.fullmatch(name))
        return [path for path in paths if path.is_dir()]

    def _new_entry(self, clip_id: str) -> Path:
        """A folder of its own, also when a clip of this id was removed, came back as a file, and goes again."""
        self.path.mkdir(exist_ok=True)
        number = 1
        while True:
            entry = self.path / (clip_id if number == 1 else f"{clip_id}.{number}")
            try:
                entry.mkdir()
            except FileExistsError:
                number += 1
            else:
                sync_folder(self.path)
                return entry

    def _home(self, entry: Path, clip_id: str) -> Path:
        """Where the files were; the usual place where the note is lost or leads out of the library."""
        folder = Path(str(_note(entry).get("folder") or ""))
        if folder.is_absolute() or ".." in folder.parts or folder.parts[:1] != (self._folder.audio.name,):
            return self._folder.month_folder(clip_id)
        return self._folder.root / folder

    def _same_id(self, clip_id: str) -> Path | None:
        try:
            return self._folder.sidecar_path(clip_id)
        except ClipNotFoundError:
            return None


def _read_entry(path: Path) -> TrashedClip | None:
    """An entry; `None` while there is no more than a note in it."""
    names = _contents(path)
    if not names:
        return None
    clip_id, note = path.name[:26], _note(path)
    title = _read_object(path / f"{clip_id}.json").get("title")
    try:
        return TrashedClip(
            id=clip_id,
            title=title if isinstance(title, str) else "",
            removed_at=_moment(note.get("removed_at"), path),
            path=path,
            size=sum((path / name).lstat().st_size for name in names),
        )
    except FileNotFoundError:
        return None  # another process is bringing it back or deleting it


def _moment(written: object, entry: Path) -> str:
    """When a clip was removed; where the note does not say, when its folder was last changed."""
    try:
        return utc_text(datetime.fromisoformat(str(written)))
    except (ValueError, OverflowError):
        return utc_text(datetime.fromtimestamp(entry.stat().st_mtime, UTC))


def _files_of(home: Path, clip_id: str) -> list[str]:
    """Names of all files of a clip: they start with its id."""
    try:
        names = os.listdir(home)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if name.startswith((f"{clip_id}.", f"{clip_id}-")))


def _contents(entry: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(entry) if name != NOTE_NAME and name not in OF_THE_SYSTEM)
    except FileNotFoundError:
        return []


def _note(entry: Path) -> Mapping[str, Any]:
    return _read_object(entry / NOTE_NAME)


def _read_object(path: Path) -> Mapping[str, Any]:
    """A JSON object, an empty one where there is none: the trash shows and restores damaged clips as well."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _carry(source: Path, target: Path) -> bool:
    """Move a file unless another one is in the way; what was copied already is taken away."""
    if not target.exists():
        _move(source, target)
    elif source.read_bytes() == target.read_bytes():
        source.unlink()
    else:
        return False
    return True


def _move(source: Path, target: Path) -> None:
    """Rename a file; where `audio` is a link to another disk, copy it whole and then take it away."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic_path(target) as temporary:
            shutil.copy2(source, temporary, follow_symlinks=False)
        source.unlink()


def _discard(entry: Path) -> None:
    for name in (NOTE_NAME, *OF_THE_SYSTEM):
        (entry / name).unlink(missing_ok=True)
    entry.rmdir()
