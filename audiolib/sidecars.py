"""Sidecars: the JSON file beside each audio file that holds all that is known of the clip.

A sidecar is one flat object: the clip's fields under their usual names (`path` becomes `file`, the name of
the audio file in the same folder), `format`, and for generated clips `codes` (a file name) and `recipe`. Keys
of other versions and other tools are kept when a sidecar is edited.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from audiolib.clip import Clip, Recipe
from audiolib.errors import LibraryFormatError, SidecarError
from audiolib.files import write_bytes
from audiolib.jsonfields import from_document
from indexing.transcribe import Segment

SIDECAR_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A sidecar as it was read: the clip, its recipe if it was generated, its transcript's parts, the whole object."""

    path: Path
    clip: Clip
    recipe: Recipe | None
    codes_path: Path | None
    segments: tuple[Segment, ...]
    document: Mapping[str, Any]


def write_sidecar(path: Path, clip: Clip, *, recipe: Recipe | None, codes: str | None) -> None:
    """Write a clip's sidecar atomically.

    Args:
        path: Where; the folder of the audio file.
        clip: The clip; its audio file must be in the same folder.
        recipe: What made it, `None` for imported clips.
        codes: Name of the file with the codec tokens in the same folder.

    Raises:
        OSError: The file could not be written.
    """
    document = {"format": SIDECAR_FORMAT, **clip.to_json(), "file": clip.path.name, "codes": codes}
    del document["path"]
    if recipe is not None:
        document["recipe"] = recipe.to_json()
    _write(path, document)


def edit_sidecar(path: Path, changes: Mapping[str, Any]) -> Sidecar:
    """Change some keys of a sidecar and keep all others. The caller holds the library's lock.

    Args:
        path: The sidecar.
        changes: Keys and their new values.

    Returns:
        The sidecar as it is now.

    Raises:
        SidecarError: It cannot be read.
        LibraryFormatError: A newer audiolib wrote it.
        OSError: It could not be written.
    """
    document = {**read_sidecar(path).document, **changes}
    changed = _parse(path, document)  # never write what could not be read again
    _write(path, document)
    return changed


def read_sidecar(path: Path) -> Sidecar:
    """Read and check a sidecar.

    Args:
        path: The sidecar.

    Raises:
        SidecarError: It is no JSON, lacks a field, has one of the wrong kind or is another clip's.
        LibraryFormatError: A newer audiolib wrote it.
        OSError: It cannot be read.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also broken UTF-8
        raise _damaged(path, error) from error
    return _parse(path, document)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
    write_bytes(path, text.encode("utf-8") + b"\n")


def _parse(path: Path, document: object) -> Sidecar:
    if not isinstance(document, dict):
        raise _damaged(path, "no JSON object")
    version = document.get("format")
    if isinstance(version, int) and version > SIDECAR_FORMAT:
        raise LibraryFormatError(
            f"The sidecar {path} was written by a newer audiolib. Update audiolib to read it."
        )
    try:
        if version != SIDECAR_FORMAT:
            raise ValueError("'format' is missing or unknown")
        audio = path.parent / _plain_name(document.get("file"))
        clip = Clip.from_json({**document, "path": str(audio)})
        if clip.id != path.stem:
            raise ValueError(f"it is the sidecar of {clip.id}")
        codes = document.get("codes")
        recipe = document.get("recipe")
        return Sidecar(
            path=path,
            clip=clip,
            recipe=None if recipe is None else Recipe.from_json(recipe),
            codes_path=None if codes is None else path.parent / _plain_name(codes),
            segments=_segments(document.get("segments")),
            document=document,
        )
    except ValueError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: object) -> SidecarError:
    return SidecarError(
        f"The sidecar {path} is damaged ({reason}). Restore it from a backup, or remove it and run "
        "`audiolib index`: a generated clip's is made again from the audio file."
    )


def _segments(value: object) -> tuple[Segment, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("'segments' has a value of the wrong kind")
    return tuple(from_document(Segment, item) for item in value)


def _plain_name(value: object) -> str:
    """Return a file name that stays in its folder: sidecars may come from elsewhere."""
    if not isinstance(value, str) or not value or value in {".", ".."} or set(value) & set("/\\\0"):
        raise ValueError(f"{value!r} is no plain file name")
    return value
