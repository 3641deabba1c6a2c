"""The columns of the one table, and rows in and out of Arrow.

Vectors live in named spaces, one column each: `text` is the embedded document, in the column `vector`; a space
that comes later (how a clip sounds, CLAP) is a column `space_<name>`, made when its first vector is written.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from indexing import facets
from indexing.errors import IndexDamagedError, IndexingError
from indexing.transcribe import Segment

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SCHEMA_VERSION = 2
DEFAULT_DIMENSION = 384
TEXT_SPACE = "text"
_SPACE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")
_SPACE_PREFIX = "space_"
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
        sound_vector: `(S,)` float32, how the clip sounds, in the space `sound_space`; both or neither. A row
            that is written without one leaves the one that is stored.
        parent_id: The clip this one is a variation of.
        brightness_hz: Spectral centroid; `energy` and `percussive_share` are 0 to 1, `onset_density` is a second.
        has_speech: None while nobody has listened.
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
    sound_vector: "np.ndarray | None" = field(default=None, compare=False)
    sound_space: str | None = None
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
    brightness_hz: float | None = None
    energy: float | None = None
    onset_density: float | None = None
    percussive_share: float | None = None
    has_speech: bool | None = None
    sha256: str | None = None
    audio_sha256: str | None = None
    license: str | None = None


def arrow_schema(dimension: int = DEFAULT_DIMENSION) -> "pa.Schema":
    """The schema of a new table for text vectors of `dimension` numbers."""
    import pyarrow as pa

    def text(*names: str) -> "list[pa.Field]":
        return [pa.field(name, pa.string()) for name in names]

    def number(*names: str) -> "list[pa.Field]":
        return [pa.field(name, pa.float64()) for name in names]

    segment = pa.struct([("start", pa.float64()), ("end", pa.float64()), ("text", pa.string())])
    columns = [
        pa.field("id", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
        *text("document"),
        vector_field(TEXT_SPACE, dimension),
        *text("embedder"),
        pa.field("dimension", pa.int32()),
        *text("sound_space", "path", "prompt", "title", "model"),
        pa.field("seed", pa.int64()),
        *number("duration"),
        pa.field("sample_rate", pa.int32()),
        pa.field("channels", pa.int32()),
        pa.field("tags", pa.list_(pa.string())),
        *text("tag_text"),
        pa.field(facets.COLUMN, pa.list_(pa.string())),
        pa.field("rating", pa.int32()),
        *text("created_at", "kind", "parent_id", "transcript", "language"),
        pa.field("segments", pa.list_(segment)),
        *number("tempo_bpm"),
        *text("key"),
        *number("loudness_lufs", "brightness_hz", "energy", "onset_density", "percussive_share"),
        pa.field("has_speech", pa.bool_()),
        *text("sha256", "audio_sha256", "license"),
    ]
    return pa.schema(columns, metadata={_VERSION_KEY: str(SCHEMA_VERSION).encode()})


def vector_column(space: str) -> str:
    """The name of a space's column.

    Raises:
        ValueError: No name of a space: lower case letters, digits, `-` and `_`.
    """
    if space == TEXT_SPACE:
        return "vector"
    if not _SPACE_NAME.fullmatch(space):
        raise ValueError(f"{space!r} is no name of a space: lower case letters, digits, - and _ make one")
    return _SPACE_PREFIX + space


def vector_field(space: str, dimension: int) -> "pa.Field":
    """The column of a space for vectors of `dimension` numbers."""
    import pyarrow as pa

    return pa.field(vector_column(space), pa.list_(pa.float32(), dimension))


def spaces(schema: "pa.Schema") -> dict[str, int]:
    """The spaces of a table and their dimensions; the text's may be missing where its column was to be made anew."""
    found = {}
    for column in schema:
        if column.name == "vector":
            found[TEXT_SPACE] = int(column.type.list_size)
        elif column.name.startswith(_SPACE_PREFIX):
            found[column.name.removeprefix(_SPACE_PREFIX)] = int(column.type.list_size)
    return found


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


def to_arrow(rows: Sequence[IndexRow], schema: "pa.Schema") -> "pa.Table":
    """Rows as an Arrow table with the columns of a table that they fill.

    Args:
        rows: With sound vectors of one space, or all without.
        schema: The table's, with that space.

    Raises:
        IndexingError: A value does not fit its column (a number too large, lone surrogates in a text,
            a vector that is not as many finite numbers as its space has, not all zero).
    """
    import pyarrow as pa

    sound = next((row.sound_space for row in rows if row.sound_space), None)
    dimensions = spaces(schema)
    records = [_to_record(row, dimensions, sound) for row in rows]
    # Columns that are left out keep what they hold.
    left_out = {vector_column(space) for space in dimensions} - {"vector"}
    left_out -= {vector_column(sound)} if sound else set()
    left_out |= set() if sound else {"sound_space"}
    columns = pa.schema([column for column in schema if column.name not in left_out])
    table = _table(records, pa.schema([column for column in columns if column.name != facets.COLUMN]))
    return with_facets(table, columns).select(columns.names)


def lacks_facets(rows: "pa.Table") -> bool:
    """Whether rows were made for a table without facets; what changes vectors alone has none to lack."""
    return "tag_text" in rows.schema.names and facets.COLUMN not in rows.schema.names


def with_facets(rows: "pa.Table", schema: "pa.Schema") -> "pa.Table":
    """Rows that were brought into columns without facets, with them where the table has got them since."""
    import pyarrow as pa

    if not lacks_facets(rows) or facets.COLUMN not in schema.names:
        return rows
    column = schema.field(facets.COLUMN)
    values = [facets.of_row(row) for row in rows.select(list(facets.SOURCES)).to_pylist()]
    return rows.append_column(column, pa.array(values, column.type))


def vectors_to_arrow(space: str, vectors: "Mapping[str, np.ndarray]", dimension: int) -> "pa.Table":
    """Ids and vectors alone, `(dimension,)` each, as an Arrow table.

    Raises:
        IndexingError: A vector is not `dimension` finite numbers, not all zero.
    """
    import pyarrow as pa

    name = vector_column(space)
    records = [{"id": id, name: _checked(vector, dimension, id)} for id, vector in vectors.items()]
    return _table(records, pa.schema([arrow_schema().field("id"), vector_field(space, dimension)]))


def _table(records: list[dict[str, Any]], columns: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    try:
        return pa.Table.from_pylist(records, schema=columns)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError, ValueError) as error:
        raise IndexingError(f"A clip does not fit the search index: {error}.") from error


def _to_record(row: IndexRow, dimensions: Mapping[str, int], sound: str | None) -> dict[str, Any]:
    record: dict[str, Any] = {item.name: getattr(row, item.name) for item in fields(row)}
    record |= {"tags": list(row.tags), "tag_text": facets.tag_text(row.tags)}
    record |= {"segments": [asdict(s) for s in row.segments], "dimension": None}
    if (row.vector is None) != (row.embedder is None):
        raise IndexingError(f"Clip {row.id} has a vector without its embedder's name, or the name alone.")
    if (row.sound_vector is None) != (row.sound_space is None):
        raise IndexingError(f"Clip {row.id} has a sound vector without its space's name, or the name alone.")
    if row.vector is not None:
        vector = _checked(row.vector, dimensions[TEXT_SPACE], row.id)
        record |= {"vector": vector, "dimension": len(vector)}
    if sound is not None and row.sound_vector is not None:
        record[vector_column(sound)] = _checked(row.sound_vector, dimensions[sound], row.id)
    return record


def _checked(vector: "np.ndarray", dimension: int, id: str) -> "np.ndarray":
    import numpy as np

    numbers = np.asarray(vector, dtype=np.float32)
    if numbers.shape != (dimension,) or not np.isfinite(numbers).all() or not numbers.any():
        raise IndexingError(f"A vector of clip {id} is not {dimension} finite numbers, some not 0.")
    return numbers


def from_record(record: Mapping[str, Any]) -> IndexRow:
    """The row that a record of the table holds; columns of later versions are left out."""
    import numpy as np

    known = {item.name: record[item.name] for item in fields(IndexRow) if item.name in record}
    space = known.get("sound_space")
    stored = {"vector": known.get("vector"), "sound_vector": record[vector_column(space)] if space else None}
    for name, vector in stored.items():
        known[name] = None if vector is None else np.asarray(vector, dtype=np.float32)
    known["tags"] = tuple(known.get("tags") or ())
    known["segments"] = tuple(Segment(**segment) for segment in known.get("segments") or ())
    return IndexRow(**known)
