"""The table of clips: upsert, remove, exact search, upkeep."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from indexing import lance, schema
from indexing.errors import EmbedderMismatchError, IndexingError
from indexing.schema import IndexRow

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from lancedb.table import Table

_BATCH = 1_000
# Small files slow every search, rewriting a large table for each few of them slows every write.
_FRAGMENTS_KEPT = 20
_ROWS_PER_EXTRA_FRAGMENT = 5_000
# Older versions serve only readers that began before; none takes an hour.
_VERSIONS_KEPT = timedelta(hours=1)
# Two float32 cosine distances this near may be the same one.
_TIE = 1e-5

logger = logging.getLogger(__name__)


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
    committed before it. Every method but `clear` raises `IndexDamagedError` when the table is unreadable.
    """

    def __init__(self, folder: Path) -> None:
        """Names the folder; nothing is opened, and nothing made until the first write."""
        self._folder = Path(folder)

    def upsert(self, rows: Sequence[IndexRow]) -> None:
        """Inserts rows, or replaces those of the same id, in commits of at most 1,000.

        Args:
            rows: Of several with one id the last counts. Rows without a vector are kept as pending.

        Raises:
            EmbedderMismatchError: A vector was made with another embedder than the table's.
            IndexingError: A value does not fit its column, the disk is full, the folder is not writable.
        """
        unique = list({row.id: row for row in rows}.values())
        if not unique:
            return
        table = self._table_for(unique)
        dimension = schema.vector_dimension(table.schema)
        batches = [
            schema.to_arrow(unique[start : start + _BATCH], dimension)
            for start in range(0, len(unique), _BATCH)
        ]
        for batch in batches:
            self._merge(batch)
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
        return set(self._columns(["id"])["id"])

    def pending_ids(self) -> list[str]:
        """Ids of the rows without a vector, sorted."""
        columns = self._columns(["id", "embedder"])
        return sorted(i for i, name in zip(columns["id"], columns["embedder"], strict=True) if name is None)

    def count(self) -> int:
        """Number of rows."""
        table = self._open()
        with lance.errors_of(self._folder):
            return table.count_rows() if table else 0

    def get(self, id: str) -> dict[str, Any] | None:
        """All fields of an `IndexRow` by name, or None."""
        table = self._open()
        if table is None:
            return None
        from lancedb.expr import col, lit

        with lance.errors_of(self._folder):
            found = table.search().where(col("id") == lit(id)).limit(1).to_arrow().to_pylist()
        return asdict(schema.from_record(found[0])) if found else None

    def embedder(self) -> str | None:
        """Name of the embedder that the stored vectors were made with; None while there are none."""
        table = self._open()
        return self._embedder_of(table) if table else None

    def search(self, vector: "np.ndarray", *, limit: int = 10, offset: int = 0) -> list[IndexHit]:
        """The rows nearest to a vector, by exact cosine similarity; pending rows are passed over.

        Args:
            vector: `(D,)` query of any length but zero.
            limit: Hits wanted, at least 1.
            offset: Hits passed over, for the next page.

        Returns:
            Hits by falling score, those of equal score by id.

        Raises:
            EmbedderMismatchError: The table's vectors have another dimension.
            ValueError: `limit`, `offset` or the vector is out of range.
        """
        import numpy as np

        query = np.asarray(vector, dtype=np.float64)
        if limit < 1 or offset < 0 or query.ndim != 1 or not np.isfinite(query).all() or not query.any():
            raise ValueError(
                "a search needs limit >= 1, offset >= 0 and a finite vector that is not all zero"
            )
        table = self._open()
        if table is None:
            return []
        self._check_dimension(table, len(query))
        with lance.errors_of(self._folder):
            found = _nearest(table, query.astype(np.float32), offset + limit)
        ids = np.array(found["id"].to_pylist(), dtype=object)
        flat = found["vector"].combine_chunks().flatten().to_numpy()
        stored = flat.reshape(len(ids), len(query)).astype(np.float64)
        # Row by row rather than as a matrix product, so that equal vectors get equal scores.
        cosine = (stored * query).sum(axis=1)
        cosine /= np.linalg.norm(stored, axis=1) * np.linalg.norm(query)
        scores = np.clip(cosine, 0.0, 1.0)
        order = np.lexsort((ids, -scores))[offset : offset + limit]
        return [IndexHit(id=str(ids[i]), score=float(scores[i])) for i in order]

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

    def clear(self) -> None:
        """Drops the table, damaged or not, for a rebuild."""
        lance.drop_table(self._folder)

    def _open(self) -> "Table | None":
        table = lance.open_table(self._folder)
        if table is not None:
            schema.check_version(table.schema)
        return table

    def _columns(self, names: list[str]) -> dict[str, list[Any]]:
        table = self._open()
        if table is None:
            return {name: [] for name in names}
        with lance.errors_of(self._folder):
            columns: dict[str, list[Any]] = table.search().select(names).to_arrow().to_pydict()
        return columns

    def _merge(self, batch: "pa.Table") -> None:
        def merge() -> None:
            table = self._open() or lance.create_table(self._folder, batch.schema)
            # LanceDB takes a pending row's null for a bad vector; bad ones were refused in to_arrow.
            table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(
                batch, on_bad_vectors="null"
            )

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
        table = self._open() or lance.create_table(self._folder, schema.arrow_schema(dimension))
        if vector is None:
            return table
        stored = self._embedder_of(table)
        if stored is None:
            return self._with_dimension(table, dimension)
        if stored != embedder:
            raise EmbedderMismatchError(
                f"The index was made with {stored}, not with {embedder}. "
                f"Run `audiolib index --rebuild --embedder {embedder}` to embed all clips again."
            )
        self._check_dimension(table, dimension)
        return table

    def _with_dimension(self, table: "Table", dimension: int) -> "Table":
        """Without stored vectors the column is free to change its size."""
        if schema.vector_dimension(table.schema) != dimension:
            column = schema.arrow_schema(dimension).field("vector")
            with lance.errors_of(self._folder):
                table.drop_columns(["vector"])
                table.add_columns(column)
        return table

    def _check_dimension(self, table: "Table", dimension: int) -> None:
        stored = schema.vector_dimension(table.schema)
        if stored != dimension:
            name = self._embedder_of(table)
            raise EmbedderMismatchError(
                f"A vector of {dimension} numbers does not fit the index, made with {name} ({stored}). "
                "Run `audiolib index --rebuild --embedder NAME` to embed all clips again."
            )

    def _embedder_of(self, table: "Table") -> str | None:
        from lancedb.expr import col, lit

        with lance.errors_of(self._folder):
            # A comparison with null is never true, so this finds the rows that have a vector.
            some = table.search().where(col("embedder") != lit("")).select(["embedder"]).limit(1).to_arrow()
        return str(some["embedder"][0]) if some.num_rows else None

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


def _nearest(table: "Table", query: "np.ndarray", wanted: int) -> "pa.Table":
    """The `wanted` nearest rows and all that tie with the last of them: id, vector, _distance."""
    fetch, total = wanted + 16, max(1, table.count_rows())
    while True:
        fetch = min(fetch, total)
        found = (
            cast(
                Any, table.search(query, vector_column_name="vector")
            )  # declared as the common base of queries
            .distance_type("cosine")
            .bypass_vector_index()
            .select(["id", "vector", "_distance"])
            .limit(fetch)
            .to_arrow()
        )
        distances = found["_distance"].to_numpy()
        if len(found) < fetch or fetch == total or distances[-1] > distances[wanted - 1] + _TIE:
            return found
        fetch *= 4
