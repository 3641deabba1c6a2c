"""What a library holds on the whole: counted from the index, weighed on the disk."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audiolib.folder import LibraryFolder

if TYPE_CHECKING:
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
        not_indexed: Clips that the index does not know yet, so that they are not counted; `None` with filters.
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
    not_indexed: int | None
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
    found = index.columns(_COLUMNS, where=filters.expression() if filters else None)
    lengths, dates = found["duration"], [moment for moment in found["created_at"] if moment]
    tempos = Counter(int(bpm + 0.5) // TEMPO_STEP for bpm in found["tempo_bpm"] if bpm is not None)
    ratings = Counter(rating for rating in found["rating"] if rating is not None)
    speech = Counter(found["has_speech"])
    names = {True: "words", False: "no words", None: "not transcribed"}
    return LibraryStats(
        clips=len(lengths),
        seconds=round(sum(lengths), 3),
        shortest=min(lengths, default=None),
        longest=max(lengths, default=None),
        first=min(dates, default=None),
        last=max(dates, default=None),
        models=_counted(found["model"]),
        kinds=_counted(found["kind"]),
        tags=_counted_tags(found["tags"]),
        keys=_counted(found["key"]),
        tempos={f"{n * TEMPO_STEP}-{(n + 1) * TEMPO_STEP - 1}": tempos[n] for n in sorted(tempos)},
        ratings={str(rating): ratings[rating] for rating in sorted(ratings, reverse=True)},
        speech={name: speech[value] for value, name in names.items() if speech[value]},
        not_indexed=None if filters else max(0, folder.count() - len(lengths)),
        not_embedded=found["embedder"].count(None),
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


def _counted(values: Iterable[str | None]) -> dict[str, int]:
    counts = Counter(value for value in values if value is not None)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _counted_tags(lists: Iterable[Sequence[str] | None]) -> dict[str, int]:
    """Tags that differ only in upper and lower case are one, written as it is most often."""
    spellings: dict[str, Counter[str]] = {}
    for tags in lists:
        for tag in tags or ():
            spellings.setdefault(tag.casefold(), Counter())[tag] += 1
    counts = {max(sorted(found), key=found.__getitem__): found.total() for found in spellings.values()}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


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
                        total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total
