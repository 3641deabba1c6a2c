"""The columns of the one table, and rows in and out of Arrow."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from indexing.errors import IndexDamagedError, IndexingError
from indexing.transcribe import Segment

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SCHEMA_VERSION = 1
DEFAULT_DIMENSION = 384
_VERSION_KEY = b"audiolib.index.version"

# Lance reads the table's key from here. With it, two processes that insert the same new id at once leave
# one row; set at creation, so that there is no moment without it.
_PRIMARY_KEY = {b"lance-schema:unenforced-primary-key:position": b"1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """One clip as the table knows it; None where a thing is unknown.

    Attributes:
        id: The clip's id; the table's key.
        document: The text that was or will be embedded.
        vector: `(D,)` float32, or None while the embedding is pending.
        embedder: Name of the embedder the vector was made with; None exactly when `vector` is.
        path: Audio file, relative to the library, with forward slashes.
        duration: Seconds.
        created_at: ISO 8601, UTC.
        kind: `generated` or `imported`.
        parent_id: The clip this one is a variation of.
        segments: The transcript's parts with their times.
        sha256: Digest of the file; `audio_sha256` that of its decoded samples.
        license: Licence of the model that made the clip.
    """

    id: str
    document: str
    path: str
    duration: float
    sample_rate: int
    channels: int
    created_at: str
    kind: str
    vector: "np.ndarray | None" = field(default=None, compare=False)
    embedder: str | None = None
    prompt: str | None = None
    title: str | None = None
    model: str | None = None
    seed: int | None = None
    tags: tuple[str, ...] = ()
    rating: int | None = None
    parent_id: str | None = None
    transcript: str | None = None
    language: str | None = None
    segments: tuple[Segment, ...] = ()
    tempo_bpm: float | None = None
    key: str | None = None
    loudness_lufs: float | None = None
    sha256: str | None = None
    audio_sha256: str | None = None
    license: str | None = None


def arrow_schema(dimension: int = DEFAULT_DIMENSION) -> "pa.Schema":
    """The table's schema for vectors of `dimension` numbers."""
    import pyarrow as pa

    def text(name: str) -> "pa.Field":
        return pa.field(name, pa.string())

    segment = pa.struct([("start", pa.float64()), ("end", pa.float64()), ("text", pa.string())])
    columns = [
        pa.field("id", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
        text("document"),
        pa.field("vector", pa.list_(pa.float32(), dimension)),
        text("embedder"),
        pa.field("dimension", pa.int32()),
        *map(text, ("path", "prompt", "title", "model")),
        pa.field("seed", pa.int64()),
        pa.field("duration", pa.float64()),
        pa.field("sample_rate", pa.int32()),
        pa.field("channels", pa.int32()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("rating", pa.int32()),
        *map(text, ("created_at", "kind", "parent_id", "transcript", "language")),
        pa.field("segments", pa.list_(segment)),
        pa.field("tempo_bpm", pa.float64()),
        text("key"),
        pa.field("loudness_lufs", pa.float64()),
        *map(text, ("sha256", "audio_sha256", "license")),
    ]
    return pa.schema(columns, metadata={_VERSION_KEY: str(SCHEMA_VERSION).encode()})


def check_version(schema: "pa.Schema") -> None:
    """Refuses a table of another version; the table is derived, so rebuilding is the migration.

    Raises:
        IndexDamagedError: The version is missing or not this one.
    """
    found = (schema.metadata or {}).get(_VERSION_KEY, b"none").decode()
    if found != str(SCHEMA_VERSION):
        raise IndexDamagedError(
            f"The search index has format {found}, this version of audiolib writes {SCHEMA_VERSION}. "
            "Run `audiolib index --rebuild`."
        )


def vector_dimension(schema: "pa.Schema") -> int:
    """Numbers in a vector of the table."""
    return int(schema.field("vector").type.list_size)


def to_arrow(rows: Sequence[IndexRow], dimension: int) -> "pa.Table":
    """Rows as an Arrow table in `arrow_schema(dimension)`.

    Raises:
        IndexingError: A value does not fit its column (a number too large, lone surrogates in a text,
            a vector that is not `(dimension,)` finite numbers, not all zero).
    """
    import pyarrow as pa

    records = [_to_record(row, dimension) for row in rows]
    try:
        return pa.Table.from_pylist(records, schema=arrow_schema(dimension))
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError, ValueError) as error:
        raise IndexingError(f"A clip does not fit the search index: {error}.") from error


def _to_record(row: IndexRow, dimension: int) -> dict[str, Any]:
    import numpy as np

    record: dict[str, Any] = {item.name: getattr(row, item.name) for item in fields(row)}
    record |= {"tags": list(row.tags), "segments": [asdict(s) for s in row.segments], "dimension": None}
    if (row.vector is None) != (row.embedder is None):
        raise IndexingError(f"Clip {row.id} has a vector without its embedder's name, or the name alone.")
    if row.vector is not None:
        vector = np.asarray(row.vector, dtype=np.float32)
        if vector.shape != (dimension,) or not np.isfinite(vector).all() or not vector.any():
            raise IndexingError(f"The vector of clip {row.id} is not {dimension} finite numbers, some not 0.")
        record |= {"vector": vector, "dimension": dimension}
    return record


def from_record(record: Mapping[str, Any]) -> IndexRow:
    """The row that a record of the table holds; columns of later versions are left out."""
    import numpy as np

    known = {item.name: record[item.name] for item in fields(IndexRow) if item.name in record}
    vector = known.get("vector")
    known["vector"] = None if vector is None else np.asarray(vector, dtype=np.float32)
    known["tags"] = tuple(known.get("tags") or ())
    known["segments"] = tuple(Segment(**segment) for segment in known.get("segments") or ())
    return IndexRow(**known)
