"""Questions to the open table: nearest rows, words, filters, columns. Only store.py asks them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from indexing import schema
from indexing.conditions import resolved

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from lancedb.query import FullTextQuery
    from lancedb.table import Table

    from indexing.conditions import Where

# Two float32 cosine distances this near may be the same one.
_TIE = 1e-5
# Of an index over a million rows this finds 99.5 % of the ten nearest; what it finds is compared exactly.
_PROBES = 40
# With filters the nearest that pass lie further out. Where they are fewer than wanted, all partitions are searched.
_FILTERED_PROBES = 80
_REFINED = 300
# So few that pass a filter are compared one by one sooner than all partitions are gone through.
_COMPARED = 2_000
# Further down the ranking an index loses too many.
_MOST_BY_INDEX = 1_000
# An expression with very many literals is slow to plan.
IDS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRow:
    """A row that was found, with what else of it was asked for.

    Attributes:
        id: The clip's id.
        cosine: Of its vector and the query's, -1 to 1; None without one of them.
        bm25: How well its document matches, where words were looked for.
        document: The document, where it was asked for.
        vector: `(D,)` of the row, where a cosine to it was asked for.
    """

    id: str
    cosine: float | None = None
    bm25: float | None = None
    document: str | None = None
    vector: "np.ndarray | None" = field(default=None, compare=False, repr=False)


def nearest(
    table: "Table",
    space: str,
    query: "np.ndarray",
    *,
    where: "Where | None",
    wanted: int,
    documents: bool = False,
) -> list[FoundRow]:
    """The `wanted` rows nearest to a vector, best first, equals by id.

    More than `wanted` come back where several tie with the last one.
    """
    import numpy as np

    column = schema.vector_column(space)
    columns = ["id", column, "_distance", *(["document"] if documents else [])]
    found = _candidates(table, column, query.astype(np.float32), where, wanted, columns)
    texts = found["document"].to_pylist() if documents else [None] * len(found)
    rows = [
        FoundRow(id=id, cosine=cosine, document=text, vector=vector)
        for id, (cosine, vector), text in zip(
            found["id"].to_pylist(), _compared(found[column], query), texts, strict=True
        )
    ]
    return sorted(rows, key=lambda row: (-(row.cosine or 0.0), row.id))


def _candidates(
    table: "Table",
    column: str,
    query: "np.ndarray",
    where: "Where | None",
    wanted: int,
    columns: Sequence[str],
) -> "pa.Table":
    """The `wanted` nearest rows and all that tie with the last of them.

    Through the vector index where there is one, which rows that came after it pass by: they are compared as well.
    """
    fetch, total = wanted + 16, max(1, table.count_rows())
    probes, exact = _PROBES if where is None else _FILTERED_PROBES, False
    while True:
        fetch = min(fetch, total)
        # Declared as the common base of queries.
        search = cast(Any, table.search(query, vector_column_name=column)).distance_type("cosine")
        if fetch > _MOST_BY_INDEX or exact:
            search = search.bypass_vector_index()
        else:  # without an index this changes nothing
            search = search.nprobes(probes or 1).refine_factor(max(3, _REFINED // fetch))
            if not probes:
                search = search.maximum_nprobes(0)
        found = _filtered(table, search, where).select(list(columns)).limit(fetch).to_arrow()
        if len(found) < fetch and where is not None and probes:
            passing = count(table, where)
            if passing > len(found):
                probes = 0  # few rows pass, so all partitions have to be gone through
                exact = passing <= _COMPARED
                continue
        distances = found["_distance"].to_numpy()
        if len(found) < fetch or fetch == total or distances[-1] > distances[wanted - 1] + _TIE:
            return found
        fetch *= 4


def keyword(
    table: "Table",
    query: "FullTextQuery | str",
    *,
    where: "Where | None",
    limit: int,
    near: "np.ndarray | None" = None,
    documents: bool = False,
) -> list[FoundRow]:
    """The rows whose document has words of the query, by BM25, best first, equals by id.

    Args:
        table: The table.
        query: Words, or one of LanceDB's full text queries.
        where: Only rows that this is true for.
        limit: How many at most.
        near: `(D,)` of the text space; with it the rows tell how near to it they are.
        documents: Whether they bring their documents.
    """
    search = table.search(query, query_type="fts", fts_columns="document")
    columns = [
        "id",
        "_score",
        *(["document"] if documents else []),
        *(["vector"] if near is not None else []),
    ]
    found = _filtered(table, search, where).select(columns).limit(limit).to_arrow()
    rows = [
        FoundRow(id=id, bm25=score, cosine=cosine, document=text, vector=vector)
        for id, score, (cosine, vector), text in zip(
            found["id"].to_pylist(),
            found["_score"].to_pylist(),
            [(None, None)] * len(found) if near is None else _compared(found["vector"], near),
            found["document"].to_pylist() if documents else [None] * len(found),
            strict=True,
        )
    ]
    return sorted(rows, key=lambda row: (-(row.bm25 or 0.0), row.id))


def select(
    table: "Table",
    *,
    where: "Where | None",
    sort: str | None,
    descending: bool,
    limit: int | None,
    offset: int,
) -> list[str]:
    """Ids of the rows that pass a filter, by a column's value and then by id; unknown values come last."""
    import pyarrow.compute as pc

    names = ["id"] if sort in (None, "id") else ["id", str(sort)]
    found = columns(table, names, where=where)
    way = "descending" if descending else "ascending"
    keys = [(name, way if name == sort else "ascending", "at_end") for name in reversed(names)]
    order = pc.sort_indices(found, sort_keys=keys)
    stop = None if limit is None else offset + limit
    return [str(id) for id in found["id"].take(order[offset:stop]).to_pylist()]


def columns(table: "Table", names: Sequence[str], *, where: "Where | None" = None) -> "pa.Table":
    """Columns of the rows that pass a filter."""
    return _filtered(table, table.search(), where).select(list(names)).to_arrow()


def completed(table: "Table", rows: "pa.Table") -> "pa.Table":
    """Rows with the columns that they leave out, holding what is stored under their ids.

    A merge of some columns alone writes whole files of the table anew and takes them out of every index: 20 s for
    one row of a million, instead of 50 ms.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from lancedb.expr import col

    missing = [name for name in table.schema.names if name not in rows.schema.names]
    if not missing:
        return rows
    stored = columns(table, ["id", *missing], where=col("id").isin(rows["id"].to_pylist()))
    places = pc.index_in(rows["id"].combine_chunks(), stored["id"].combine_chunks())
    held = stored.select(missing).take(places)
    found = {name: (held if name in missing else rows)[name] for name in table.schema.names}
    return pa.table(found, schema=table.schema)


def vectors(table: "Table", space: str) -> "tuple[list[str], np.ndarray]":
    """Ids and vectors `(N, D)` float32 of the rows that have one in a space."""
    column = schema.vector_column(space)
    found = columns(table, ["id", column])
    found = found.filter(found[column].is_valid())
    flat = found[column].combine_chunks().flatten().to_numpy()
    return found["id"].to_pylist(), flat.reshape(len(found), schema.spaces(table.schema)[space])


def similarities(table: "Table", space: str, query: "np.ndarray", ids: Sequence[str]) -> dict[str, float]:
    """Cosines of given rows to a vector; rows without one in this space are left out."""
    from lancedb.expr import col

    column = schema.vector_column(space)
    result: dict[str, float] = {}
    for start in range(0, len(ids), IDS_AT_ONCE):
        some = list(ids[start : start + IDS_AT_ONCE])
        found = columns(table, ["id", column], where=col("id").isin(some))
        pairs = zip(found["id"].to_pylist(), _compared(found[column], query), strict=True)
        result |= {id: cosine for id, (cosine, _) in pairs if cosine is not None}
    return result


def count(table: "Table", where: "Where") -> int:
    """How many rows pass a filter: 1 to 5 ms of a million by their indexes."""
    condition = resolved(where, table)
    filter = condition if condition is None or isinstance(condition, str) else condition.to_sql()
    return table.count_rows(filter)


def _filtered(table: "Table", search: Any, where: "Where | None") -> Any:
    condition = resolved(where, table)
    return search if condition is None else search.where(condition, prefilter=True)


def cosines(vectors: "np.ndarray", query: "np.ndarray") -> list[float]:
    """Cosines of `(N, D)` vectors to a vector `(D,)`."""
    import numpy as np

    stored = vectors.astype(np.float64)
    # Row by row rather than as a matrix product, so that equal vectors get equal scores.
    found = (stored * query).sum(axis=1) / (np.linalg.norm(stored, axis=1) * np.linalg.norm(query))
    return cast("list[float]", found.tolist())


def _compared(
    column: "pa.ChunkedArray", query: "np.ndarray"
) -> "list[tuple[float, np.ndarray] | tuple[None, None]]":
    """For each of a column of N vectors its cosine to a vector and itself; None twice where a row has none."""
    flat = column.drop_null().combine_chunks().flatten().to_numpy()
    stored = flat.reshape(-1, len(query))
    known = iter(zip(cosines(stored, query), stored, strict=True))
    return [next(known) if there else (None, None) for there in column.is_valid().to_pylist()]
