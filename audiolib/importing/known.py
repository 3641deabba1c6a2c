"""Which sounds the library has, and which files were read before: no sound is added twice, no file read in vain.

The index and the sidecars say what is there when a run begins. `imports.jsonl` in the library says the rest, a line
for each file that was read: its path, size and time with its digests, so that a second run needs not read it again;
and the id of the clip it became, so that two processes learn of each other's clips under the library's lock. A line
is a hint: what counts is the clip's sidecar. The file may be deleted at any time.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from audiolib.errors import LibraryError
from audiolib.folder import LibraryFolder
from audiolib.ids import ID_PATTERN
from audiolib.importing.scanning import SUFFIXES, Found
from audiolib.sidecars import Sidecar, read_sidecar

JOURNAL_NAME: Final = "imports.jsonl"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """SHA-256 in hex of a file's bytes and of its decoded samples; those are `None` where the bytes were known."""

    file: str
    audio: str | None


class KnownSounds:
    """The sounds of a library by their digests.

    Args:
        folder: The library.
    """

    def __init__(self, folder: LibraryFolder) -> None:
        self._folder = folder
        self._journal = folder.root / JOURNAL_NAME
        self._read_to = 0
        self._ids: dict[str, list[str]] = {}
        self._files: dict[str, tuple[int, int, Digests]] = {}
        self._elsewhere: dict[str, Path] = {}
        self._audio: dict[str, str] = {}

    def load(self) -> list[Sidecar]:
        """Read the index, the sidecars that it lacks, and the journal.

        Returns:
            The sidecars that have no row.
        """
        self._ids.clear()
        self._audio.clear()
        paths = {path.stem: path for path in self._folder.sidecar_paths()}
        self._elsewhere = {
            clip_id: path for clip_id, path in paths.items() if path != self._usual(clip_id)
        }  # people move files
        rows = self._rows()
        for clip_id, audio, *digests in zip(*rows.values(), strict=True):
            if paths.pop(clip_id, None):
                self._audio[clip_id] = audio
            self._note(clip_id, digests)  # of a lost sidecar too: see `unfinished`
        without_rows = []
        for clip_id, path in paths.items():
            try:
                sidecar = read_sidecar(path)
            except (LibraryError, OSError) as error:
                _log.info("%s", error)
                continue
            without_rows.append(sidecar)
            self._note(clip_id, [sidecar.clip.sha256, sidecar.clip.audio_sha256])
        self._read_to = 0
        self.catch_up()
        return without_rows

    def catch_up(self) -> None:
        """Read what this and other processes wrote to the journal since the last time."""
        try:
            with self._journal.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._read_to:  # it was deleted and begun again
                    self._read_to = 0
                file.seek(self._read_to)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data.rfind(b"\n") + 1
        self._read_to += whole
        for entry in _entries(data[:whole]):
            digests = Digests(file=entry["sha256"], audio=entry["audio_sha256"])
            if "path" in entry:
                self._files[entry["path"]] = (entry["size"], entry["mtime_ns"], digests)
            if entry.get("id"):
                self._note(entry["id"], [digests.file, digests.audio])

    def digests_of(self, found: Found) -> Digests | None:
        """Return a file's digests if it was read before and has not changed since.

        Args:
            found: The file.
        """
        size, mtime_ns, digests = self._files.get(str(found.path), (None, None, None))
        return digests if (size, mtime_ns) == (found.size, found.mtime_ns) else None

    def id_of(self, digests: Digests) -> str | None:
        """Return the clip that has these bytes or these samples, `None` when there is none.

        Of several one that has its audio comes before those that have lost it.

        Args:
            digests: Of a file.
        """
        of_either = (self._ids.get(digest or "", ()) for digest in (digests.file, digests.audio))
        there = [clip_id for ids in of_either for clip_id in ids if self.is_there(clip_id)]
        whole = (clip_id for clip_id in there if self.has_audio(clip_id))
        return next(whole, there[0] if there else None)

    def has_audio(self, clip_id: str) -> bool:
        """Return whether a clip's audio is where its sidecar says; `True` where the sidecar cannot be read.

        Args:
            clip_id: A ULID.
        """
        audio = self._audio.get(clip_id)
        if audio is not None and (self._folder.root / audio).exists():
            return True  # the row is asked first: reading ten thousand sidecars would take seconds
        try:
            return read_sidecar(self._folder.sidecar_path(clip_id)).clip.path.exists()
        except (LibraryError, LookupError, OSError):
            return True

    def is_there(self, clip_id: str) -> bool:
        """Return whether a clip of this id has its sidecar.

        Args:
            clip_id: A ULID.
        """
        moved = self._elsewhere.get(clip_id)
        return self._usual(clip_id).exists() or (moved is not None and moved.exists())

    def is_free(self, clip_id: str) -> bool:
        """Return whether no clip of this id is in the library or in its trash.

        Args:
            clip_id: A ULID.
        """
        trash = self._folder.root / "trash"
        return not self.is_there(clip_id) and next(trash.glob(f"{clip_id}*"), None) is None

    def unfinished(self, digests: Digests) -> str | None:
        """Return the id under which this sound lies without a sidecar: a run was killed, or the sidecar was lost.

        Args:
            digests: Of a file; the caller holds the library's lock, so nobody is at it.
        """
        candidates = dict.fromkeys(
            clip_id for digest in (digests.file, digests.audio) for clip_id in self._ids.get(digest or "", ())
        )
        return next((i for i in candidates if self.audio_files(i) and self.is_free(i)), None)

    def audio_files(self, clip_id: str) -> list[Path]:
        """Return the audio files in the library that are named by an id, whether or not it has a sidecar.

        Args:
            clip_id: A ULID.
        """
        home = self._usual(clip_id).parent
        return [path for path in home.glob(f"{clip_id}*") if path.suffix.lower() in SUFFIXES]

    def write(self, found: Found, digests: Digests, *, clip_id: str | None) -> None:
        """Add a line to the journal.

        Args:
            found: The file.
            digests: Its digests.
            clip_id: The clip it is about to become; the caller holds the library's lock.

        Raises:
            OSError: It cannot be written.
        """
        entry: dict[str, Any] = {"path": str(found.path), "size": found.size, "mtime_ns": found.mtime_ns}
        entry |= {"sha256": digests.file, "audio_sha256": digests.audio}
        if clip_id is not None:
            entry["id"] = clip_id
        # A line that a crash cut off is ended first. In ASCII, because a path need not be valid Unicode.
        line = ("" if self._ends_well() else "\n") + json.dumps(entry, separators=(",", ":")) + "\n"
        descriptor = os.open(self._journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, line.encode("ascii"))
        finally:
            os.close(descriptor)

    def _ends_well(self) -> bool:
        try:
            with self._journal.open("rb") as file:
                if file.seek(0, os.SEEK_END) == 0:
                    return True
                file.seek(-1, os.SEEK_END)
                return file.read(1) == b"\n"
        except FileNotFoundError:
            return True

    def _usual(self, clip_id: str) -> Path:
        return self._folder.month_folder(clip_id) / f"{clip_id}.json"

    def _note(self, clip_id: str, digests: list[str | None]) -> None:
        for digest in digests:
            if digest and clip_id not in (ids := self._ids.setdefault(digest, [])):
                ids.append(clip_id)

    def _rows(self) -> dict[str, list[Any]]:
        from indexing.errors import IndexingError
        from indexing.store import ClipIndex

        names = ("id", "path", "sha256", "audio_sha256")
        try:
            found = ClipIndex(self._folder.index).columns(names)
            return {name: found[name] for name in names}
        except IndexingError as error:
            _log.info("The sidecars are read instead of the index: %s", error)
            return {name: [] for name in names}


def _entries(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue  # cut off by a crash
        if isinstance(entry, dict) and _makes_sense(entry):
            yield entry


def _makes_sense(entry: Mapping[str, Any]) -> bool:
    """Whether a line is one of ours: the file may have been edited, or come from elsewhere."""
    clip_id, audio = entry.get("id"), entry.get("audio_sha256")
    return (
        isinstance(entry.get("sha256"), str)
        and (audio is None or isinstance(audio, str))
        and (clip_id is None or (isinstance(clip_id, str) and ID_PATTERN.fullmatch(clip_id) is not None))
        and ("path" not in entry or (isinstance(entry["path"], str) and {"size", "mtime_ns"} <= entry.keys()))
    )
