"""The text that stands for a clip when it is embedded."""

import unicodedata
from collections.abc import Iterable


def compose_document(
    *, prompt: str | None, title: str | None, tags: Iterable[str], transcript: str | None
) -> str:
    """Joins what is known of a clip in words, one line a part, in a fixed order.

    The prompt says more of the sound than the title, so the title stands in only where there is no
    prompt. Tags are sorted and named once, so that their order and repetition change nothing.

    Args:
        prompt: The sentence the clip was made from.
        title: Its title; used when there is no prompt.
        tags: Labels that a person gave it.
        transcript: The accepted transcript of its voices.

    Returns:
        Normalised text (NFC, single spaces); empty when nothing is known.
    """
    labels = sorted({label for label in map(_clean, tags) if label})
    parts = [_clean(prompt) or _clean(title), ", ".join(labels), _clean(transcript)]
    return "\n".join(part for part in parts if part)


def _clean(text: str | None) -> str:
    return " ".join(unicodedata.normalize("NFC", text or "").split())
