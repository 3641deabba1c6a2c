"""What a file's own texts and its name say: a title, labels, tempo and key, in safe words."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audiolib.prompts import title_of

if TYPE_CHECKING:
    from generation.texts import FileTexts

_UNNAMED: Final = "untitled"
_MAX_TAGS, _MAX_TAG, _MAX_TEXT = 12, 60, 2_000
_SEPARATORS: Final = re.compile(r"[,;/|]")
_TEMPI: Final = (20.0, 400.0)  # what is outside is a slip
_STATED_CONFIDENCE: Final = 0.9  # a person or a program wrote it, about this very file


def title_for(path: Path, texts: "FileTexts") -> str:
    """Return a title: the one inside the file, its description, or its name.

    Args:
        path: The file.
        texts: The texts inside it.
    """
    for text in (texts.title, texts.description, _name_of(path)):
        if title := title_of(one_line(text or "")):
            return title
    return _UNNAMED


def tags_for(texts: "FileTexts") -> tuple[str, ...]:
    """Return the labels that a file brings: its genres and its artist.

    Args:
        texts: The texts inside the file.
    """
    words = (one_line(word) for word in (*_SEPARATORS.split(texts.genre or ""), texts.artist or ""))
    return distinct(word for word in words if 0 < len(word) <= _MAX_TAG)[:_MAX_TAGS]


def distinct(tags: Iterable[str]) -> tuple[str, ...]:
    """Return labels in their order, each once, however it is written the second time.

    Args:
        tags: The labels.
    """
    first: dict[str, str] = {}
    for tag in tags:
        first.setdefault(tag.casefold(), tag)
    return tuple(first.values())


def stated(texts: "FileTexts") -> dict[str, Any]:
    """Return the tempo and the key that a file states, under the names of a clip's fields.

    Args:
        texts: The texts inside the file.
    """
    from indexing.errors import IndexingError
    from indexing.filters import parse_key

    found: dict[str, Any] = {}
    number = re.match(r"\s*(\d{1,3}(?:\.\d{1,3})?)", texts.tempo or "")
    if number and _TEMPI[0] <= float(number[1]) <= _TEMPI[1]:
        found["tempo_bpm"] = float(number[1])
    if texts.key and len(texts.key) <= _MAX_TAG:
        try:
            found["key"] = parse_key(texts.key)
        except (IndexingError, ValueError):  # another spelling, as DJs' numbers
            pass
    return found


def with_stated(measured: Mapping[str, Any], texts: "FileTexts") -> dict[str, Any]:
    """Return a sidecar's measured keys, completed by what the file states where nothing was measured.

    Args:
        measured: As `audiolib.analyses.measured` returns.
        texts: The texts inside the file.
    """
    missing = {name: value for name, value in stated(texts).items() if measured.get(name) is None}
    descriptors = measured["descriptors"]
    confidence = {**descriptors["confidence"], **dict.fromkeys(missing, _STATED_CONFIDENCE)}
    return {**measured, **missing, "descriptors": {**descriptors, "confidence": confidence}}


def kept(texts: "FileTexts", *, comment: bool) -> dict[str, str]:
    """Return the texts inside a file as they are kept in its sidecar.

    Args:
        texts: The texts.
        comment: Keep the comment too; a recipe has a place of its own.
    """
    said = {name: one_line(text or "")[:_MAX_TEXT] for name, text in asdict(texts).items()}
    return {name: text for name, text in said.items() if text and (comment or name != "comment")}


def one_line(text: str) -> str:
    """Return text as one line of characters that can be shown and stored: no controls, no marks of direction.

    Args:
        text: Anything, also what is not valid Unicode.
    """
    whole = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates become question marks
    line = " ".join(unicodedata.normalize("NFC", whole).split())
    # The joiner holds emoji together.
    shown = (
        c for c in line if c == "\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    return " ".join("".join(shown).split())


def _name_of(path: Path) -> str:
    stem = os.fsencode(path.stem).decode("utf-8", "replace").replace("\ufffd", " ")
    return stem.replace("_", " ")
