"""The table kept fast: what is due, and doing it.

Every search pays for each small file (0.3 ms) and for each row that no index covers yet (1 µs for vectors, 4 µs for
words). Joining files and taking rows into the indexes pays for itself when enough has come together, so a write
looks at the table's own figures (0.5 ms) and does what is due, or leaves it to a process in the background where
the table is large. The figures behind the numbers here are in docs/scale.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from indexing import facets, schema

if TYPE_CHECKING:
    from lancedb.index import FTS
    from lancedb.table import Table

LARGE_ROWS = 25_000
"""From here on vectors are searched through an index; an exact search takes about 20 ms there."""
INLINE_ROWS = 50_000
"""Up to here upkeep takes less than a second and a write does it itself."""

_FRAGMENTS_KEPT = 20
_ROWS_PER_EXTRA_FRAGMENT = 50_000
_UNINDEXED_KEPT = 2_000
_ROWS_PER_EXTRA_UNINDEXED = 500
# Every column that is filtered by: one without an index costs 10 to 40 ms of a million rows by itself, and beside an
# indexed one 60, because then its values are fetched row by row.
_SCALARS = {
    "id": "BTree",
    "parent_id": "BTree",
    facets.COLUMN: "LabelList",
    "key": "Bitmap",
    "kind": "Bitmap",
    "rating": "Bitmap",
    "has_speech": "Bitmap",
    "duration": "BTree",
    "tempo_bpm": "BTree",
    "loudness_lufs": "BTree",
    "created_at": "BTree",
}
_WITHOUT_FACETS = f"{facets.COLUMN} IS NULL"
# Each optimising adds a part to a vector index, and each part is searched: past this the index is made anew, which
# also fits it to what the table has become.
_SEGMENTS_KEPT = 8
# Older versions serve only readers that began before; none takes an hour.
_VERSIONS_KEPT = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a table needs.

    Attributes:
        rows: In the table.
        join: Small files or rows outside the indexes have come together.
        facets: Rows lack their facets, all or some.
        train: Columns of vectors that need an index made, or made anew, if enough rows have one.
        scalars: Columns of single values that need an index.
    """

    rows: int
    join: bool
    facets: bool
    train: tuple[str, ...]
    scalars: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to do.

        An index for vectors alone is no reason: it comes with other work, and to see that a space holds too few vectors
        for one takes longer than a write (1.7 s of 200,000 rows).
        """
        return self.join or self.facets or bool(self.scalars)


def text_index() -> "FTS":
    """How documents are cut into words: positions, so that phrases can be found."""
    from lancedb.index import FTS

    return FTS(with_position=True, stem=True, remove_stop_words=False, ascii_folding=True)


def furnish(table: "Table") -> None:
    """Gives a table its full text index; made while empty it costs nothing, and new rows are found at once."""
    if "document" not in _indexes(table):
        table.create_index("document", config=text_index())


def due(table: "Table", *, thorough: bool = False) -> Due:
    """What a table needs, by its own figures.

    Args:
        table: As it is now.
        thorough: Whether every small file and every row outside the indexes counts.
    """
    stats: Any = table.stats()  # declared with attributes, comes with keys
    indexes = _indexes(table)
    rows: int = stats["num_rows"]
    fragments = 1 if thorough else _FRAGMENTS_KEPT + rows // _ROWS_PER_EXTRA_FRAGMENT
    unindexed = 0 if thorough else _UNINDEXED_KEPT + rows // _ROWS_PER_EXTRA_UNINDEXED
    outside = max((index.num_unindexed_rows for index in indexes.values()), default=0)
    # The index takes numbers eight at a time; vectors of another length are compared one by one.
    spaces = schema.spaces(table.schema).items()
    columns = [schema.vector_column(space) for space, dimension in spaces if dimension % 8 == 0]
    large = rows >= LARGE_ROWS
    join = stats["fragment_stats"]["num_fragments"] > fragments or outside > unindexed
    return Due(
        rows=rows,
        join=join,
        facets=_lacks_facets(table, large, look=thorough or join or (large and facets.COLUMN not in indexes)),
        train=tuple(name for name in columns if large and _is_worn(indexes.get(name))),
        scalars=tuple(name for name in _SCALARS if large and name not in indexes),
    )


def steps(table: "Table", needed: Due) -> "list[Callable[[Table], None]]":
    """What has to be done to the table, each step to one that was opened anew."""
    # Training covers all rows, so files are joined before.
    todo: list[Callable[[Table], None]] = [_join] if needed.join else []
    todo += [_add_facets] if needed.facets else []
    todo += [_IndexScalar(name) for name in needed.scalars]
    return todo + [_Train(name) for name in needed.train if _filled(table, name)]


def _join(table: "Table") -> None:
    table.optimize(cleanup_older_than=_VERSIONS_KEPT)


def _add_facets(table: "Table") -> None:
    if facets.COLUMN in table.schema.names:
        table.update(where=_WITHOUT_FACETS, values_sql={facets.COLUMN: facets.sql()})
    else:
        table.add_columns({facets.COLUMN: facets.sql()})


@dataclass(frozen=True, slots=True)
class _IndexScalar:
    column: str

    def __call__(self, table: "Table") -> None:
        from lancedb import index

        table.create_index(self.column, config=getattr(index, _SCALARS[self.column])(), replace=True)


@dataclass(frozen=True, slots=True)
class _Train:
    column: str

    def __call__(self, table: "Table") -> None:
        from lancedb.index import IvfRq

        table.create_index(self.column, config=IvfRq(distance_type="cosine"), replace=True)


def _lacks_facets(table: "Table", large: bool, *, look: bool) -> bool:
    """Whether rows lack their facets: all in tables of earlier versions, some where such a version wrote later.

    Args:
        table: The table.
        large: Whether it is to have them.
        look: Whether to look at every row, 130 ms of a million. Until then the index passes by those that lack them, so
            it is made after they got theirs.
    """
    if facets.COLUMN not in table.schema.names:
        return large
    return look and table.count_rows(_WITHOUT_FACETS) > 0


def _is_worn(index: Any) -> bool:
    return index is None or (index.num_segments or 1) > _SEGMENTS_KEPT


def _filled(table: "Table", column: str) -> bool:
    """Whether as many rows have a vector as make an index worth it: most spaces are optional."""
    return table.count_rows(f"`{column}` IS NOT NULL") >= LARGE_ROWS


def _indexes(table: "Table") -> dict[str, Any]:
    return {index.columns[0]: index for index in table.list_indices()}
