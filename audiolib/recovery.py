"""A clip's sidecar made again, from what its audio file says of itself and what the index still knows."""

import json
import logging
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audiolib.checking.survey import is_stale, survey
from audiolib.clip import Clip, Recipe
from audiolib.crashpoints import crashpoint
from audiolib.errors import LibraryError
from audiolib.files import sync_folder
from audiolib.folder import LibraryFolder, utc_text
from audiolib.ids import time_of
from audiolib.prompts import title_of
from audiolib.sidecars import Sidecar, read_sidecar, write_sidecar

if TYPE_CHECKING:
    from indexing.schema import IndexRow

# What people and Whisper said of a clip stands in its row as well, and nowhere in its audio.
_FROM_ROW: Final = (
    "title",
    "prompt",
    "tags",
    "rating",
    "created_at",
    "kind",
    "parent_id",
    "transcript",
    "language",
    "license",
    "model",
    "seed",
)
_log = logging.getLogger(__name__)


def complete_clips(folder: LibraryFolder) -> int:
    """Write the sidecars that a crash prevented or that were lost, from the audio files and the index.

    Args:
        folder: The library.

    Returns:
        How many clips are complete now.

    Raises:
        OSError: A sidecar cannot be written.
    """
    found = survey(folder)
    lost = {
        clip_id: paths[0]
        for clip_id, paths in found.audio.items()
        if clip_id not in found.sidecars and len(paths) == 1 and is_stale(paths[0])
    }
    rows = known_rows(folder, lost)
    restored = (restore_sidecar(folder, lost[i], i, row=rows.get(i)) for i in lost)
    return sum(sidecar is not None for sidecar in restored)


def known_rows(folder: LibraryFolder, ids: Collection[str]) -> "dict[str, IndexRow]":
    """Return what the index still knows of clips whose sidecars are lost: tags and ratings stand nowhere else.

    Args:
        folder: The library.
        ids: The clips; those without a row, and all where the index cannot be read, are left out.
    """
    from indexing.errors import IndexingError
    from indexing.store import ClipIndex

    found: dict[str, IndexRow] = {}
    try:
        for rows in ClipIndex(folder.index).rows_with(ids):
            found |= {row.id: row for row in rows}
    except IndexingError as error:
        _log.info("Sidecars are made again without the index: %s", error)
    return found


def sweep_temporaries(folder: LibraryFolder) -> int:
    """Remove the hidden temporaries that killed processes left behind.

    Args:
        folder: The library.

    Returns:
        How many there were.

    Raises:
        OSError: One cannot be removed.
    """
    stale = survey(folder).temporaries
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def restore_sidecar(
    folder: LibraryFolder, audio: Path, clip_id: str, *, row: "IndexRow | None" = None, foreign: bool = False
) -> Sidecar | None:
    """Write a clip's sidecar again; a damaged one is kept beside it under another name, a readable one stays.

    Args:
        folder: The library.
        audio: The clip's audio file.
        clip_id: Its id.
        row: What the index knows of the clip. Its words are believed whatever the audio holds by now; its numbers
            where the audio was cut short since, so that a check names the damage.
        foreign: Believe a comment that names another clip's id too: an imported copy has an id of its own.

    Returns:
        The sidecar; `None` when nothing says what the clip is, or its audio cannot be read.

    Raises:
        LibraryBusyError: Another process holds the lock.
        OSError: A file cannot be written.
    """
    from audiolib.analyses import measure
    from audiolib.recording import LINE_KEY, is_cut, read_facts
    from audiolib.transcripts import waiting
    from generation.errors import AudioError

    try:
        facts = asdict(read_facts(audio))
        found = measure(audio)
        if row is None:
            if is_cut(audio):
                _log.warning("%s was cut short, and nothing says what it was: what is there counts.", audio)
        elif row.audio_sha256 != facts["audio_sha256"]:
            was = {name: getattr(row, name) for name in facts}
            cut = is_cut(audio)
            facts, found = (was, _measured_of(row)) if cut else (facts, {**found, "original": was})
    except (AudioError, OSError):
        return None
    comment = _read_comment(audio)
    own = comment.get("id") == clip_id
    known = _from_comment(comment) if foreign or own or row is not None else None
    if known is None and row is None and ("audiolib" in comment or not _named_by_us(audio, clip_id)):
        return None  # another clip's audio, or not named as ours are
    fields, recipe = known or ({"title": _title_of(audio, clip_id), "kind": "imported"}, None)
    fields = {"id": clip_id, "created_at": utc_text(time_of(clip_id)), **fields, **_from_row(row)}
    blank = {"prompt": None, "model": None, "seed": None}
    try:
        clip = Clip.from_json({**blank, **fields, **facts, "path": str(audio)})
    except ValueError:
        return None
    path = audio.with_name(f"{clip_id}.json")
    codes = audio.with_name(f"{clip_id}.codes.npz")
    line = {LINE_KEY: comment[LINE_KEY]} if recipe and own and LINE_KEY in comment else {}
    more = {**found, **(waiting() if clip.transcript is None else _segments(row)), **line}
    with folder.lock():
        if (there := _readable(path)) is not None:  # written, perhaps edited, while the audio was measured
            return there
        if not audio.exists():
            return None  # the clip was removed meanwhile
        keep_aside(path)
        crashpoint("repair.kept-aside")
        return write_sidecar(
            path, clip, recipe=recipe, codes=codes.name if recipe and codes.exists() else None, more=more
        )


def line_of(audio: Path) -> str | None:
    """Return the key of the line that an audio file was made for, from its comment.

    Args:
        audio: The file; one that cannot be read was made for none.
    """
    from audiolib.recording import LINE_KEY

    line = _read_comment(audio).get(LINE_KEY)
    return line if isinstance(line, str) else None


def keep_aside(path: Path) -> Path | None:
    """Give a file a second name that no check looks at, so that nothing is lost when it is replaced.

    Args:
        path: The file; nothing happens when it is not there.

    Returns:
        The second name, like `<name>.damaged`.

    Raises:
        OSError: It cannot be written.
    """
    number = 1
    while path.exists():
        aside = path.with_name(f"{path.name}.damaged{'' if number == 1 else f'-{number}'}")
        try:
            with aside.open("xb") as file:  # a copy: file systems without links are libraries too
                file.write(path.read_bytes())
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            if aside.read_bytes() == path.read_bytes():
                return aside  # kept by a repair that was cut off
            number += 1
            continue
        sync_folder(aside.parent)
        return aside
    return None


def _readable(path: Path) -> Sidecar | None:
    try:
        return read_sidecar(path)
    except (LibraryError, OSError):
        return None


def _read_comment(path: Path) -> Mapping[str, Any]:
    """What an audio file tells of itself; empty when it tells nothing."""
    from generation.audio import read_comment
    from generation.errors import AudioError

    try:
        document = json.loads(read_comment(path) or "null")
    except (AudioError, ValueError, OSError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _from_comment(comment: Mapping[str, Any]) -> tuple[dict[str, Any], Recipe] | None:
    try:
        recipe = Recipe.from_json(comment.get("recipe") or {})
    except ValueError:
        return None
    fields = {
        "prompt": recipe.prompt,
        "title": title_of(recipe.prompt),
        "model": recipe.model,
        "seed": recipe.seed,
        "kind": "generated",
        "parent_id": recipe.parent_id,
        **{name: comment[name] for name in ("tags", "license") if name in comment},
    }
    return fields, recipe


def _from_row(row: "IndexRow | None") -> dict[str, Any]:
    if row is None:
        return {}
    fields = {name: getattr(row, name) for name in _FROM_ROW}
    return {**fields, "tags": list(row.tags), "title": row.title or ""}


def _measured_of(row: "IndexRow") -> dict[str, Any]:
    """What was measured of a clip; without its confidence, so that it is measured again when it is whole."""
    from audiolib.analyses import FIELDS
    from audiolib.vectors import encode
    from indexing.analysis import SOUND_SPACE

    sound = row.sound_vector if row.sound_space == SOUND_SPACE else None
    vectors = {} if sound is None else {SOUND_SPACE: encode(sound)}
    return {**{name: getattr(row, name) for name in FIELDS}, "vectors": vectors}


def _segments(row: "IndexRow | None") -> dict[str, Any]:
    return {"segments": [asdict(segment) for segment in row.segments]} if row and row.segments else {}


def _named_by_us(audio: Path, clip_id: str) -> bool:
    return re.fullmatch(rf"{clip_id}(-[^/]*)?\.\w+", audio.name) is not None


def _title_of(audio: Path, clip_id: str) -> str:
    return audio.stem.removeprefix(clip_id).strip("-").replace("-", " ") or "untitled"
