"""After a crash: audio that has no sidecar yet gets one from the recipe inside it, stale temporaries go."""

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from audiolib.clip import Clip, Recipe
from audiolib.folder import LibraryFolder, utc_text
from audiolib.ids import ID_PATTERN, time_of
from audiolib.prompts import title_of
from audiolib.requests import FORMATS
from audiolib.sidecars import write_sidecar

_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\.\w+)?")
_STALE_SECONDS: Final = 600  # whatever is younger may be another process at work
_SUFFIXES: Final = tuple(f".{name}" for name in FORMATS)


def complete_clips(folder: LibraryFolder) -> int:
    """Write the sidecars that a crash prevented, from what the audio files say of themselves.

    Args:
        folder: The library.

    Returns:
        How many clips are complete now.

    Raises:
        OSError: A sidecar cannot be written.
    """
    known = {path.stem for path in folder.sidecar_paths()}
    completed = 0
    for path in _old_files(folder):
        match = ID_PATTERN.match(path.name)
        if match is None or match[0] in known or not path.name.endswith(_SUFFIXES):
            continue
        found = _read_comment(path, match[0])
        if found is None:
            continue
        clip, recipe = found
        codes = path.with_name(f"{clip.id}.codes.npz")
        write_sidecar(
            path.with_name(f"{clip.id}.json"),
            clip,
            recipe=recipe,
            codes=codes.name if codes.exists() else None,
        )
        completed += 1
    return completed


def sweep_temporaries(folder: LibraryFolder) -> int:
    """Remove the hidden temporaries that killed processes left behind.

    Args:
        folder: The library.

    Returns:
        How many there were.

    Raises:
        OSError: One cannot be removed.
    """
    swept = 0
    for path in _old_files(folder):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)
            swept += 1
    return swept


def _old_files(folder: LibraryFolder) -> Iterator[Path]:
    before = time.time() - _STALE_SECONDS
    for home, _, names in os.walk(folder.audio):
        for name in names:
            path = Path(home, name)
            try:
                if path.lstat().st_mtime < before:
                    yield path
            except FileNotFoundError:
                continue


def _read_comment(path: Path, clip_id: str) -> tuple[Clip, Recipe] | None:
    """The clip and the recipe that an audio file tells of, `None` when it tells of none or of another clip."""
    from audiolib.recording import read_facts
    from generation.audio import read_comment
    from generation.errors import AudioError

    try:
        document = json.loads(read_comment(path) or "null")
        if not isinstance(document, dict) or document.get("id") != clip_id:
            return None
        recipe = Recipe.from_json(document.get("recipe") or {})
        facts = asdict(read_facts(path))
        own = {
            "path": str(path),
            "prompt": recipe.prompt,
            "title": title_of(recipe.prompt),
            "model": recipe.model,
            "seed": recipe.seed,
            "created_at": utc_text(time_of(clip_id)),
            "kind": "generated",
            "parent_id": recipe.parent_id,
        }
        return Clip.from_json({**document, **facts, **own}), recipe
    except (AudioError, ValueError, OSError):
        return None
