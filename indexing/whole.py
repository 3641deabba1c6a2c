"""The table as a whole: every row read, or all rows replaced in one commit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from indexing import lance, schema
from indexing.schema import IndexRow

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.table import Table

_BATCH = 2_000


def rows(table: "Table") -> Iterator[list[IndexRow]]:
    """Every row, in batches, with all that is in it: damage to a data file shows only when it is read."""
    for batch in table.search().to_batches(_BATCH):
        yield [schema.from_record(record) for record in batch.to_pylist()]


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
    failures: list[Exception] = []
    drawn = _drawn(batches, columns, failures)
    with lance.errors_of(folder):
        try:
            return lance.overwrite_table(folder, pa.RecordBatchReader.from_batches(columns, drawn))
        except (RuntimeError, ValueError, OSError):
            if failures:  # LanceDB hands on no more than its text
                raise failures[0] from None
            raise


def _drawn(
    batches: Iterable[Sequence[IndexRow]], columns: "pa.Schema", failures: list[Exception]
) -> "Iterator[pa.RecordBatch]":
    try:
        for some in batches:
            by_sound: dict[str | None, list[IndexRow]] = {}
            for row in some:
                by_sound.setdefault(row.sound_space, []).append(row)
            for alike in by_sound.values():
                yield from _filled(schema.to_arrow(alike, columns), columns).to_batches()
    except Exception as error:
        failures.append(error)
        raise


def _filled(table: "pa.Table", columns: "pa.Schema") -> "pa.Table":
    """The table with all columns; those that it lacks hold nothing."""
    import pyarrow as pa

    arrays = [
        table[column.name] if column.name in table.schema.names else pa.nulls(len(table), column.type)
        for column in columns
    ]
    return pa.table(arrays, schema=columns)
