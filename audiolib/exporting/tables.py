"""What lies beside exported files: `metadata.jsonl` for Hugging Face's audiofolder, a CSV table, a playlist."""

import csv
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, TextIO

from audiolib.exporting.fields import FILE_NAME, field_kinds
from audiolib.files import atomic_path

METADATA_NAME: Final = "metadata.jsonl"
CSV_NAME: Final = "clips.csv"
PLAYLIST_NAME: Final = "clips.m3u8"

# Well within the ten megabytes that `datasets` looks at, lines for the front included.
_FRONT_BYTES: Final = 4 << 20
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
            return stack.enter_context(path.open("w", encoding="utf-8", errors="replace", newline=""))

        if metadata:  # the first to be opened is the last to get its name
            lines = _JsonLines(stack.enter_context(atomic_path(root / METADATA_NAME)))
            stack.callback(lines.close)
            writers.append(lines.add)
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


class _JsonLines:
    """Writes `metadata.jsonl`, and sees to it that every field has a value near the beginning.

    `datasets` takes the kinds of the fields from the first ten megabytes and fails at the first value of a field that
    had none there. So lines that come later and are the first to have a value of some field go to the front.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._position = 0
        self._seen: set[str] = set()
        self._moved: list[tuple[int, int]] = []  # where lines for the front begin and end

    def add(self, document: Mapping[str, Any]) -> None:
        line = json.dumps(document, ensure_ascii=False, allow_nan=False).encode(errors="replace") + b"\n"
        start, self._position = self._position, self._position + len(line)
        self._file.write(line)
        # `[]` says as little of its kind as `null`.
        fresh = {name for name, value in document.items() if value not in (None, [])} - self._seen
        self._seen |= fresh
        if fresh and self._position > _FRONT_BYTES:
            self._moved.append((start, self._position))

    def close(self) -> None:
        self._file.close()
        if not self._moved:
            return
        rest = self._path.with_suffix(".rest")
        os.replace(self._path, rest)
        try:
            with rest.open("rb") as source, self._path.open("wb") as target:
                for start, end in self._moved:
                    source.seek(start)
                    target.write(source.read(end - start))
                start = 0
                for moved_start, moved_end in [*self._moved, (self._position, self._position)]:
                    source.seek(start)
                    _copy(source, target, moved_start - start)
                    start = moved_end
        finally:
            rest.unlink()


def _copy(source: BinaryIO, target: BinaryIO, number: int) -> None:
    while number > 0:
        block = source.read(min(number, 1 << 20))
        target.write(block)
        number -= len(block)


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
