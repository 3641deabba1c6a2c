"""The library's use of the search index: rows from clips, vectors from words, catching up, searching."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audiolib.errors import LibraryError
from audiolib.folder import LibraryFolder
from audiolib.requests import Progress
from audiolib.rows import rows_of
from audiolib.settings import Settings
from audiolib.sidecars import Sidecar, read_sidecar

if TYPE_CHECKING:
    from indexing.embed import Embedder
    from indexing.store import ClipIndex, IndexHit

_BATCH: Final = 500
_log = logging.getLogger(__name__)


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
        broken: Sidecars that cannot be read, each as a sentence.
        embedder: The model that turns words into vectors here.
    """

    clips: int
    embedded: int
    pending: int
    reason: str | None
    removed: int
    completed: int
    broken: tuple[str, ...]
    embedder: str


class Catalogue:
    """Keeps the index in step with the files.

    Args:
        folder: The library.
        settings: The user's settings.
    """

    def __init__(self, folder: LibraryFolder, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings
        self._embedder: Embedder | None = None
        self._failure: str | None = None
        self._warned: set[str] = set()

    def embedder_name(self) -> str:
        """Return the embedder of this library: the manifest's, the user's, or the default one."""
        from indexing.embed import DEFAULT_EMBEDDER

        return str(self._folder.manifest().get("embedder") or self._settings.embedder or DEFAULT_EMBEDDER)

    def load_embedder(self, name: str | None = None, *, one_off: bool = False) -> "Embedder":
        """Load the embedder, or return it if it was loaded before.

        Args:
            name: Another one than the library's.
            one_off: For one text only, which is embedded sooner than a fast matrix library is loaded.

        Raises:
            EmbedderUnavailableError: It is not on this machine.
        """
        from generation.backend import prepare
        from generation.checkpoints import models_dirs
        from indexing.embed import load_embedder

        wanted = name or self.embedder_name()
        if self._embedder is None or self._embedder.name != wanted:
            if not one_off:
                prepare()
            self._embedder = load_embedder(wanted, models_dirs=models_dirs())
        return self._embedder

    def add(self, sidecars: Sequence[Sidecar]) -> None:
        """Index clips whose files are stored. What fails is logged: the files are safe, `index` catches up.

        Args:
            sidecars: The clips' sidecars, as they are on the disk.
        """
        from indexing.errors import IndexingError

        try:
            embedder = self._available_embedder()
            rows = rows_of(self._folder, sidecars, embedder)
            with self._folder.lock():
                self._index().upsert(rows)
        except (IndexingError, LibraryError, OSError) as error:
            self._warn(f"The clip is stored but not searchable yet: {error} `audiolib index` catches up.")

    def remove(self, ids: Sequence[str]) -> None:
        """Take clips out of the index whose files are gone. What fails is logged: no search shows them either way.

        Args:
            ids: The clips' ids.
        """
        from indexing.errors import IndexingError

        try:
            with self._folder.lock():
                self._index().remove(ids)
        except (IndexingError, OSError) as error:
            self._warn(
                f"The search index still names clips that are gone: {error} `audiolib index` catches up."
            )

    def catch_up(self, *, progress: Progress | None = None, name: str | None = None) -> IndexReport:
        """Index what is missing, embed what is pending, drop rows whose files are gone.

        Args:
            progress: Called with the clips done and the clips in all.
            name: The embedder that the caller expects; another one than the index's is refused.

        Raises:
            EmbedderMismatchError: The index was made with another embedder.
            EmbedderUnavailableError: The embedder that was asked for is not on this machine.
            IndexingError: The index cannot be read or written.
            LibraryBusyError: Another process holds the lock.
        """
        index = self._index()
        paths = {path.stem: path for path in self._folder.sidecar_paths()}
        gone = sorted(index.ids() - paths.keys())
        if gone:
            with self._folder.lock():
                index.remove([clip_id for clip_id in gone if not self._exists(clip_id)])
        embedder = self.load_embedder(name) if name else self._available_embedder(warn=False)
        if name and embedder:
            self._adopt(embedder.name)
        known, pending = index.ids(), set(index.pending_ids())
        missing = [i for i in paths if i not in known or (embedder is not None and i in pending)]
        broken = _damaged(paths[clip_id] for clip_id in sorted(paths.keys() - set(missing)))
        return self._write(paths, missing, embedder, removed=len(gone), broken=broken, progress=progress)

    def rebuild(self, *, embedder: str | None = None, progress: Progress | None = None) -> IndexReport:
        """Drop the index and make it again from the sidecars.

        Args:
            embedder: Another embedder from now on.
            progress: Called with the clips done and the clips in all.

        Raises:
            EmbedderUnavailableError: The embedder that was asked for is not on this machine; nothing was dropped.
            IndexingError: The index cannot be written.
            LibraryBusyError: Another process holds the lock.
        """
        loaded = self.load_embedder(embedder) if embedder else self._available_embedder(warn=False)
        with self._folder.lock():
            self._index().clear()
            if embedder and loaded:
                self._folder.update_manifest(embedder=loaded.name)
        paths = {path.stem: path for path in self._folder.sidecar_paths()}
        return self._write(paths, list(paths), loaded, removed=0, progress=progress)

    def search(self, query: str, *, one_off: bool = False) -> Iterator["IndexHit"]:
        """Yield the clips nearest to a query, best first.

        Args:
            query: Words.
            one_off: Nothing else will be embedded or generated by this process.

        Raises:
            EmbedderUnavailableError: The query cannot be embedded on this machine.
            IndexingError: The index cannot be read.
        """
        vector = self.load_embedder(self._index().embedder(), one_off=one_off).embed([query])[0]
        offset, limit = 0, 32
        while hits := self._index().search(vector, limit=limit, offset=offset):
            yield from hits
            offset += len(hits)

    def unsearchable(self) -> int:
        """Return how many clips have no vector in the index yet."""
        index = self._index()
        indexed = index.count() - len(index.pending_ids())
        return max(0, len(self._folder.sidecar_paths()) - indexed)

    def _index(self) -> "ClipIndex":
        from indexing.store import ClipIndex

        return ClipIndex(self._folder.index)

    def _exists(self, clip_id: str) -> bool:
        """Looked at again under the lock: another process may have just stored it."""
        return (self._folder.month_folder(clip_id) / f"{clip_id}.json").exists()

    def _adopt(self, name: str) -> None:
        """Make an embedder the library's own, as long as no vectors of another one are stored."""
        from indexing.errors import EmbedderMismatchError

        stored = self._index().embedder()
        if stored not in (None, name):
            raise EmbedderMismatchError(
                f"The index was made with {stored}, not with {name}. "
                f"`audiolib index --rebuild --embedder {name}` embeds all clips again."
            )
        self._folder.update_manifest(embedder=name)

    def _available_embedder(self, *, warn: bool = True) -> "Embedder | None":
        """The embedder, or `None` with the reason kept: clips are stored with their vector pending."""
        from indexing.errors import EmbedderUnavailableError

        try:
            return self.load_embedder()
        except EmbedderUnavailableError as error:
            self._failure = str(error)
            if warn:
                self._warn(f"Clips are stored but not searchable yet: {error}")
            return None

    def _warn(self, sentence: str) -> None:
        if sentence not in self._warned:  # once is enough, not for each of a thousand clips
            self._warned.add(sentence)
            _log.warning("%s", sentence)

    def _write(
        self,
        paths: dict[str, Path],
        wanted: Sequence[str],
        embedder: "Embedder | None",
        *,
        removed: int,
        broken: Sequence[str] = (),
        progress: Progress | None,
    ) -> IndexReport:
        broken = list(broken)
        embedded = 0
        for start in range(0, len(wanted), _BATCH):
            sidecars: list[Sidecar] = []
            for clip_id in wanted[start : start + _BATCH]:
                try:
                    sidecars.append(read_sidecar(paths[clip_id]))
                except FileNotFoundError:
                    continue  # removed meanwhile
                except LibraryError as error:
                    broken.append(str(error))
            rows = rows_of(self._folder, sidecars, embedder)  # outside the lock: embedding takes its time
            with self._folder.lock():
                self._index().upsert(rows)
            embedded += sum(row.vector is not None for row in rows)
            if progress is not None:
                progress(min(start + _BATCH, len(wanted)), len(wanted))
        pending = len(self._index().pending_ids())
        return IndexReport(
            clips=len(paths) - len(broken),
            embedded=embedded,
            pending=pending,
            reason=self._failure if pending else None,
            removed=removed,
            completed=0,
            broken=tuple(broken),
            embedder=embedder.name if embedder else self.embedder_name(),
        )


def _damaged(paths: Iterable[Path]) -> list[str]:
    """What is wrong with sidecars whose rows need nothing; `index` is where people look for damage."""
    broken = []
    for path in paths:
        try:
            read_sidecar(path)
        except FileNotFoundError:
            continue  # removed meanwhile
        except LibraryError as error:
            broken.append(str(error))
    return broken
