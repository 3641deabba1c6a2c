"""Clips that are there more than once: the same samples, or nearly the same sound. Found and shown, never removed."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audiolib.clip import Clip
from audiolib.errors import InvalidInputError, LibraryError
from audiolib.folder import LibraryFolder
from audiolib.requests import Progress
from audiolib.sidecars import read_sidecar

if TYPE_CHECKING:
    from indexing.store import ClipIndex

NEAR_SIMILARITY: Final = 0.98
"""Measured on 72 pieces: MP3 and Ogg of usual quality, other rates from 22 kHz, loudness and channels stay at 0.99 or
more; the same prompt with another seed reaches 0.96, other prompts 0.82. MP3 of poor quality may fall to 0.4."""

_SAME_LENGTH: Final = 0.25  # seconds: a lossy format may add some, a piece at another tempo adds more
_LOSSLESS: Final = frozenset({".wav", ".flac", ".aiff", ".aif"})
_CELLS: Final = 1 << 24  # similarities in memory at once

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A clip that another one makes superfluous.

    Attributes:
        clip: The clip.
        similarity: Cosine of the two sound vectors; 1 where the samples are the same.
        same_samples: Whether the decoded samples are the same.
    """

    clip: Clip
    similarity: float
    same_samples: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroup:
    """Clips that are one sound.

    Attributes:
        keep: The one to keep: the best rated, then lossless, then of the highest rate, then with the most tags, then
            the oldest.
        duplicates: The others, the nearest first.
    """

    keep: Clip
    duplicates: tuple[Duplicate, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "keep": self.keep.to_json(),
            "duplicates": [
                {
                    **duplicate.clip.to_json(),
                    "similarity": duplicate.similarity,
                    "same_samples": duplicate.same_samples,
                }
                for duplicate in self.duplicates
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What the index says of a clip."""

    id: str
    audio_sha256: str
    path: str
    duration: float
    sample_rate: int
    rating: int | None
    tags: int

    @property
    def rank(self) -> tuple[float | bool | str, ...]:
        """The lower, the sooner it is kept."""
        lossy = Path(self.path).suffix.lower() not in _LOSSLESS
        return (-(self.rating or 0), lossy, -self.sample_rate, -self.tags, self.id)


def find_duplicates(
    folder: LibraryFolder,
    index: "ClipIndex",
    *,
    near: float | None = None,
    progress: Progress | None = None,
) -> list[DuplicateGroup]:
    """Find the clips that are there more than once.

    One whose audio is gone, or out of reach on another disk, is passed over: it must not be kept in place of a whole
    one. How many there are is logged.

    Args:
        folder: The library.
        index: Its index.
        near: The least cosine of sound vectors that counts as the same sound; only the same samples when `None`.
        progress: Called with the clips compared and the clips in all, where sounds are compared.

    Returns:
        Groups, the largest first.

    Raises:
        InvalidInputError: `near` is not above 0 and at most 1.
        IndexingError: The index cannot be read.
    """
    if near is not None and not 0 < near <= 1:
        raise InvalidInputError(f"A similarity of {near:g} makes no sense. Use a number above 0, up to 1.")
    rows = sorted(_whole(folder, _rows(index)), key=lambda row: row.rank)
    best: dict[str, _Row] = {}
    links: dict[str, list[tuple[_Row, float, bool]]] = {}
    for row in rows:
        first = best.setdefault(row.audio_sha256, row)
        if first is not row:
            links.setdefault(first.id, []).append((row, 1.0, True))
    if near is not None:
        _link_near(index, list(best.values()), links, near, progress)
    groups = [_group(folder, keep, found) for keep, found in links.items()]
    present = [group for group in groups if group is not None]
    return sorted(present, key=lambda group: (-len(group.duplicates), group.keep.id))


def _rows(index: "ClipIndex") -> list[_Row]:
    names = ("id", "audio_sha256", "path", "duration", "sample_rate", "rating", "tags")
    found = index.columns(names)
    return [
        _Row(**{**dict(zip(names, values, strict=True)), "tags": len(values[-1] or ())})
        for values in zip(*(found[name] for name in names), strict=True)
    ]


def _whole(folder: LibraryFolder, rows: Sequence[_Row]) -> list[_Row]:
    """The rows of clips whose audio is there."""
    there = folder.sidecar_folders()
    stored = [row for row in rows if row.id in there]
    whole = [row for row in stored if _has_audio(folder, row)]
    if gone := len(stored) - len(whole):
        clips = "One clip is passed over: its" if gone == 1 else f"{gone:,} clips are passed over: their"
        _log.warning("%s audio is not there. `audiolib check` names what is gone.", clips)
    return whole


def _has_audio(folder: LibraryFolder, row: _Row) -> bool:
    """Whether a clip's audio is where its row says, or else its sidecar, which is slower to ask."""
    if os.path.isfile(folder.root / row.path):
        return True
    clip = _read(folder, row.id)
    return clip is not None and clip.path.is_file()


def _link_near(
    index: "ClipIndex",
    rows: Sequence[_Row],
    links: dict[str, list[tuple[_Row, float, bool]]],
    near: float,
    progress: Progress | None,
) -> None:
    """Give every clip to the first one that is near it and is kept: no chains of likenesses."""
    import numpy as np

    from indexing.analysis import SOUND_SPACE

    known = {row.id: row for row in rows}
    ids, stored = index.vectors(SOUND_SPACE)
    at = {clip_id: number for number, clip_id in enumerate(ids)}
    ordered = [row for row in rows if row.id in at]
    if not ordered:
        return
    vectors = stored[[at[row.id] for row in ordered]]
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths = np.array([row.duration for row in ordered])
    free = np.ones(len(ordered), dtype=bool)
    step = max(1, _CELLS // len(ordered))
    for start in range(0, len(ordered), step):
        cosines = vectors[start : start + step] @ vectors[start:].T
        for number in range(start, min(start + step, len(ordered))):
            if not free[number]:
                continue
            likeness = cosines[number - start, number - start + 1 :]
            alike = (likeness >= near) & free[number + 1 :]
            alike &= np.abs(lengths[number + 1 :] - lengths[number]) <= _SAME_LENGTH
            for other in np.flatnonzero(alike):
                taken = ordered[number + 1 + other]
                free[number + 1 + other] = False
                score = min(1.0, float(likeness[other]))
                behind = [(row, score, False) for row, _, _ in links.pop(taken.id, [])]
                links.setdefault(ordered[number].id, []).extend([(known[taken.id], score, False), *behind])
        if progress is not None:
            progress(min(start + step, len(ordered)), len(ordered))


def _group(
    folder: LibraryFolder, keep: str, found: Sequence[tuple[_Row, float, bool]]
) -> DuplicateGroup | None:
    """The group as its clips are on the disk; `None` where no more than one is left."""
    clips = {row.id: clip for row, _, _ in found if (clip := _read(folder, row.id)) is not None}
    kept = _read(folder, keep)
    if kept is None or not clips:
        return None
    scores: Mapping[str, tuple[float, bool]] = {row.id: (score, same) for row, score, same in found}
    duplicates = [
        Duplicate(clip=clip, similarity=scores[clip_id][0], same_samples=scores[clip_id][1])
        for clip_id, clip in clips.items()
    ]
    duplicates.sort(key=lambda item: (not item.same_samples, -item.similarity, item.clip.id))
    return DuplicateGroup(keep=kept, duplicates=tuple(duplicates))


def _read(folder: LibraryFolder, clip_id: str) -> Clip | None:
    try:
        return read_sidecar(folder.sidecar_path(clip_id)).clip
    except (LookupError, OSError, LibraryError):
        return None  # its files are gone or damaged; the next `index` or `check` sees to it
