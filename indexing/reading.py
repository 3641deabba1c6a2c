"""What is asked of the table of clips: rows, words, neighbours, columns."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from indexing import lance, lookup, schema, upkeep, whole
from indexing.errors import EmbedderMismatchError
from indexing.lookup import FoundRow
from indexing.schema import TEXT_SPACE, IndexRow
from indexing.vocabulary import seen_words

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from lancedb.query import FullTextQuery
    from lancedb.table import Table

    from indexing.conditions import Where

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexHit:
    """A clip that was found.

    Attributes:
        id: The clip's id.
        score: max(0, cosine similarity) to the query, 0 to 1.
    """

    id: str
    score: float


class TableReader:
    """The reading half of `ClipIndex`."""

    def __init__(self, folder: Path) -> None:
        """Names the folder; nothing is opened, and nothing made until the first write."""
        self._folder = Path(folder)

    def ids(self) -> set[str]:
        """Ids of all rows."""
        return set(self.columns(["id"])["id"])

    def pending_ids(self) -> list[str]:
        """Ids of the rows without a vector, sorted."""
        columns = self.columns(["id", "embedder"])
        return sorted(i for i, name in zip(columns["id"], columns["embedder"], strict=True) if name is None)

    def seen_words(self) -> set[str]:
        """Stems of words that some document has, as earlier searches saw; to be added to."""
        return seen_words(self._folder)

    def count(self) -> int:
        """Number of rows."""
        return self._ask(lambda table: table.count_rows(), 0)

    def count_embedded(self) -> int:
        """Number of rows with a vector of their document: those that a search by meaning can find."""
        return self._ask(lambda table: table.count_rows("embedder IS NOT NULL"), 0)

    def spaces(self) -> dict[str, int]:
        """The spaces that vectors are in, with the numbers in a vector of each."""
        return self._ask(lambda table: schema.spaces(table.schema), {})

    def get(self, id: str) -> dict[str, Any] | None:
        """All fields of an `IndexRow` by name, or None."""

        def find(table: "Table") -> dict[str, Any] | None:
            from lancedb.expr import col, lit

            found = table.search().where(col("id") == lit(id)).limit(1).to_arrow().to_pylist()
            return asdict(schema.from_record(found[0])) if found else None

        return self._ask(find, None)

    def embedder(self) -> str | None:
        """Name of the embedder that the stored vectors were made with; None while there are none."""
        return self._ask(embedder_of, None)

    def search(self, vector: "np.ndarray", *, limit: int = 10, offset: int = 0) -> list[IndexHit]:
        """The rows nearest to a vector of the text space; see `nearest`."""
        return self.nearest(vector, limit=limit, offset=offset)

    def nearest(
        self,
        vector: "np.ndarray",
        *,
        space: str = TEXT_SPACE,
        where: "Where | None" = None,
        limit: int = 10,
        offset: int = 0,
    ) -> list[IndexHit]:
        """The rows nearest to a vector by cosine similarity; rows without one in this space are passed over.

        Args:
            vector: `(D,)` query of any length but zero.
            space: Where to look; no hits in a space that is not there.
            where: Only rows that this expression is true for.
            limit: Hits wanted, at least 1.
            offset: Hits passed over, for the next page.

        Returns:
            Hits by falling similarity, those of the same similarity by id.

        Raises:
            EmbedderMismatchError: The space's vectors have another dimension.
            ValueError: `limit`, `offset` or the vector is out of range.
        """
        if limit < 1 or offset < 0:
            raise ValueError("a search needs limit >= 1 and offset >= 0")
        query = _checked_query(vector)

        def find(table: "Table") -> list[IndexHit]:
            if space not in schema.spaces(table.schema):
                return []
            check_dimension(table, space, len(query))
            rows = lookup.nearest(table, space, query, where=where, wanted=offset + limit)
            return [
                IndexHit(id=row.id, score=min(1.0, max(0.0, row.cosine or 0.0)))
                for row in rows[offset : offset + limit]
            ]

        return self._ask(find, [])

    def near_rows(
        self, vector: "np.ndarray", *, where: "Where | None" = None, limit: int, offset: int = 0
    ) -> list[FoundRow]:
        """What `nearest` finds in the text space, with documents and cosines."""
        query = _checked_query(vector)

        def find(table: "Table") -> list[FoundRow]:
            if TEXT_SPACE not in schema.spaces(table.schema):
                return []
            check_dimension(table, TEXT_SPACE, len(query))
            rows = lookup.nearest(
                table, TEXT_SPACE, query, where=where, wanted=offset + limit, documents=True
            )
            return rows[offset : offset + limit]

        return self._ask(find, [])

    def similarities(
        self, vector: "np.ndarray", ids: Sequence[str], *, space: str = TEXT_SPACE
    ) -> dict[str, float]:
        """Cosines, -1 to 1, of given rows to a vector `(D,)`; rows without one in this space are left out.

        Raises:
            EmbedderMismatchError: The space's vectors have another dimension.
            ValueError: The vector is out of range.
        """
        query = _checked_query(vector)

        def find(table: "Table") -> dict[str, float]:
            if space not in schema.spaces(table.schema):
                return {}
            check_dimension(table, space, len(query))
            return lookup.similarities(table, space, query, ids)

        return self._ask(find, {})

    def keyword(
        self, query: "FullTextQuery | str", *, where: "Where | None" = None, limit: int = 10
    ) -> list[tuple[str, float]]:
        """The rows whose document has words of a query, by BM25.

        Args:
            query: Words, any of which will do, or one of LanceDB's full text queries.
            where: Only rows that this expression is true for.
            limit: Hits wanted, at least 1.

        Returns:
            Ids and scores by falling score, those of equal score by id.
        """

        rows = self._find_words(lambda table: lookup.keyword(table, query, where=where, limit=limit))
        return [(row.id, row.bm25 or 0.0) for row in rows]

    def word_rows(
        self,
        query: "FullTextQuery",
        *,
        near: "np.ndarray | None",
        where: "Where | None" = None,
        limit: int,
    ) -> list[FoundRow]:
        """What `keyword` finds, with documents and, given a vector `(D,)` of the text space, with cosines to it."""
        vector = None if near is None else _checked_query(near)

        def find(table: "Table") -> list[FoundRow]:
            compared = vector if TEXT_SPACE in schema.spaces(table.schema) else None
            if compared is not None:
                check_dimension(table, TEXT_SPACE, len(compared))
            return lookup.keyword(table, query, where=where, limit=limit, near=compared, documents=True)

        return self._find_words(find)

    def _find_words(self, find: "Callable[[Table], list[FoundRow]]") -> list[FoundRow]:
        def furnished(table: "Table") -> list[FoundRow]:
            self._furnish()  # a crash may have come between the table and its index
            return find(table)

        return self._ask(furnished, [])

    def select(
        self,
        *,
        where: "Where | None" = None,
        sort: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[str]:
        """Ids of the rows that pass a filter, by a column's value and then by id; unknown values come last."""
        return self._ask(
            lambda table: lookup.select(
                table, where=where, sort=sort, descending=descending, limit=limit, offset=offset
            ),
            [],
        )

    def columns(self, names: Sequence[str], *, where: "Where | None" = None) -> dict[str, list[Any]]:
        """Columns, in one order of rows, of the rows that pass a filter."""

        def read(table: "Table") -> dict[str, list[Any]]:
            found: dict[str, list[Any]] = lookup.columns(table, names, where=where).to_pydict()
            return found

        return self._ask(read, {name: [] for name in names})

    def table_of(self, names: Sequence[str], *, where: "Where | None" = None) -> "pa.Table":
        """What `columns` gives, as an Arrow table, for whoever counts values instead of reading them."""
        nothing = schema.arrow_schema().empty_table().select(list(names))
        return self._ask(lambda table: lookup.columns(table, names, where=where), nothing)

    def vectors(self, space: str = TEXT_SPACE) -> "tuple[list[str], np.ndarray]":
        """Ids and vectors `(N, D)` float32 of all rows that have one in a space; `(0, 0)` where there is none."""
        import numpy as np

        def read(table: "Table") -> "tuple[list[str], np.ndarray]":
            if space not in schema.spaces(table.schema):
                return nothing
            return lookup.vectors(table, space)

        nothing: tuple[list[str], np.ndarray] = ([], np.zeros((0, 0), dtype=np.float32))
        return self._ask(read, nothing)

    def rows(self) -> Iterator[list[IndexRow]]:
        """Yields every row in batches, read in full, so that damage shows wherever it is."""
        table = self._open()
        if table is not None:
            with lance.errors_of(self._folder):
                yield from whole.rows(table)

    def rows_with(self, ids: Collection[str]) -> Iterator[list[IndexRow]]:
        """Yields the rows of some clips in batches; ids without a row are left out."""
        from lancedb.expr import col

        table = self._open()
        if table is not None:
            wanted = sorted(ids)
            with lance.errors_of(self._folder):
                for start in range(0, len(wanted), lookup.IDS_AT_ONCE):
                    some = wanted[start : start + lookup.IDS_AT_ONCE]
                    yield from whole.rows(table, col("id").isin(some))

    def _furnish(self) -> None:
        """Sees to it that the table has its full text index, whoever makes it."""

        def furnish() -> None:
            if (table := self._open()) is not None:
                upkeep.furnish(table)

        lance.retry(self._folder, furnish)

    def _open(self) -> "Table | None":
        return lance.open_table(self._folder)

    def _ask(self, question: "Callable[[Table], Answer]", without: Answer) -> Answer:
        """The table's answer, or the one of a table that was never made."""
        table = self._open()
        if table is None:
            return without
        with lance.errors_of(self._folder):
            return question(table)


def _checked_query(vector: "np.ndarray") -> "np.ndarray":
    import numpy as np

    query = np.asarray(vector, dtype=np.float64)
    if query.ndim != 1 or not np.isfinite(query).all() or not query.any():
        raise ValueError("a search needs a finite vector that is not all zero")
    return query


def check_dimension(table: "Table", space: str, dimension: int) -> None:
    """Raises `EmbedderMismatchError` when vectors of this length do not fit a space."""
    stored = schema.spaces(table.schema)[space]
    if stored != dimension:
        made = f"made with {embedder_of(table)} ({stored})" if space == TEXT_SPACE else f"{space} ({stored})"
        raise EmbedderMismatchError(
            f"A vector of {dimension} numbers does not fit the index, {made}. "
            "Run `audiolib index --rebuild --embedder NAME` to embed all clips again."
        )


def embedder_of(table: "Table") -> str | None:
    """Name of the embedder of the table's text vectors."""
    from lancedb.expr import col, lit

    # A comparison with null is never true, so this finds the rows that have a vector.
    some = table.search().where(col("embedder") != lit("")).select(["embedder"]).limit(1).to_arrow()
    return str(some["embedder"][0]) if some.num_rows else None
