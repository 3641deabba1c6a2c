"""The table of clips: upsert, remove, and everything that is asked of it."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from indexing import lance, lookup, schema, upkeep, whole
from indexing.errors import EmbedderMismatchError, IndexingError
from indexing.schema import TEXT_SPACE, IndexRow

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from lancedb.expr import Expr
    from lancedb.query import FullTextQuery
    from lancedb.table import Table

_BATCH = 1_000
# Small files slow every search, rewriting a large table for each few of them slows every write.
_FRAGMENTS_KEPT = 20
_ROWS_PER_EXTRA_FRAGMENT = 5_000
# Older versions serve only readers that began before; none takes an hour.
_VERSIONS_KEPT = timedelta(hours=1)

logger = logging.getLogger(__name__)
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


class ClipIndex:
    """The search index of one library; derived from its files, so it may be dropped and rebuilt.

    Safe with several processes: a row stays one row whoever writes it, and every call sees what was
    committed before it. Every method but `clear` raises `IndexDamagedError` when the table is unreadable or
    of another version.
    """

    def __init__(self, folder: Path) -> None:
        """Names the folder; nothing is opened, and nothing made until the first write."""
        self._folder = Path(folder)

    def upsert(self, rows: Sequence[IndexRow]) -> None:
        """Inserts rows, or replaces those of the same id, in commits of at most 1,000.

        Args:
            rows: Of several with one id the last counts. Rows without a vector are kept as pending.
                What a row does not name, a sound vector or vectors of further spaces, stays as it is stored.

        Raises:
            EmbedderMismatchError: A vector was made with another embedder than the table's.
            IndexingError: A value does not fit its column, the disk is full, the folder is not writable.
        """
        unique = list({row.id: row for row in rows}.values())
        if not unique:
            return
        table = self._table_for(unique)
        by_sound: dict[str | None, list[IndexRow]] = {}
        for row in unique:
            by_sound.setdefault(row.sound_space, []).append(row)
        batches = []
        for space, some in by_sound.items():
            if space is not None and (vector := some[0].sound_vector) is not None:
                table = self._with_space(table, space, len(vector))
            batches += [
                schema.to_arrow(some[start : start + _BATCH], table.schema)
                for start in range(0, len(some), _BATCH)
            ]
        for batch in batches:
            self._merge(batch)
        self._tidy()

    def put_vectors(self, space: str, vectors: "Mapping[str, np.ndarray]") -> None:
        """Stores vectors of one space for rows that are there; other ids are passed over.

        Args:
            space: Its name; the space is made with the first vectors.
            vectors: By the clip's id, `(S,)` each, all of one length.

        Raises:
            EmbedderMismatchError: The space has vectors of another length.
            IndexingError: A vector is not finite, or the table cannot be written.
            ValueError: No name of a space, or the one of the text vectors, which come with their rows.
        """
        if space == TEXT_SPACE:
            raise ValueError("text vectors are written with their rows")
        table = self._open()
        if table is None or not vectors:
            return
        dimension = len(next(iter(vectors.values())))
        self._with_space(table, space, dimension)
        ids = list(vectors)
        for start in range(0, len(ids), _BATCH):
            some = {id: vectors[id] for id in ids[start : start + _BATCH]}
            self._merge(schema.vectors_to_arrow(space, some, dimension), insert=False)
        self._tidy()

    def remove(self, ids: Sequence[str]) -> None:
        """Removes rows; ids that are not in the table are passed over."""

        def delete(some: list[str]) -> None:
            if (table := self._open()) is not None:
                from lancedb.expr import col

                table.delete(col("id").isin(some))

        with lance.errors_of(self._folder):
            for start in range(0, len(ids), _BATCH):
                lance.retry(self._folder, partial(delete, list(ids[start : start + _BATCH])))
        self._tidy()

    def ids(self) -> set[str]:
        """Ids of all rows."""
        return set(self.columns(["id"])["id"])

    def pending_ids(self) -> list[str]:
        """Ids of the rows without a vector, sorted."""
        columns = self.columns(["id", "embedder"])
        return sorted(i for i, name in zip(columns["id"], columns["embedder"], strict=True) if name is None)

    def count(self) -> int:
        """Number of rows."""
        return self._ask(lambda table: table.count_rows(), 0)

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
        return self._ask(_embedder_of, None)

    def search(self, vector: "np.ndarray", *, limit: int = 10, offset: int = 0) -> list[IndexHit]:
        """The rows nearest to a vector of the text space; see `nearest`."""
        return self.nearest(vector, limit=limit, offset=offset)

    def nearest(
        self,
        vector: "np.ndarray",
        *,
        space: str = TEXT_SPACE,
        where: "Expr | None" = None,
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
            _check_dimension(table, space, len(query))
            ids, scores = lookup.nearest(table, space, query, where=where, wanted=offset + limit)
            page = slice(offset, offset + limit)
            return [
                IndexHit(id=str(id), score=min(1.0, max(0.0, float(score))))
                for id, score in zip(ids[page], scores[page], strict=True)
            ]

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
            _check_dimension(table, space, len(query))
            return lookup.similarities(table, space, query, ids)

        return self._ask(find, {})

    def keyword(
        self, query: "FullTextQuery | str", *, where: "Expr | None" = None, limit: int = 10
    ) -> list[tuple[str, float]]:
        """The rows whose document has words of a query, by BM25.

        Args:
            query: Words, any of which will do, or one of LanceDB's full text queries.
            where: Only rows that this expression is true for.
            limit: Hits wanted, at least 1.

        Returns:
            Ids and scores by falling score, those of equal score by id.
        """

        def find(table: "Table") -> list[tuple[str, float]]:
            upkeep.furnish(table)  # a crash may have come between the table and its index
            return lookup.keyword(table, query, where=where, limit=limit)

        return self._ask(find, [])

    def select(
        self,
        *,
        where: "Expr | None" = None,
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

    def columns(self, names: Sequence[str], *, where: "Expr | None" = None) -> dict[str, list[Any]]:
        """Columns, in one order of rows, of the rows that pass a filter."""

        def read(table: "Table") -> dict[str, list[Any]]:
            found: dict[str, list[Any]] = lookup.columns(table, names, where=where).to_pydict()
            return found

        return self._ask(read, {name: [] for name in names})

    def optimise(self) -> None:
        """Joins small files and drops versions older than an hour.

        Raises:
            IndexingError: Other processes kept the table busy.
        """

        def optimise() -> None:
            # Opened at each attempt: an old handle would conflict for ever.
            if (table := self._open()) is not None:
                table.optimize(cleanup_older_than=_VERSIONS_KEPT)

        with lance.errors_of(self._folder):
            lance.retry(self._folder, optimise)

    def rows(self) -> Iterator[list[IndexRow]]:
        """Yields every row in batches, read in full, so that damage shows wherever it is."""
        table = self._open()
        if table is not None:
            with lance.errors_of(self._folder):
                yield from whole.rows(table)

    def replace(
        self, batches: Iterable[Sequence[IndexRow]], *, dimension: int, spaces: Mapping[str, int]
    ) -> None:
        """Replaces all rows in one commit, whatever state the table is in; see `whole.replace`."""
        table = whole.replace(self._folder, batches, dimension=dimension, spaces=spaces)
        with lance.errors_of(self._folder):
            upkeep.furnish(table)

    def clear(self) -> None:
        """Drops the table, damaged or not, for a rebuild."""
        lance.drop_table(self._folder)

    def _open(self) -> "Table | None":
        table = lance.open_table(self._folder)
        if table is not None:
            schema.check_version(table.schema)
        return table

    def _create(self, columns: "pa.Schema") -> "Table":
        table = lance.create_table(self._folder, columns)
        with lance.errors_of(self._folder):
            upkeep.furnish(table)
        return table

    def _ask(self, question: "Callable[[Table], Answer]", without: Answer) -> Answer:
        """The table's answer, or the one of a table that was never made."""
        table = self._open()
        if table is None:
            return without
        with lance.errors_of(self._folder):
            return question(table)

    def _merge(self, batch: "pa.Table", *, insert: bool = True) -> None:
        def merge() -> None:
            table = self._open() or self._create(batch.schema)
            builder = table.merge_insert("id").when_matched_update_all()
            if insert:
                builder = builder.when_not_matched_insert_all()
            # LanceDB takes a pending row's null for a bad vector; bad ones were refused in to_arrow.
            builder.execute(batch, on_bad_vectors="null")

        with lance.errors_of(self._folder):
            lance.retry(self._folder, merge)

    def _table_for(self, rows: Sequence[IndexRow]) -> "Table":
        """The table, made or fitted so that it can take these rows' vectors."""
        named = {row.embedder: row.vector for row in rows if row.vector is not None}
        if len(named) > 1:
            raise EmbedderMismatchError(
                f"Vectors of several embedders in one call: {', '.join(sorted(map(str, named)))}."
            )
        embedder, vector = next(iter(named.items()), (None, None))
        dimension = schema.DEFAULT_DIMENSION if vector is None else len(vector)
        table = self._open() or self._create(schema.arrow_schema(dimension))
        if vector is None:
            return table
        with lance.errors_of(self._folder):
            stored = _embedder_of(table)
        if stored is None:
            return self._with_dimension(table, dimension)
        if stored != embedder:
            raise EmbedderMismatchError(
                f"The index was made with {stored}, not with {embedder}. "
                f"Run `audiolib index --rebuild --embedder {embedder}` to embed all clips again."
            )
        _check_dimension(table, TEXT_SPACE, dimension)
        return table

    def _with_dimension(self, table: "Table", dimension: int) -> "Table":
        """Without stored vectors the column is free to change its size."""
        if schema.spaces(table.schema)[TEXT_SPACE] != dimension:
            with lance.errors_of(self._folder):
                table.drop_columns(["vector"])
                table.add_columns(schema.vector_field(TEXT_SPACE, dimension))
        return table

    def _with_space(self, table: "Table", space: str, dimension: int) -> "Table":
        """The table with a column for a space."""

        def add() -> "Table":
            current = self._open() or self._create(table.schema)
            if space not in schema.spaces(current.schema):
                current.add_columns(schema.vector_field(space, dimension))
            return current

        if space not in schema.spaces(table.schema):
            with lance.errors_of(self._folder):
                table = lance.retry(self._folder, add)
        _check_dimension(table, space, dimension)
        return table

    def _tidy(self) -> None:
        """Optimises after writes have left many small files; a busy table is left for the next time."""
        table = self._open()
        if table is None:
            return
        try:
            with lance.errors_of(self._folder):
                stats: Any = table.stats()  # declared with attributes, comes with keys
            kept = _FRAGMENTS_KEPT + stats["num_rows"] // _ROWS_PER_EXTRA_FRAGMENT
            if stats["fragment_stats"]["num_fragments"] > kept:
                self.optimise()
        except IndexingError as error:
            logger.info("The search index was not tidied: %s", error)


def _checked_query(vector: "np.ndarray") -> "np.ndarray":
    import numpy as np

    query = np.asarray(vector, dtype=np.float64)
    if query.ndim != 1 or not np.isfinite(query).all() or not query.any():
        raise ValueError("a search needs a finite vector that is not all zero")
    return query


def _check_dimension(table: "Table", space: str, dimension: int) -> None:
    stored = schema.spaces(table.schema)[space]
    if stored != dimension:
        made = f"made with {_embedder_of(table)} ({stored})" if space == TEXT_SPACE else f"{space} ({stored})"
        raise EmbedderMismatchError(
            f"A vector of {dimension} numbers does not fit the index, {made}. "
            "Run `audiolib index --rebuild --embedder NAME` to embed all clips again."
        )


def _embedder_of(table: "Table") -> str | None:
    from lancedb.expr import col, lit

    # A comparison with null is never true, so this finds the rows that have a vector.
    some = table.search().where(col("embedder") != lit("")).select(["embedder"]).limit(1).to_arrow()
    return str(some["embedder"][0]) if some.num_rows else None
