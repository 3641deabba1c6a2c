"""The table as a whole: every row read, or all rows replaced in one commit."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from indexing import lance, schema
from indexing.schema import IndexRow

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from lancedb.expr import Expr
    from lancedb.table import Table

_BATCH = 2_000


def rows(table: "Table", where: "Expr | None" = None) -> Iterator[list[IndexRow]]:
    """Every row that passes, in batches, with all that is in it: damage to a data file shows only when it is read."""
    import pyarrow as pa

    search = table.search() if where is None else table.search().where(where)
    for batch in search.to_batches(_BATCH):
        vectors = [
            name for name in batch.schema.names if pa.types.is_fixed_size_list(batch.schema.field(name).type)
        ]
        records = batch.drop_columns(vectors).to_pylist()
        for name in vectors:
            for record, vector in zip(records, _vectors(batch[name]), strict=True):
                record[name] = vector
        yield [schema.from_record(record) for record in records]


def _vectors(column: "pa.FixedSizeListArray") -> "list[np.ndarray | None]":
    """Vectors as arrays rather than as lists of numbers, which would take most of the time."""
    flat = column.values.to_numpy(zero_copy_only=False)
    matrix = flat.reshape(-1, column.type.list_size)[column.offset : column.offset + len(column)]
    return [row if there else None for row, there in zip(matrix, column.is_valid().to_pylist(), strict=True)]


def replace(
    folder: Path, batches: Iterable[Sequence[IndexRow]], *, dimension: int, spaces: Mapping[str, int]
) -> "Table":
    """Replaces all rows, or makes the table, in one commit: readers see the old rows until the new are all there.

    Rows that others write meanwhile are lost; the caller writes them again.

    Args:
        folder: The index.
        batches: The new rows, drawn while they are written; no id twice.
        dimension: Numbers in a vector of the text space.
        spaces: The sound spaces that rows may have vectors in, and their dimensions.

    Raises:
        IndexingError: A value does not fit its column, or the table cannot be written; the old rows are there.
    """
    import pyarrow as pa

    columns = schema.arrow_schema(dimension)
    for space, numbers in spaces.items():
        columns = columns.append(schema.vector_field(space, numbers))
    with lance.errors_of(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # By way of a nameless file: LanceDB would draw rows in a thread of its own, where models cannot run, and
    # nothing but this file must be given up when drawing them fails.
    with tempfile.TemporaryFile(dir=folder) as scratch, pa.ipc.new_stream(scratch, columns) as writer:
        for some in batches:
            tables = list(_tables(some, columns))
            with lance.errors_of(folder):
                for table in tables:
                    writer.write_table(table)
        with lance.errors_of(folder):
            writer.close()
            scratch.seek(0)
            return lance.overwrite_table(folder, pa.ipc.open_stream(scratch))


def _tables(rows: Sequence[IndexRow], columns: "pa.Schema") -> "Iterator[pa.Table]":
    by_sound: dict[str | None, list[IndexRow]] = {}
    for row in rows:
        by_sound.setdefault(row.sound_space, []).append(row)
    for alike in by_sound.values():
        yield _filled(schema.to_arrow(alike, columns), columns)


def _filled(table: "pa.Table", columns: "pa.Schema") -> "pa.Table":
    """The table with all columns; those that it lacks hold nothing."""
    import pyarrow as pa

    arrays = [
        table[column.name] if column.name in table.schema.names else pa.nulls(len(table), column.type)
        for column in columns
    ]
    return pa.table(arrays, schema=columns)
