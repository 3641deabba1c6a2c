"""The library's use of the search index: rows written and removed, the embedder, searching."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from audiolib.errors import LibraryError
from audiolib.folder import LibraryFolder
from audiolib.rows import rows_of
from audiolib.settings import Settings
from audiolib.sidecars import Sidecar, read_sidecar

if TYPE_CHECKING:
    import numpy as np

    from indexing.embed import Embedder
    from indexing.filters import Filters
    from indexing.schema import IndexRow
    from indexing.store import ClipIndex

_log = logging.getLogger(__name__)


class Catalogue:
    """Keeps the index in step with the files, clip by clip.

    Args:
        folder: The library.
        settings: The user's settings.
    """

    def __init__(self, folder: LibraryFolder, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings
        self._embedder: Embedder | None = None
        self.failure: str | None = None
        self._warned: set[str] = set()

    def embedder_name(self) -> str:
        """Return the embedder of this library: the manifest's, the user's, or the default one."""
        from indexing.embed import DEFAULT_EMBEDDER, full_name

        named = self._folder.manifest().get("embedder") or self._settings.embedder or DEFAULT_EMBEDDER
        return full_name(str(named))

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
        from indexing.embed import full_name, load_embedder

        wanted = full_name(name or self.embedder_name())
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
            self.write(sidecars, self.available_embedder())
        except (IndexingError, LibraryError, OSError) as error:
            self._warn(f"The clip is stored but not searchable yet: {error} `audiolib index` catches up.")

    def write(self, sidecars: Sequence[Sidecar], embedder: "Embedder | None") -> list["IndexRow"]:
        """Write the rows of clips, as their sidecars are at that moment.

        Words are embedded before the library is locked, because it takes its time. A clip that was edited meanwhile is
        read and embedded again, so that an older row never comes after a newer one; one that was removed gets none.

        Args:
            sidecars: The clips' sidecars, as they were read.
            embedder: Turns their words into vectors; pending without one.

        Returns:
            The rows that were written.

        Raises:
            IndexingError: The index cannot be written.
            LibraryBusyError: Another process holds the lock.
        """
        rows = {row.id: row for row in rows_of(self._folder, sidecars, embedder)}
        with self._folder.lock():
            edited = []
            for sidecar in sidecars:
                now = _as_it_is_now(sidecar)
                if now is None:
                    rows.pop(sidecar.clip.id, None)
                elif now.document != sidecar.document:
                    edited.append(now)
            rows |= {row.id: row for row in rows_of(self._folder, edited, embedder)}
            self.index.upsert(list(rows.values()))
        return list(rows.values())

    def remove(self, ids: Sequence[str]) -> None:
        """Take clips out of the index whose files are gone. What fails is logged: no search shows them either way.

        Args:
            ids: The clips' ids.
        """
        from indexing.errors import IndexingError

        try:
            with self._folder.lock():
                self.index.remove(ids)
        except (IndexingError, OSError) as error:
            self._warn(
                f"The search index still names clips that are gone: {error} `audiolib index` catches up."
            )

    def embed_query(self, text: str, *, one_off: bool = False) -> "np.ndarray":
        """Return the vector `(D,)` of a query, by the embedder that the clips' vectors were made with.

        Args:
            text: Words.
            one_off: Nothing else will be embedded or generated by this process.

        Raises:
            EmbedderUnavailableError: It is not on this machine.
            IndexingError: The index cannot be read.
        """
        vector: np.ndarray = self.load_embedder(self.index.embedder(), one_off=one_off).embed([text])[0]
        return vector

    def select(
        self, *, filters: "Filters | None", sort: str, descending: bool, limit: int | None
    ) -> list[str]:
        """Return the ids of the clips that pass the filters, sorted by a column.

        Args:
            filters: What they must be like; `None` for all.
            sort: A column of the index.
            descending: The highest first; clips without a value come last either way.
            limit: How many at most.

        Raises:
            IndexingError: The index cannot be read.
        """
        where = filters.expression() if filters else None
        if sort != "title":
            return self.index.select(where=where, sort=sort, descending=descending, limit=limit)
        # As people sort words, not by code points: "apple" before "Zebra".
        found = self.index.columns(["id", "title"], where=where)
        pairs = sorted(
            zip(found["title"], found["id"], strict=True),
            key=lambda pair: ((pair[0] or "").casefold(), pair[1]),
            reverse=descending,
        )
        return [clip_id for _, clip_id in pairs[:limit]]

    def missing(self) -> int:
        """Return how many clips have no row in the index yet."""
        return max(0, self._folder.count() - self.index.count())

    def unsearchable(self) -> int:
        """Return how many clips have no vector in the index yet."""
        return max(0, self._folder.count() - self.index.count_embedded())

    @property
    def index(self) -> "ClipIndex":
        """The table."""
        from indexing.store import ClipIndex

        return ClipIndex(self._folder.index)

    def adopt(self, name: str) -> None:
        """Make an embedder the library's own, as long as no vectors of another one are stored.

        Args:
            name: The embedder.

        Raises:
            EmbedderMismatchError: There are vectors of another one.
            LibraryBusyError: Another process holds the lock.
        """
        from indexing.errors import EmbedderMismatchError

        stored = self.index.embedder()
        if stored not in (None, name):
            raise EmbedderMismatchError(
                f"The index was made with {stored}, not with {name}. "
                f"`audiolib index --rebuild --embedder {name}` embeds all clips again."
            )
        self._folder.update_manifest(embedder=name)

    def available_embedder(self, *, warn: bool = True) -> "Embedder | None":
        """Return the embedder, or `None` with the reason kept: clips are stored with their vector pending.

        Args:
            warn: Log the reason, once.
        """
        from indexing.errors import EmbedderUnavailableError

        try:
            return self.load_embedder()
        except EmbedderUnavailableError as error:
            self.failure = str(error)
            if warn:
                self._warn(f"Clips are stored but not searchable yet: {error}")
            return None

    def _warn(self, sentence: str) -> None:
        if sentence not in self._warned:  # once is enough, not for each of a thousand clips
            self._warned.add(sentence)
            _log.warning("%s", sentence)


def _as_it_is_now(sidecar: Sidecar) -> Sidecar | None:
    try:
        return read_sidecar(sidecar.path)
    except (LibraryError, FileNotFoundError):
        return None
