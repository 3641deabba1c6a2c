"""The index brought up to date with the files, or made again from them."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audiolib.catalogue import Catalogue
from audiolib.checking.survey import survey
from audiolib.crashpoints import crashpoint
from audiolib.errors import LibraryError
from audiolib.folder import LibraryFolder
from audiolib.recovery import known_rows
from audiolib.requests import Progress
from audiolib.rowdigests import RowDigest
from audiolib.rows import rows_of
from audiolib.sidecars import Sidecar, read_sidecar

if TYPE_CHECKING:
    from indexing.embed import Embedder
    from indexing.schema import IndexRow
    from indexing.store import ClipIndex

_BATCH: Final = 500
_CLOCK: Final = 2.0  # seconds between a file's time and ours on the coarsest file systems


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What `index` did.

    Attributes:
        clips: Clips in the library that can be read.
        embedded: Clips that got a vector now.
        pending: Clips that still have none.
        reason: Why they have none.
        removed: Rows taken out because their files are gone.
        completed: Clips that a crash had left without a sidecar and that have one now.
        measured: Clips whose sound was measured now.
        broken: Sidecars and audio files that cannot be read, each as a sentence.
        embedder: The model that turns words into vectors here.
    """

    clips: int
    embedded: int
    pending: int
    reason: str | None
    removed: int
    completed: int
    measured: int
    broken: tuple[str, ...]
    embedder: str


@dataclass(slots=True)
class _Reader:
    """Reads sidecars in batches and keeps what is wrong with some."""

    paths: Mapping[str, Path]
    broken: list[str] = field(default_factory=list)

    def read(self, clip_id: str) -> Sidecar | None:
        """A sidecar; `None` when it is damaged or was removed meanwhile."""
        try:
            return read_sidecar(self.paths[clip_id])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except LibraryError as error:
            self.broken.append(str(error))
            return None

    def batches(self, ids: Sequence[str]) -> Iterator[list[Sidecar]]:
        """The sidecars that can be read; a batch may be empty."""
        for start in range(0, len(ids), _BATCH):
            found = (self.read(clip_id) for clip_id in ids[start : start + _BATCH])
            yield [sidecar for sidecar in found if sidecar is not None]


class _Further:
    """Vectors of spaces that are not part of a row, as they stand in sidecars."""

    def __init__(self) -> None:
        self._texts: dict[str, dict[str, str]] = {}

    def collect(self, sidecars: Sequence[Sidecar]) -> None:
        """Remember them, still as text."""
        from indexing.analysis import SOUND_SPACE
        from indexing.schema import TEXT_SPACE

        for sidecar in sidecars:
            for space, text in sidecar.vectors.items():
                if space not in (SOUND_SPACE, TEXT_SPACE):
                    self._texts.setdefault(space, {})[sidecar.clip.id] = text

    def store(self, index: "ClipIndex") -> None:
        """Write them beside their rows; those of another length than the space's are damaged."""
        from audiolib.vectors import decode

        for space, texts in self._texts.items():
            vectors = {i: vector for i, text in texts.items() if (vector := decode(text)) is not None}
            lengths = Counter(len(vector) for vector in vectors.values())
            length = index.spaces().get(space) or (lengths.most_common(1)[0][0] if lengths else 0)
            fitting = {i: vector for i, vector in vectors.items() if len(vector) == length}
            if fitting:
                index.put_vectors(space, fitting)


class Reindexing:
    """Makes rows of sidecars.

    Args:
        folder: The library.
        catalogue: Its use of the index.
    """

    def __init__(self, folder: LibraryFolder, catalogue: Catalogue) -> None:
        self._folder = folder
        self._catalogue = catalogue

    def catch_up(self, *, progress: Progress | None = None, name: str | None = None) -> IndexReport:
        """Index what is missing or was changed, embed what is pending, drop rows whose files are gone.

        Args:
            progress: Called with the clips done and the clips in all.
            name: The embedder that the caller expects; another one than the index's is refused.

        Raises:
            EmbedderMismatchError: The index was made with another embedder.
            EmbedderUnavailableError: The embedder that was asked for is not on this machine.
            IndexingError: The index cannot be read or written.
            LibraryBusyError: Another process holds the lock.
        """
        reader = self._reader()
        removed = self.drop_orphans(reader.paths)
        catalogue = self._catalogue
        embedder = catalogue.load_embedder(name) if name else catalogue.available_embedder(warn=False)
        if name and embedder:
            catalogue.adopt(embedder.name)
        wanted = list(self._outdated(reader, embedder))
        embedded = self.refresh(wanted, embedder, reader=reader, progress=progress)
        # Whoever calls `index` waits for the upkeep that other commands leave to the background.
        catalogue.index.optimise()
        return self._report(reader, embedder, embedded=embedded, removed=removed)

    def rebuild(self, *, embedder: str | None = None, progress: Progress | None = None) -> IndexReport:
        """Make the index again from the sidecars. Searches use the old one until the new one is whole.

        Args:
            embedder: Another embedder from now on.
            progress: Called with the clips done and the clips in all.

        Raises:
            EmbedderUnavailableError: The embedder that was asked for is not on this machine; nothing was changed.
            IndexingError: The index cannot be written.
            LibraryBusyError: Another process holds the lock.
        """
        from indexing.analysis import SOUND_DIMENSION, SOUND_SPACE
        from indexing.schema import DEFAULT_DIMENSION

        catalogue = self._catalogue
        loaded = catalogue.load_embedder(embedder) if embedder else catalogue.available_embedder(warn=False)
        began = time.time() - _CLOCK
        reader, embedded, further = self._reader(), 0, _Further()

        def batches() -> Iterator[list["IndexRow"]]:
            nonlocal embedded
            done = 0
            yield list(self._rows_alone(reader, loaded))
            for sidecars in reader.batches(list(reader.paths)):
                rows = rows_of(self._folder, sidecars, loaded)
                embedded += sum(row.vector is not None for row in rows)
                further.collect(sidecars)
                yield rows
                crashpoint("rebuild.batch-drawn")
                done = min(done + _BATCH, len(reader.paths))
                if progress is not None:
                    progress(done, len(reader.paths))

        dimension = loaded.dimension if loaded else DEFAULT_DIMENSION
        index = catalogue.index
        index.replace(batches(), dimension=dimension, spaces={SOUND_SPACE: SOUND_DIMENSION})
        crashpoint("rebuild.replaced")
        if embedder and loaded:
            self._folder.update_manifest(embedder=loaded.name)
            crashpoint("rebuild.embedder-recorded")
        further.store(index)
        # What others wrote while the rows were drawn.
        after = self._reader()
        changed = [i for i, path in after.paths.items() if i not in reader.paths or _changed(path, began)]
        self.refresh(changed, loaded, reader=after)
        removed = self.drop_orphans(after.paths)
        return self._report(reader, loaded, embedded=embedded, removed=removed)

    def refresh(
        self,
        ids: Sequence[str],
        embedder: "Embedder | None",
        *,
        reader: _Reader | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Write the rows of some clips from their sidecars.

        Args:
            ids: The clips; those that are gone are passed over.
            embedder: Turns their words into vectors; pending without one.
            reader: Reads their sidecars.
            progress: Called with the clips done and the clips in all.

        Returns:
            How many have a vector now.

        Raises:
            IndexingError: The index cannot be read or written.
            LibraryBusyError: Another process holds the lock.
        """
        reader = reader or self._reader()
        embedded, done = 0, 0
        for sidecars in reader.batches(ids):
            rows = self._catalogue.write(sidecars, embedder)
            further = _Further()
            further.collect(sidecars)
            with self._folder.lock():
                further.store(self._catalogue.index)
            crashpoint("index.batch-written")
            embedded += sum(row.vector is not None for row in rows)
            done = min(done + _BATCH, len(ids))
            if progress is not None:
                progress(done, len(ids))
        return embedded

    def drop_orphans(self, paths: Mapping[str, Path]) -> int:
        """Remove the rows of clips that have neither sidecar nor audio any more.

        Where the audio is left its sidecar will be made again, and tags and rating stand in the row alone by then.

        Args:
            paths: The sidecars that there are.

        Returns:
            How many there were.

        Raises:
            IndexingError: The index cannot be read or written.
            LibraryBusyError: Another process holds the lock.
        """
        index = self._catalogue.index
        gone = sorted(index.ids() - paths.keys())
        if not gone:
            return 0
        audio = survey(self._folder).audio
        with self._folder.lock():
            # Looked at again: another process may have just stored one.
            gone = [clip_id for clip_id in gone if clip_id not in audio and not self._exists(clip_id)]
            index.remove(gone)
        return len(gone)

    def _reader(self) -> _Reader:
        return _Reader({path.stem: path for path in self._folder.sidecar_paths()})

    def _rows_alone(self, reader: _Reader, embedder: "Embedder | None") -> Iterator["IndexRow"]:
        """Rows of clips whose audio is there and whose sidecar is not; see `drop_orphans`."""
        alone = survey(self._folder).audio.keys() - reader.paths.keys()
        for row in known_rows(self._folder, alone).values():
            known = embedder is not None and row.embedder == embedder.name
            yield row if known else replace(row, vector=None, embedder=None)

    def _exists(self, clip_id: str) -> bool:
        try:
            return self._folder.sidecar_path(clip_id).exists()
        except LookupError:
            return False

    def _outdated(self, reader: _Reader, embedder: "Embedder | None") -> Iterator[str]:
        """Clips whose row is missing, says something else than the sidecar, or lacks a vector it could have."""
        stored: dict[str, tuple[RowDigest, bool]] = {}
        doubled = set()
        for rows in self._catalogue.index.rows():
            doubled |= {row.id for row in rows if row.id in stored}
            stored |= {row.id: (RowDigest.of_row(row), row.vector is None) for row in rows}
        if doubled:
            with self._folder.lock():
                self._catalogue.index.remove(sorted(doubled))
        for clip_id in reader.paths:
            sidecar = reader.read(clip_id)
            if sidecar is None:
                continue
            digest, pending = stored.get(clip_id, (None, True))
            wanted = digest != RowDigest.of_sidecar(self._folder, sidecar) or clip_id in doubled
            if wanted or (pending and embedder is not None):
                yield clip_id

    def _report(
        self, reader: _Reader, embedder: "Embedder | None", *, embedded: int, removed: int
    ) -> IndexReport:
        pending = len(self._catalogue.index.pending_ids())
        broken = tuple(dict.fromkeys(reader.broken))
        return IndexReport(
            clips=len(reader.paths) - len(broken),
            embedded=embedded,
            pending=pending,
            reason=self._catalogue.failure if pending else None,
            removed=removed,
            completed=0,
            measured=0,
            broken=broken,
            embedder=embedder.name if embedder else self._catalogue.embedder_name(),
        )


def _changed(path: Path, since: float) -> bool:
    try:
        return path.stat().st_mtime >= since
    except OSError:
        return False
