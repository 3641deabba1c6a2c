"""Parquet files with the sound inside, in the layout of Hugging Face's `Audio` feature.

Source: Hugging Face `datasets`, `features/audio.py`: a column of `struct<bytes: binary, path: string>`, and the
features as JSON under the key `huggingface` of the schema's metadata.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audiolib.errors import InvalidInputError
from audiolib.exporting.fields import FILE_NAME, field_kinds
from audiolib.files import sync_file, temporary_path

if TYPE_CHECKING:
    import pyarrow as pa

DATA_FOLDER: Final = "data"
# A row group is what a reader must hold in memory, and what this writer holds.
_GROUP_BYTES: Final = 32 << 20
_GROUP_ROWS: Final = 100
_SHARD_BYTES: Final = 500 << 20
MAX_FILE_BYTES: Final = 1 << 30  # one value of a column is held whole, by writers and by readers
_NEEDED: Final = frozenset({"audio", "id", "sha256"})  # to know which clips are there
_SHARD: Final = re.compile(r"train-(\d{5,})\.parquet")


def arrow_schema() -> "pa.Schema":
    """Return the columns, and the features that `datasets` reads them by."""
    import pyarrow as pa

    types = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
    types["strings"] = pa.list_(pa.string())
    columns = [pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    columns += [pa.field(name, types[kind]) for name, kind in field_kinds().items()]
    features: dict[str, Any] = {"audio": {"_type": "Audio"}}
    for name, kind in field_kinds().items():
        value = {"dtype": "string" if kind == "strings" else kind, "_type": "Value"}
        features[name] = {"feature": value, "_type": "Sequence"} if kind == "strings" else value
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(columns, metadata=metadata)


class ParquetShards:
    """Writes rows into files of about 500 MB each; a file gets its name when it is whole.

    Args:
        root: The export's folder; shards that are there stay.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / DATA_FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._number = 1 + max(map(_number, _shards(self._folder)), default=-1)
        self._schema = arrow_schema()
        self._rows: list[dict[str, Any]] = []
        self._held = 0
        self._written = 0
        self._temporary: Path | None = None
        self._writer: Any = None

    def add(self, document: Mapping[str, Any], sound: bytes) -> None:
        """Add a clip.

        Args:
            document: Its fields, with the name of its file.
            sound: The bytes of its file.

        Raises:
            OSError: It cannot be written.
        """
        row = {**document, "audio": {"bytes": sound, "path": document[FILE_NAME]}}
        del row[FILE_NAME]
        self._rows.append(row)
        self._held += len(sound)
        if self._held >= _GROUP_BYTES or len(self._rows) >= _GROUP_ROWS:
            self._write_group()
        if self._written >= _SHARD_BYTES:
            self._end_shard()

    def close(self) -> None:
        """Write what is left and name the last file.

        Raises:
            OSError: It cannot be written.
        """
        self._write_group()
        self._end_shard()

    def abandon(self) -> None:
        """Remove the file that is not whole."""
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError:  # the disk is full: that is why we are here
                pass
            self._writer = None
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)

    def _target(self) -> Path:
        return self._folder / f"train-{self._number:05d}.parquet"

    def _write_group(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._rows:
            return
        if self._writer is None:
            self._temporary = temporary_path(self._target())
            # Sound neither repeats nor has a least and a greatest value worth storing.
            plain = [name for name in self._schema.names if name != "audio"]
            self._writer = pq.ParquetWriter(
                self._temporary, self._schema, use_dictionary=plain, write_statistics=plain
            )
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._written += self._held
        self._rows, self._held = [], 0

    def _end_shard(self) -> None:
        if self._writer is None or self._temporary is None:
            return
        self._writer.close()
        self._writer = None
        sync_file(self._temporary)
        self._temporary.replace(self._target())
        self._temporary = None
        self._written = 0
        self._number += 1


def read_rows(root: Path) -> Iterator[dict[str, Any]]:
    """Yield the fields of the clips of an earlier export, with their file names and without their sound.

    Args:
        root: The export's folder.

    Raises:
        InvalidInputError: A shard is damaged, or something else under its name.
        OSError: A shard cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["audio.path", *field_kinds()]
    for shard in _shards(root / DATA_FOLDER):
        try:
            with pq.ParquetFile(shard) as file:
                if missing := _NEEDED - set(file.schema_arrow.names):
                    raise TypeError(f"it has no {', '.join(sorted(missing))}")
                for batch in file.iter_batches(batch_size=1_000, columns=columns):
                    for row in batch.to_pylist():
                        yield {FILE_NAME: row.pop("audio")["path"], **row}
        except (pa.ArrowInvalid, KeyError, TypeError) as error:
            raise InvalidInputError(
                f"{shard} is damaged, or no export of ours ({error}). Remove it and run this again: the clips that "
                "are missing are added."
            ) from error


def _shards(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("*.parquet") if _SHARD.fullmatch(path.name)), key=_number)


def _number(path: Path) -> int:
    match = _SHARD.fullmatch(path.name)
    return int(match[1]) if match else -1
