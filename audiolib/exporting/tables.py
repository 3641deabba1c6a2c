"""What lies beside exported files: `metadata.jsonl` for Hugging Face's audiofolder, a CSV table, a playlist."""

import csv
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final, TextIO

from audiolib.exporting.fields import FILE_NAME, field_kinds
from audiolib.files import atomic_path

METADATA_NAME: Final = "metadata.jsonl"
CSV_NAME: Final = "clips.csv"
PLAYLIST_NAME: Final = "clips.m3u8"

Add = Callable[[Mapping[str, Any]], None]
_log = logging.getLogger(__name__)


@contextmanager
def open_tables(root: Path, *, metadata: bool, csv_table: bool, playlist: bool) -> Iterator[Add]:
    """Give a function that writes one clip's fields to each table; all appear when the block ends well.

    Args:
        root: The export's folder.
        metadata: Write `metadata.jsonl`.
        csv_table: Write `clips.csv`.
        playlist: Write `clips.m3u8`.

    Raises:
        OSError: They cannot be written; those that were there before are unchanged.
    """
    writers: list[Add] = []
    with ExitStack() as stack:

        def file(name: str) -> TextIO:
            path = stack.enter_context(atomic_path(root / name))
            return stack.enter_context(path.open("w", encoding="utf-8", newline=""))

        if metadata:  # the first to be opened is the last to get its name
            writers.append(_jsonl_writer(file(METADATA_NAME)))
        if csv_table:
            writers.append(_csv_writer(file(CSV_NAME)))
        if playlist:
            writers.append(_playlist_writer(file(PLAYLIST_NAME)))

        def add(document: Mapping[str, Any]) -> None:
            for write in writers:
                write(document)

        yield add


def read_metadata(root: Path) -> Iterator[dict[str, Any]]:
    """Yield the clips of an earlier export; lines that are no clip of ours are passed over.

    Args:
        root: The export's folder.

    Raises:
        OSError: The table cannot be read.
    """
    path = root / METADATA_NAME
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                document = json.loads(line)
            except (ValueError, RecursionError):
                document = None
            if isinstance(document, dict) and _is_ours(document):
                yield document
            else:
                _log.warning("Line %d of %s is no clip and was left out.", number, path)


def _is_ours(document: Mapping[str, Any]) -> bool:
    """Whether a line names a clip and a file inside the export: it is about to be written to."""
    name = document.get(FILE_NAME)
    if not isinstance(document.get("id"), str) or not isinstance(name, str) or set(name) & set("\\\0"):
        return False
    parts = PurePosixPath(name).parts
    return len(parts) > 1 and parts[0] == "audio" and ".." not in parts


def _jsonl_writer(file: TextIO) -> Add:
    def write(document: Mapping[str, Any]) -> None:
        file.write(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")

    return write


def _csv_writer(file: TextIO) -> Add:
    names = [FILE_NAME, *field_kinds()]
    writer = csv.writer(file)
    writer.writerow(names)

    def write(document: Mapping[str, Any]) -> None:
        values = [document.get(name) for name in names]
        writer.writerow(["; ".join(value) if isinstance(value, list) else value for value in values])

    return write


def _playlist_writer(file: TextIO) -> Add:
    file.write("#EXTM3U\n")

    def write(document: Mapping[str, Any]) -> None:
        # Whole seconds: older players know no others, and take 0 for a stream without an end.
        seconds = max(1, round(float(document.get("duration") or 0)))
        title = " ".join("".join(c if c.isprintable() else " " for c in str(document.get("title"))).split())
        file.write(f"#EXTINF:{seconds},{title}\n{document[FILE_NAME]}\n")

    return write
