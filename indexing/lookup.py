"""Questions to the open table: nearest rows, words, filters, columns. Only store.py asks them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from indexing import schema

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from lancedb.expr import Expr
    from lancedb.query import FullTextQuery
    from lancedb.table import Table

# Two float32 cosine distances this near may be the same one.
_TIE = 1e-5
# Of an index over a million rows this finds 99.5 % of the ten nearest; what it finds is compared exactly.
_PROBES = 40
_REFINED = 300
# Further down the ranking an index loses too many.
_MOST_BY_INDEX = 1_000
# An expression with very many literals is slow to plan.
_IDS_AT_ONCE = 1_000


def nearest(
    table: "Table", space: str, query: "np.ndarray", *, where: "Expr | None", wanted: int
) -> "tuple[np.ndarray, np.ndarray]":
    """Ids `(N,)` and cosines `(N,)` of the `wanted` rows nearest to a vector, best first, equals by id.

    More than `wanted` come back where several tie with the last one.
    """
    import numpy as np

    found = _candidates(table, schema.vector_column(space), query.astype(np.float32), where, wanted)
    ids = np.array(found["id"].to_pylist(), dtype=object)
    scores = _cosines(found[schema.vector_column(space)], query)
    order = np.lexsort((ids, -scores))
    return ids[order], scores[order]


def _candidates(
    table: "Table", column: str, query: "np.ndarray", where: "Expr | None", wanted: int
) -> "pa.Table":
    """The `wanted` nearest rows and all that tie with the last of them: id, vector, _distance.

    Through the vector index where there is one, which rows that came after it pass by: they are compared as well.
    """
    fetch, total = wanted + 16, max(1, table.count_rows())
    while True:
        fetch = min(fetch, total)
        # Declared as the common base of queries.
        search = cast(Any, table.search(query, vector_column_name=column)).distance_type("cosine")
        if fetch > _MOST_BY_INDEX:
            search = search.bypass_vector_index()
        else:  # without an index this changes nothing
            refine = max(3, _REFINED // fetch)
            search = search.nprobes(_PROBES).refine_factor(refine)
            if where is not None:  # until enough rows pass; being ready for that takes half as long again
                search = search.maximum_nprobes(0)
        found = _filtered(search, where).select(["id", column, "_distance"]).limit(fetch).to_arrow()
        distances = found["_distance"].to_numpy()
        if len(found) < fetch or fetch == total or distances[-1] > distances[wanted - 1] + _TIE:
            return found
        fetch *= 4


def keyword(
    table: "Table", query: "FullTextQuery | str", *, where: "Expr | None", limit: int
) -> list[tuple[str, float]]:
    """Ids and BM25 scores of the rows whose document has words of the query, best first, equals by id."""
    search = table.search(query, query_type="fts", fts_columns="document")
    found = _filtered(search, where).select(["id", "_score"]).limit(limit).to_arrow()
    pairs = zip(found["id"].to_pylist(), found["_score"].to_pylist(), strict=True)
    return sorted(((str(id), float(score)) for id, score in pairs), key=lambda pair: (-pair[1], pair[0]))


def select(
    table: "Table",
    *,
    where: "Expr | None",
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


def columns(table: "Table", names: Sequence[str], *, where: "Expr | None" = None) -> "pa.Table":
    """Columns of the rows that pass a filter."""
    return _filtered(table.search(), where).select(list(names)).to_arrow()


def vectors(table: "Table", space: str) -> "tuple[list[str], np.ndarray]":
    """Ids and vectors `(N, D)` float32 of the rows that have one in a space."""
    column = schema.vector_column(space)
    found = columns(table, ["id", column])
    found = found.filter(found[column].is_valid())
    flat = found[column].combine_chunks().flatten().to_numpy()
    return found["id"].to_pylist(), flat.reshape(len(found), -1)


def similarities(table: "Table", space: str, query: "np.ndarray", ids: Sequence[str]) -> dict[str, float]:
    """Cosines of given rows to a vector; rows without one in this space are left out."""
    from lancedb.expr import col

    column = schema.vector_column(space)
    result: dict[str, float] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = list(ids[start : start + _IDS_AT_ONCE])
        found = columns(table, ["id", column], where=col("id").isin(some))
        found = found.filter(found[column].is_valid())
        result |= zip(found["id"].to_pylist(), map(float, _cosines(found[column], query)), strict=True)
    return result


def _filtered(search: Any, where: "Expr | None") -> Any:
    return search if where is None else search.where(where, prefilter=True)


def _cosines(vectors: "pa.ChunkedArray", query: "np.ndarray") -> "np.ndarray":
    """Cosines `(N,)` of a column of N vectors to a vector."""
    import numpy as np

    flat = vectors.combine_chunks().flatten().to_numpy()
    stored = flat.reshape(len(vectors), len(query)).astype(np.float64)
    # Row by row rather than as a matrix product, so that equal vectors get equal scores.
    return np.asarray((stored * query).sum(axis=1) / (np.linalg.norm(stored, axis=1) * np.linalg.norm(query)))
