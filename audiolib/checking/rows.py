"""Checks of the index: the table can be read in full, and every row says what its sidecar says."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from audiolib.checking.findings import REBUILD, Finding
from audiolib.rowdigests import RowDigest

if TYPE_CHECKING:
    from indexing.schema import IndexRow
    from indexing.store import ClipIndex

_UNIT = 1e-2  # how far the length of a stored unit vector may be from 1


class RowChecks:
    """Looks at every row of the index.

    Args:
        index: The table.
        embedder: The library's embedder.
    """

    def __init__(self, index: "ClipIndex", embedder: str) -> None:
        self._index = index
        self._embedder = embedder

    def findings(self, expected: Mapping[str, RowDigest], known: set[str]) -> Iterator[Finding]:
        """Yield what is wrong with the index.

        Args:
            expected: What the rows should say, by the clip's id.
            known: Ids of all clips with a sidecar, readable or not, or with audio alone.
        """
        from indexing.errors import IndexingError

        findings: list[Finding] = []
        seen: set[str] = set()
        strangers: dict[str, int] = {}
        try:
            if not self._index.spaces():
                if expected:
                    yield _table("table-missing", "The search index is missing.")
                return
            for rows in self._index.rows():
                for row in rows:
                    findings += self._row(row, expected, known, seen)
                    seen.add(row.id)
                    if row.embedder not in (None, self._embedder):
                        strangers[str(row.embedder)] = strangers.get(str(row.embedder), 0) + 1
            self._probe()
        except IndexingError as error:
            yield _table("table-damaged", str(error))
            return
        yield from (
            _table(
                "wrong-embedder",
                f"{'One clip has' if number == 1 else f'{number:,} clips have'} vectors of {name}, "
                f"the library's embedder is {self._embedder}.",
            )
            for name, number in strangers.items()
        )
        yield from findings
        yield from (
            _of_row("row-missing", i, "is not in the search index") for i in sorted(expected.keys() - seen)
        )

    def _row(
        self, row: "IndexRow", expected: Mapping[str, RowDigest], known: set[str], seen: set[str]
    ) -> Iterator[Finding]:
        if row.id in seen:
            yield _of_row("row-doubled", row.id, "is in the search index more than once")
            return
        if row.id not in known:
            yield Finding(
                kind="row-orphaned",
                severity="warning",
                sentence=f"The search index names clip {row.id}, which is not there.",
                clip_id=row.id,
                repair="It is taken out of the index.",
            )
            return
        wanted = expected.get(row.id)
        if wanted is None:
            return  # its sidecar is lost or cannot be read, which is a finding already
        if row.vector is None:
            yield _of_row("vector-missing", row.id, "cannot be found by meaning yet")
        if wanted.sound is not None and row.sound_vector is None:
            yield _of_row("sound-vector-missing", row.id, "cannot be found by its sound yet")
        elif wanted != RowDigest.of_row(row) or not _is_unit(row):
            yield _of_row(
                "row-outdated", row.id, "is in the search index with other words than in its sidecar"
            )

    def _probe(self) -> None:
        """Ask the index once in every way: what helps the search may be damaged while every row is whole."""
        import numpy as np

        self._index.keyword("music", limit=1)
        for space, dimension in self._index.spaces().items():
            self._index.nearest(np.ones(dimension, dtype=np.float32), space=space, limit=1)


def _is_unit(row: "IndexRow") -> bool:
    import numpy as np

    return row.vector is None or abs(float(np.linalg.norm(row.vector)) - 1) < _UNIT


def _table(kind: str, sentence: str) -> Finding:
    return Finding(kind=kind, severity="error", sentence=sentence, repair=REBUILD)  # type: ignore[arg-type]


def _of_row(kind: str, clip_id: str, what: str) -> Finding:
    return Finding(
        kind=kind,  # type: ignore[arg-type]
        severity="warning",
        sentence=f"Clip {clip_id} {what}.",
        clip_id=clip_id,
        repair="Its row is written again.",
    )
