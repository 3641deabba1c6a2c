"""A table of clips that were never made, as large as one likes, with all the columns of a real one."""

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexing import facets, lance, schema, upkeep
from indexing.bench.vectors import Crowd, Truth
from indexing.embed import DEFAULT_EMBEDDER

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_CHUNK = 20_000
_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_FIRST_MOMENT = 1_735_689_600_000  # 2025 began
_MODELS = ("facebook/musicgen-small", "facebook/musicgen-medium", "audiolib/starter")

logger = logging.getLogger(__name__)


def build(
    folder: Path, rows: int, *, texts: Sequence[str], vectors: "np.ndarray", queries: "np.ndarray"
) -> tuple[Truth, float]:
    """Makes the table.

    Args:
        folder: Where; it must not hold one yet.
        rows: How many.
        texts: Captions, to be the documents.
        vectors: Their embeddings `(N, D)`; the rows' vectors are drawn around them.
        queries: `(Q, D)` unit vectors, whose exact neighbours are kept.

    Returns:
        The exact neighbours of the queries, and seconds that writing took.
    """
    crowd, truth = Crowd(vectors), Truth(queries)
    table = lance.create_table(folder, schema.arrow_schema(vectors.shape[1]))
    upkeep.furnish(table)
    written = 0.0
    for start, drawn, homes in _chunks(crowd, rows):
        truth.see(drawn, start)
        batch = _batch(start, drawn, [texts[home] for home in homes])
        began = time.perf_counter()
        table.add(batch)
        written += time.perf_counter() - began
        logger.info("%s of %s rows", f"{start + len(drawn):,}", f"{rows:,}")
    return truth, written


def _chunks(crowd: Crowd, rows: int) -> "Iterator[tuple[int, np.ndarray, np.ndarray]]":
    for start in range(0, rows, _CHUNK):
        yield start, *crowd.draw(min(_CHUNK, rows - start))


def row_id(row: int) -> str:
    """The id of a row: a ULID, one a minute, with the row's number in place of chance."""
    number = (_FIRST_MOMENT + 60_000 * row) << 80 | row
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def row_of(id: str) -> int:
    """The row of an id."""
    row = 0
    for character in id[-8:]:
        row = row << 5 | _ALPHABET.index(character)
    return row


def _batch(start: int, vectors: "np.ndarray", documents: Sequence[str]) -> "pa.Table":
    import numpy as np
    import pyarrow as pa

    count = len(vectors)
    choose = np.random.default_rng(start)
    number = choose.integers(0, 1_000_000, size=count)
    models = [_MODELS[n % 3] for n in number]
    tags = [[f"tag {n % 40}", f"mood {n % 7}"] if n % 3 else [] for n in number]
    known: dict[str, Any] = {
        "id": [row_id(start + i) for i in range(count)],
        "document": documents,
        "prompt": documents,
        "title": documents,
        "vector": pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), vectors.shape[1]),
        "embedder": [DEFAULT_EMBEDDER] * count,
        "dimension": np.full(count, vectors.shape[1], dtype=np.int32),
        "path": [f"audio/2026-11/{row_id(start + i)}.wav" for i in range(count)],
        "model": models,
        "seed": number,
        "duration": choose.uniform(2, 60, size=count),
        "sample_rate": np.full(count, 32_000, dtype=np.int32),
        "channels": np.full(count, 1, dtype=np.int32),
        "tags": tags,
        "tag_text": [facets.tag_text(some) for some in tags],
        "rating": pa.array([int(n % 6) or None for n in number], pa.int32()),
        "created_at": [f"2026-{1 + n % 12:02}-{1 + n % 28:02}T{n % 24:02}:00:00.000Z" for n in number],
        "kind": ["imported" if n % 10 == 0 else "generated" for n in number],
        "tempo_bpm": choose.normal(115, 25, size=count).clip(40, 220),
        "key": [f"{_NOTES[n % 12]} {'minor' if n % 2 else 'major'}" for n in number],
        "loudness_lufs": choose.normal(-16, 5, size=count),
        "energy": choose.random(count),
        "has_speech": [None if n % 5 else bool(n % 2) for n in number],
    }
    sources = zip(*(known[name] for name in facets.SOURCES), strict=True)
    known[facets.COLUMN] = [facets.of_row(dict(zip(facets.SOURCES, row, strict=True))) for row in sources]
    columns = schema.arrow_schema(vectors.shape[1])
    arrays = [known.get(column.name, pa.nulls(count, column.type)) for column in columns]
    return pa.Table.from_arrays(
        [pa.array(values, column.type) for values, column in zip(arrays, columns, strict=True)],
        schema=columns,
    )
