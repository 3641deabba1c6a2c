"""Sidecars: the JSON file beside each audio file that holds all that is known of the clip.

A sidecar is one flat object: the clip's fields under their usual names, `format`, and

- `file`, the name of the audio file in the same folder, or `reference`, the absolute path of one that was left
  where it was (format 2);
- `codes` (a file name) and `recipe` for generated clips;
- `descriptors`: the version of the analysis and its confidence in each value;
- `vectors`: vectors that need the audio, by the name of their space, as base64 of little-endian float16;
- `segments` and other words on the transcript.

Format 1 knew neither references nor descriptors and vectors; it is still read. Keys of other versions and other
tools are kept when a sidecar is edited.
"""

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from audiolib.clip import Clip, Recipe
from audiolib.errors import LibraryFormatError, SidecarError
from audiolib.files import write_bytes
from audiolib.jsonfields import from_document
from indexing.transcribe import Segment

SIDECAR_FORMAT: Final = 2
_READABLE: Final = (1, 2)
_MOST_BYTES: Final = 32 << 20
_SUSPICIOUS: Final = re.compile(r"\\u[dD][89a-fA-F]|NaN|Infinity|[eE]\+?\d{3}|\d{300}")
_LIMITS: Final = {"seed": 1 << 63, "sample_rate": 1 << 31, "channels": 1 << 31, "rating": 1 << 31}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A sidecar as it was read.

    Attributes:
        path: Where it is.
        clip: The clip.
        recipe: What made it, if it was generated.
        codes_path: Its codec tokens, if it was generated.
        segments: Its transcript's parts.
        descriptors_version: Of the analysis that measured it; `None` before any did.
        confidence: From 0 to 1, by the name of the measured field.
        vectors: By the name of their space; `audiolib.vectors.decode` reads them.
        document: The whole object.
    """

    path: Path
    clip: Clip
    recipe: Recipe | None
    codes_path: Path | None
    segments: tuple[Segment, ...]
    descriptors_version: int | None
    confidence: Mapping[str, float]
    vectors: Mapping[str, str]
    document: Mapping[str, Any]

    @property
    def referenced(self) -> bool:
        """Whether the audio lies where it was when it was added, outside the library."""
        return self.document.get("file") is None


def write_sidecar(
    path: Path,
    clip: Clip,
    *,
    recipe: Recipe | None,
    codes: str | None,
    reference: bool = False,
    more: Mapping[str, Any] | None = None,
) -> Sidecar:
    """Write a clip's sidecar atomically.

    Args:
        path: Where; the folder of the audio file, unless that is only referred to.
        clip: The clip.
        recipe: What made it, `None` for imported clips.
        codes: Name of the file with the codec tokens in the same folder.
        reference: The audio file stays where it is, outside the library.
        more: Further keys, as `audiolib.analyses.measured` returns.

    Returns:
        The sidecar, as it would be read.

    Raises:
        OSError: The file could not be written.
    """
    document: dict[str, Any] = {"format": SIDECAR_FORMAT, **clip.to_json(), "codes": codes}
    del document["path"]
    document |= {"file": None, "reference": str(clip.path)} if reference else {"file": clip.path.name}
    if recipe is not None:
        document["recipe"] = recipe.to_json()
    document |= more or {}
    written = _parse(path, document)
    _write(path, document)
    return written


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
    document = {**read_sidecar(path).document, **changes, "format": SIDECAR_FORMAT}
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
        FileNotFoundError: It is not there.
    """
    text = _read_text(path)
    try:
        document = json.loads(text)
        if _SUSPICIOUS.search(text):  # what JSON's reader takes and its writer, UTF-8 or LanceDB does not
            json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:  # also broken UTF-8
        raise _damaged(path, error) from error
    return _parse(path, document)


def _read_text(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would never end
            raise _damaged(path, "it is no file")
        if status.st_size > _MOST_BYTES:
            raise _damaged(path, f"it has {status.st_size:,} bytes, more than any sidecar")
        return path.read_text(encoding="utf-8-sig")  # some editors put a mark in front
    except (FileNotFoundError, NotADirectoryError):
        raise
    except UnicodeDecodeError as error:
        raise _damaged(path, error) from error
    except OSError as error:  # one that may not be read must not stop what is done with all others
        raise SidecarError(
            f"The sidecar {path} cannot be read ({error.strerror or error}). See its permissions and the disk."
        ) from error


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
        if type(version) is not int or version not in _READABLE:  # True equals 1
            raise ValueError("'format' is missing or unknown")
        audio = _audio_path(path, document)
        clip = Clip.from_json({**document, "path": str(audio)})
        if clip.id != path.stem:
            raise ValueError(f"it is the sidecar of {clip.id}")
        _check_numbers(clip)
        codes = document.get("codes")
        recipe = document.get("recipe")
        return Sidecar(
            path=path,
            clip=clip,
            recipe=None if recipe is None else Recipe.from_json(recipe),
            codes_path=None if codes is None else path.parent / _plain_name(codes),
            segments=_segments(document.get("segments")),
            descriptors_version=_version(document.get("descriptors")),
            confidence=_confidence(document.get("descriptors")),
            vectors=_vectors(document.get("vectors")),
            document=document,
        )
    except ValueError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: object) -> SidecarError:
    return SidecarError(
        f"The sidecar {path} is damaged ({reason}). `audiolib check --repair` makes it again from the audio and "
        "the index; the damaged one is kept beside it."
    )


def _check_numbers(clip: Clip) -> None:
    """Numbers that no column of the index could hold are no clip's."""
    for name, limit in _LIMITS.items():
        value = getattr(clip, name)
        if value is not None and not -limit <= value < limit:
            raise ValueError(f"{name!r} is out of range")


def _segments(value: object) -> tuple[Segment, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("'segments' has a value of the wrong kind")
    return tuple(from_document(Segment, item) for item in value)


def _audio_path(path: Path, document: Mapping[str, Any]) -> Path:
    reference = document.get("reference")
    if document.get("file") is not None or reference is None:
        return path.parent / _plain_name(document.get("file"))
    if not isinstance(reference, str) or not os.path.isabs(reference) or "\0" in reference:
        raise ValueError("'reference' is no absolute path")
    return Path(reference)


def _version(value: object) -> int | None:
    version = value.get("version") if isinstance(value, dict) else value
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        raise ValueError("'descriptors' has a value of the wrong kind")
    return version


def _confidence(value: object) -> Mapping[str, float]:
    confidence = value.get("confidence", {}) if isinstance(value, dict) else {}
    if not isinstance(confidence, dict) or not all(
        isinstance(number, int | float) and 0 <= number <= 1 for number in confidence.values()
    ):
        raise ValueError("'descriptors' has a value of the wrong kind")
    return confidence


def _vectors(value: object) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("'vectors' has a value of the wrong kind")
    return value


def _plain_name(value: object) -> str:
    """Return a file name that stays in its folder: sidecars may come from elsewhere."""
    if not isinstance(value, str) or not value or value in {".", ".."} or set(value) & set("/\\\0"):
        raise ValueError(f"{value!r} is no plain file name")
    return value
