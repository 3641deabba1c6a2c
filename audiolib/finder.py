"""Finding clips: listed from the files, selected and searched in the index."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from audiolib.catalogue import Catalogue
from audiolib.clip import Clip, SearchHit
from audiolib.errors import InvalidInputError, LibraryError
from audiolib.folder import LibraryFolder
from audiolib.ids import ID_PATTERN
from audiolib.selection import SORTS, Selection
from audiolib.sidecars import read_sidecar

if TYPE_CHECKING:
    import numpy as np

    from indexing.filters import Filters
    from indexing.query import Hit
    from indexing.store import IndexHit

_log = logging.getLogger(__name__)
Broken = Callable[[str], None]


class Finder:
    """Finds clips of a library that exists.

    Args:
        folder: The library.
        catalogue: Its search index.
    """

    def __init__(self, folder: LibraryFolder, catalogue: Catalogue) -> None:
        self._folder = folder
        self._catalogue = catalogue

    def select(
        self,
        *,
        filters: "Filters | None" = None,
        sort: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        broken: Broken | None = None,
    ) -> Selection:
        """Select clips: all from the files, some or in another order from the index; see `AudioLibrary.list`."""
        if sort is not None and sort not in SORTS:
            raise InvalidInputError(f"Clips cannot be sorted by {sort!r}. Use one of: {', '.join(SORTS)}.")
        if not filters and sort in (None, "created"):
            folders = self._folder.sidecar_folders()
            chosen = sorted(folders, reverse=not reverse)[:limit]
            paths = (Path(folders[clip_id], f"{clip_id}.json") for clip_id in chosen)
            return Selection(total=len(chosen), clips=self._read(paths, broken))
        column, descending = SORTS[sort or "created"]
        ids = self._catalogue.select(
            filters=self.resolved(filters), sort=column, descending=descending != reverse, limit=limit
        )
        self.say_missing(self._catalogue.missing(), "not indexed yet")
        return Selection(total=len(ids), clips=self._read(self._paths(ids), broken))

    def resolved(self, filters: "Filters | None") -> "Filters | None":
        """Return the filters with a parent that is named like a clip given by its id.

        Args:
            filters: What is asked for.

        Raises:
            ClipNotFoundError: There is no such parent.
            AmbiguousClipError: The ending fits several clips.
        """
        if filters is None or filters.parent is None:
            return filters
        as_id = filters.parent.upper()
        # A whole id need not be found: the variations of a clip that was removed are still there.
        known = ID_PATTERN.fullmatch(as_id) is not None
        return replace(filters, parent=as_id if known else self._folder.resolve(filters.parent).stem)

    def _paths(self, ids: list[str]) -> Iterator[Path]:
        for clip_id in ids:
            try:
                yield self._folder.sidecar_path(clip_id)
            except LookupError:
                continue  # its files are gone; the next `index` drops the row

    def _read(self, paths: Iterable[Path], broken: Broken | None) -> Iterator[Clip]:
        for path in paths:
            try:
                yield read_sidecar(path).clip
            except FileNotFoundError:
                continue  # removed meanwhile
            except LibraryError as error:
                (broken or _log.warning)(str(error))

    def say_missing(self, number: int, what: str) -> None:
        """Log that an answer lacks clips, and what adds them.

        Args:
            number: How many; nothing is said of none.
            what: What they are not yet.
        """
        if number:
            are = "One clip is" if number == 1 else f"{number:,} clips are"
            _log.warning("%s %s. `audiolib index` catches up.", are, what)

    def search(
        self,
        words: str,
        *,
        limit: int,
        mode: str = "hybrid",
        filters: "Filters | None" = None,
        explain: bool = False,
        one_off: bool = False,
    ) -> list[SearchHit]:
        """Return the clips that fit some words best; see `AudioLibrary.search`."""
        from indexing.query import MODES, search, text_to_avoid

        if mode not in MODES:
            raise InvalidInputError(f"There is no search mode {mode!r}. Use one of: {', '.join(MODES)}.")
        vector = self._vector(words, mode=mode, one_off=one_off)
        avoided = text_to_avoid(words) if mode == "hybrid" and vector is not None else None
        unwanted = self._catalogue.embed_query(avoided, one_off=one_off) if avoided else None
        wanted = self.resolved(filters)

        def page(offset: int) -> Sequence["Hit"]:
            return search(
                self._catalogue.index,
                words,
                vector,
                mode=mode,
                filters=wanted,
                unwanted=unwanted,
                limit=limit,
                offset=offset,
            )

        hits = self._hits(page, limit=limit, explain=explain)
        by_meaning = vector is not None and mode != "keyword"
        waiting = self._catalogue.unsearchable() if by_meaning else self._catalogue.missing()
        self.say_missing(waiting, "not searchable yet")
        return hits

    def nearest(
        self,
        vector: "np.ndarray",
        *,
        space: str,
        limit: int,
        filters: "Filters | None" = None,
        without: str | None = None,
    ) -> list[SearchHit]:
        """Return the clips nearest to a vector of a space, best first.

        Args:
            vector: `(D,)` of that space.
            space: Its name.
            limit: How many at most.
            filters: Only clips like this.
            without: Id of a clip that is left out.
        """
        where = wanted.expression() if (wanted := self.resolved(filters)) else None

        def page(offset: int) -> Sequence["IndexHit"]:
            return self._catalogue.index.nearest(
                vector, space=space, where=where, limit=limit + 1, offset=offset
            )

        hits = [hit for hit in self._hits(page, limit=limit + 1) if hit.clip.id != without][:limit]
        self.say_missing(self._catalogue.missing(), "not indexed yet")
        return hits

    def _vector(self, words: str, *, mode: str, one_off: bool) -> "np.ndarray | None":
        """The query's vector; `None` where words alone must do, because nothing here can embed them."""
        from indexing.errors import EmbedderUnavailableError
        from indexing.query import text_to_embed

        try:
            return self._catalogue.embed_query(text_to_embed(words), one_off=one_off)
        except EmbedderUnavailableError as error:
            if mode == "semantic":
                raise
            if mode == "hybrid":
                _log.warning("Only the words themselves are searched for: %s", error)
            return None

    def _hits(
        self,
        page: Callable[[int], "Sequence[Hit] | Sequence[IndexHit]"],
        *,
        limit: int,
        explain: bool = False,
    ) -> list[SearchHit]:
        """Read the clips that were found, page by page until enough of them are there."""
        hits: list[SearchHit] = []
        offset = 0
        while len(hits) < limit and (found := page(offset)):
            offset += len(found)
            for hit in found:
                try:
                    clip = read_sidecar(self._folder.sidecar_path(hit.id)).clip
                except (LookupError, OSError):
                    continue  # its files are gone; the next `index` drops the row
                except LibraryError as error:
                    _log.warning("%s", error)
                    continue
                why = getattr(hit, "why", None) if explain else None
                hits.append(SearchHit(clip=clip, score=hit.score, why=why))
            if len(found) < limit:
                break
        return hits[:limit]
