"""The table of clips: rows in and out, vectors, upkeep."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from indexing import background, facets, lance, lookup, schema, upkeep, whole
from indexing.errors import EmbedderMismatchError, IndexingError
from indexing.reading import IndexHit, TableReader, check_dimension, embedder_of
from indexing.schema import TEXT_SPACE, IndexRow

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from lancedb.table import Table

_BATCH = 1_000
_MERGE_LOCK_NAME = ".merge"

__all__ = ["ClipIndex", "IndexHit"]

logger = logging.getLogger(__name__)


class ClipIndex(TableReader):
    """The search index of one library; derived from its files, so it may be dropped and rebuilt.

    Safe with several processes: a row stays one row whoever writes it, and every call sees what was
    committed before it. Every method but `clear` raises `IndexDamagedError` when the table is unreadable or
    of another version.
    """

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
        schema.vector_column(space)  # refuses what is no name
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

    def optimise(self) -> None:
        """Joins small files, takes all rows into the indexes, makes those that are due, drops old versions.

        Takes half a minute for the first million rows.

        Raises:
            IndexingError: Other processes kept the table busy.
        """
        self._ask(lambda table: self._keep_up(table, upkeep.due(table, thorough=True)), None)

    def replace(
        self, batches: Iterable[Sequence[IndexRow]], *, dimension: int, spaces: Mapping[str, int]
    ) -> None:
        """Replaces all rows in one commit, whatever state the table is in; see `whole.replace`."""
        whole.replace(self._folder, batches, dimension=dimension, spaces=spaces)
        with lance.errors_of(self._folder):
            self._furnish()
        self.optimise()

    def clear(self) -> None:
        """Drops the table, damaged or not, for a rebuild."""
        lance.drop_table(self._folder)

    def _create(self, columns: "pa.Schema") -> "Table":
        table = lance.create_table(self._folder, columns)
        with lance.errors_of(self._folder):
            self._furnish()
        return table

    def _merge(self, batch: "pa.Table", *, insert: bool = True) -> None:
        def merge() -> None:
            table = self._open() or self._create(batch.schema)
            rows = lookup.completed(table, schema.with_facets(batch, table.schema))
            builder = table.merge_insert("id").when_matched_update_all()
            if insert:
                builder = builder.when_not_matched_insert_all()
            # LanceDB takes a pending row's null for a bad vector; bad ones were refused in to_arrow.
            builder.execute(rows, on_bad_vectors="null")
            # Upkeep may have given the table its facets in between, which LanceDB takes for no conflict.
            if schema.lacks_facets(rows) and (now := self._open()) and facets.COLUMN in now.schema.names:
                merge()

        # LanceDB makes a merge again by itself after another one, with rows that were completed before that.
        with self._alone():
            lance.retry(self._folder, merge)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Writers of rows and of their column of vectors take turns."""
        from filelock import FileLock

        with lance.errors_of(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / _MERGE_LOCK_NAME):
                yield

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
            stored = embedder_of(table)
        if stored is None:
            table = self._with_dimension(dimension)
        elif stored != embedder:
            raise EmbedderMismatchError(
                f"The index was made with {stored}, not with {embedder}. "
                f"Run `audiolib index --rebuild --embedder {embedder}` to embed all clips again."
            )
        check_dimension(table, TEXT_SPACE, dimension)
        return table

    def _with_dimension(self, dimension: int) -> "Table":
        """The table with a column for text vectors of a size; without stored vectors it is free to change."""

        def fit() -> "Table":
            current = self._open() or self._create(schema.arrow_schema(dimension))
            stored = schema.spaces(current.schema).get(TEXT_SPACE)
            if stored == dimension or embedder_of(current) is not None:
                return current
            if stored is not None:  # None where a process ended between this and the next line
                current.drop_columns(["vector"])
            current.add_columns(schema.vector_field(TEXT_SPACE, dimension))
            return current

        with self._alone():
            return lance.retry(self._folder, fit)

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
        check_dimension(table, space, dimension)
        return table

    def _tidy(self) -> None:
        """Does what writes have made due, here or in the background; a busy table is left for the next time."""
        try:
            self._ask(self._tidy_table, None)
        except IndexingError as error:
            logger.info("The search index was not tidied: %s", error)

    def _tidy_table(self, table: "Table") -> None:
        needed = upkeep.due(table)
        if needed and needed.rows > upkeep.INLINE_ROWS:
            background.start(self._folder)
        elif needed:
            self._keep_up(table, needed)

    def _keep_up(self, table: "Table", needed: upkeep.Due) -> None:
        def do(step: "Callable[[Table], None]") -> None:
            # Opened at each attempt: an old handle would conflict for ever.
            if (current := self._open()) is not None:
                step(current)

        for step in upkeep.steps(table, needed):
            lance.retry(self._folder, partial(do, step))
