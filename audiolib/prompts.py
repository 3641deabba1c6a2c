"""Checks of the words that people type: prompts, and the titles and file names made from them."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from audiolib.errors import InvalidInputError

MAX_PROMPT_CHARACTERS: Final = 2_000
_MAX_TAG_CHARACTERS: Final = 4_000
_MAX_TITLE_CHARACTERS: Final = 80
_MAX_SLUG_CHARACTERS: Final = 40
_LEAVE_OUT: Final = "Write it, or leave it out."


def clean_prompt(text: str, *, what: str = "prompt") -> str:
    """Return `text` in Unicode's composed form (NFC) without space around it.

    Args:
        text: What the user typed.
        what: How the text is called in the error.

    Raises:
        InvalidInputError: It is empty, over 2,000 characters, or holds what is not text.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInputError(f"The {what} is not valid Unicode text. Type it again in UTF-8.")
    if "\0" in text:
        raise InvalidInputError(f"The {what} holds a NUL character. Remove it.")
    cleaned = unicodedata.normalize("NFC", text).strip()
    if not cleaned:
        wished = what in ("prompt", "query")
        way_out = "Say in a few words what you want, like 'calm piano'." if wished else _LEAVE_OUT
        raise InvalidInputError(f"The {what} is empty. {way_out}")
    if len(cleaned) > MAX_PROMPT_CHARACTERS:
        raise InvalidInputError(
            f"The {what} has {len(cleaned):,} characters; at most {MAX_PROMPT_CHARACTERS:,} are read. "
            "Shorten it."
        )
    return cleaned


def clean_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the tags cleaned as prompts are, each once, in the order given.

    Args:
        tags: What the user typed.

    Raises:
        InvalidInputError: A tag is empty, too long or not text, or all of them are too long together.
    """
    labels = (tags,) if isinstance(tags, str) else tags  # one tag is no sequence of letters
    cleaned = tuple(dict.fromkeys(clean_prompt(tag, what="tag") for tag in labels))
    length = sum(len(tag) for tag in cleaned)
    if length > _MAX_TAG_CHARACTERS:  # they travel in the audio file's comment, whose room is limited
        raise InvalidInputError(
            f"The tags have {length:,} characters together. Use at most {_MAX_TAG_CHARACTERS:,}."
        )
    return cleaned


def title_of(prompt: str) -> str:
    """Return a prompt as a title: one line, at most 80 characters, cut between words where it can be.

    Args:
        prompt: A cleaned prompt.
    """
    line = " ".join(prompt.split())
    if len(line) <= _MAX_TITLE_CHARACTERS:
        return line
    cut = line[:_MAX_TITLE_CHARACTERS]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut[:-1]) + "…"


def slug_of(text: str) -> str:
    """Return lower-case ASCII words joined by dashes for a file name, '' when nothing of `text` can be kept.

    Args:
        text: A prompt or a title.
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")
    if len(slug) <= _MAX_SLUG_CHARACTERS:
        return slug
    cut = slug[: _MAX_SLUG_CHARACTERS + 1]
    return cut.rsplit("-", 1)[0] if "-" in cut else cut[:_MAX_SLUG_CHARACTERS]
