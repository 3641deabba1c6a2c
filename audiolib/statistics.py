"""What a library holds on the whole: counted from the index, weighed on the disk."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audiolib.folder import LibraryFolder

if TYPE_CHECKING:
    import pyarrow as pa

    from indexing.filters import Filters
    from indexing.store import ClipIndex

TEMPO_STEP: Final = 20
"""Tempos are counted in ranges of so many BPM."""

_COLUMNS: Final = (
    "duration",
    "model",
    "kind",
    "tags",
    "rating",
    "key",
    "tempo_bpm",
    "has_speech",
    "created_at",
    "embedder",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """Bytes on the disk: of the clips' files, of the index, of the trash, and of the whole library."""

    audio: int
    index: int
    trash: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryStats:
    """Counts of clips by what they are like, the most frequent first; what is unknown of a clip is not counted.

    Attributes:
        clips: All clips that were counted.
        seconds: Their length together.
        shortest: Length of the shortest in seconds, `None` without a clip; `longest` likewise.
        first: When the first was made, ISO 8601 in UTC; `last` the last.
        models: By the model that made them.
        kinds: `generated` and `imported`.
        tags: By tag; a clip counts for each of its own.
        keys: By musical key.
        tempos: By range of tempo, `80-99` for 80 to 99 BPM, slowest first.
        ratings: By rating, `5` first.
        speech: `words`, `no words` and `not transcribed`.
        not_indexed: Clips that the index does not know yet, so that they are not counted, whatever the filters.
        not_embedded: Clips whose words have no vector yet.
        disk: `None` with filters.
    """

    clips: int
    seconds: float
    shortest: float | None
    longest: float | None
    first: str | None
    last: str | None
    models: Mapping[str, int]
    kinds: Mapping[str, int]
    tags: Mapping[str, int]
    keys: Mapping[str, int]
    tempos: Mapping[str, int]
    ratings: Mapping[str, int]
    speech: Mapping[str, int]
    not_indexed: int
    not_embedded: int
    disk: DiskUse | None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def collect(folder: LibraryFolder, index: "ClipIndex", filters: "Filters | None" = None) -> LibraryStats:
    """Count a library's clips.

    Args:
        folder: The library.
        index: Its index.
        filters: Only clips like this.

    Raises:
        IndexingError: The index cannot be read.
    """
    import pyarrow.compute as pc

    found = index.table_of(_COLUMNS, where=filters.expression() if filters else None)
    clips = len(found)
    lengths, dates = pc.min_max(found["duration"]), pc.min_max(found["created_at"])
    # Halves up, as a tempo is shown.
    tempos = _counts(pc.floor(pc.divide(pc.floor(pc.add(found["tempo_bpm"], 0.5)), TEMPO_STEP)))
    ratings, speech = _counts(found["rating"]), _counts(found["has_speech"])
    names = {True: "words", False: "no words", None: "not transcribed"}
    speech |= {None: clips - sum(speech.values())}
    return LibraryStats(
        clips=clips,
        seconds=round(pc.sum(found["duration"]).as_py() or 0.0, 3),
        shortest=lengths["min"].as_py(),
        longest=lengths["max"].as_py(),
        first=dates["min"].as_py(),
        last=dates["max"].as_py(),
        models=_ordered(_counts(found["model"])),
        kinds=_ordered(_counts(found["kind"])),
        tags=_counted_tags(_counts(pc.list_flatten(found["tags"]))),
        keys=_ordered(_counts(found["key"])),
        tempos={f"{int(n) * TEMPO_STEP}-{int(n + 1) * TEMPO_STEP - 1}": tempos[n] for n in sorted(tempos)},
        ratings={str(rating): ratings[rating] for rating in sorted(ratings, reverse=True)},
        speech={name: speech[value] for value, name in names.items() if speech.get(value)},
        not_indexed=max(0, folder.count() - (index.count() if filters else clips)),
        not_embedded=found["embedder"].null_count,
        disk=None if filters else disk_use(folder),
    )


def disk_use(folder: LibraryFolder) -> DiskUse:
    """Add up the sizes of a library's files.

    Args:
        folder: The library.
    """
    sizes = {path.name: _size(path) for path in folder.root.iterdir()}
    parts = {name: sizes.get(name, 0) for name in ("audio", "index", "trash")}
    return DiskUse(total=sum(sizes.values()), **parts)


def _counts(column: "pa.ChunkedArray") -> dict[Any, int]:
    """How often each value is there; unknown ones are left out."""
    import pyarrow.compute as pc

    counted = pc.value_counts(column.drop_null())
    return {row["values"]: row["counts"] for row in counted.to_pylist()}


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _counted_tags(counts: Mapping[str, int]) -> dict[str, int]:
    """Tags that differ only in upper and lower case are one, written as it is most often."""
    spellings: dict[str, dict[str, int]] = {}
    for tag, number in counts.items():
        spellings.setdefault(tag.casefold(), {})[tag] = number
    return _ordered(
        {max(sorted(found), key=found.__getitem__): sum(found.values()) for found in spellings.values()}
    )


def _size(path: Path) -> int:
    """Bytes of a file, or of all under a folder; links within count as themselves, what goes meanwhile not at all."""
    if not path.is_dir():
        return path.lstat().st_size if path.exists() else 0
    total = 0
    waiting = [os.fspath(path)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        with suppress(FileNotFoundError):
                            total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total
