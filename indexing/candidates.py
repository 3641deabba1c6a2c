"""The rows that one search has met: each read once, with its words and how near it is to the query."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from indexing.keywords import Document

if TYPE_CHECKING:
    import numpy as np
    from lancedb.query import FullTextQuery

    from indexing.conditions import Where
    from indexing.lookup import FoundRow
    from indexing.store import ClipIndex


class Candidates:
    """What is asked of the table for one search.

    A document and a cosine come along with the row when it is found: asking for them by their ids afterwards took
    longer than finding them.

    Args:
        index: Where to look.
        vector: `(D,)` of the query; without one nothing is near.
        where: Only rows that this is true for.

    Attributes:
        seen: Stems of words that some clip has, whether it passes the filter or not; to be added to.
    """

    def __init__(self, index: "ClipIndex", vector: "np.ndarray | None", where: "Where | None") -> None:
        self._index, self._vector, self._where = index, vector, where
        self.seen = index.seen_words()
        self._texts: dict[str, str] = {}
        self._cosines: dict[str, float | None] = {}
        self._documents: dict[str, Document] = {}
        self._vectors: dict[str, np.ndarray] = {}

    def nearest(self, limit: int, offset: int = 0) -> list[str]:
        """Ids of the rows nearest in meaning, best first."""
        if self._vector is None:
            return []
        rows = self._index.near_rows(self._vector, where=self._where, limit=limit, offset=offset)
        return [row.id for row in self._kept(rows)]

    def with_words(self, query: "FullTextQuery | None", limit: int) -> list[tuple[str, float]]:
        """Ids of the rows that have words of a query, with their BM25, best first."""
        if query is None:
            return []
        rows = self._index.word_rows(query, near=self._vector, where=self._where, limit=limit)
        return [(row.id, row.bm25 or 0.0) for row in self._kept(rows)]

    def anywhere(self, query: "FullTextQuery", limit: int) -> list[tuple[str, float]]:
        """What `with_words` finds, whether it passes the filter or not."""
        rows = self._index.word_rows(query, near=None, limit=limit)
        self._texts |= {row.id: row.document or "" for row in rows}
        return [(row.id, row.bm25 or 0.0) for row in rows]

    def documents(self, ids: Iterable[str]) -> dict[str, Document]:
        """The documents of rows that were found, by id."""
        return {id: self._document(id) for id in ids if id in self._texts}

    def similarities(self, ids: Iterable[str]) -> dict[str, float]:
        """Cosines to the query of rows that were found and have a vector, by id."""
        known = ((id, self._cosines.get(id)) for id in ids)
        return {id: cosine for id, cosine in known if cosine is not None}

    def likeness(self, vector: "np.ndarray", ids: Iterable[str]) -> dict[str, float]:
        """Cosines to another vector `(D,)` of rows that were found and have one, by id."""
        import numpy as np

        from indexing.lookup import cosines

        known = [id for id in ids if id in self._vectors]
        if not known:
            return {}
        return dict(zip(known, cosines(np.stack([self._vectors[id] for id in known]), vector), strict=True))

    def _kept(self, rows: "Sequence[FoundRow]") -> "Sequence[FoundRow]":
        self._texts |= {row.id: row.document or "" for row in rows}
        self._cosines |= {row.id: row.cosine for row in rows}
        self._vectors |= {row.id: row.vector for row in rows if row.vector is not None}
        return rows

    def _document(self, id: str) -> Document:
        if id not in self._documents:
            self._documents[id] = Document(self._texts[id])
        return self._documents[id]
