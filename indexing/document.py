"""The text that stands for a clip when it is embedded and searched for words."""

import unicodedata
from collections.abc import Iterable
from typing import Final

from indexing.describe import Descriptors
from indexing.keywords import spell_keys

# Below it a measured value is not put into words.
_SURE: Final = 0.5
# Values up to the first number get the first word, from the second number on the second.
_WORDS: Final = {
    "tempo_bpm": (80.0, "slow", 130.0, "fast"),
    "brightness_hz": (1000.0, "warm", 3000.0, "bright"),
    "energy": (0.4, "calm", 0.65, "energetic"),
    "percussive_share": (0.15, "no drums", 0.3, "drums"),
}


def compose_document(
    *,
    prompt: str | None,
    title: str | None,
    tags: Iterable[str],
    transcript: str | None,
    descriptors: Descriptors | None = None,
) -> str:
    """Joins what is known of a clip in words, each part with a label, in a fixed order.

    Like `calm piano. Tags: night, slow. Lyrics: la la. Sound: slow, 70 BPM, A minor, no drums`: of the ways that
    `python -m indexing.evaluation --templates` compares, the one that clips are found by best.

    The prompt says more of the sound than the title, so the title stands in only where there is no
    prompt. Tags are sorted and named once, so that their order and repetition change nothing.

    Args:
        prompt: The sentence the clip was made from.
        title: Its title; used when there is no prompt.
        tags: Labels that a person gave it.
        transcript: The accepted transcript of its voices.
        descriptors: What was measured; see `descriptor_words`.

    Returns:
        Normalised text (NFC, single spaces, keys as `A sharp minor`); empty when nothing is known.
    """
    labels = sorted({label for label in map(_clean, tags) if label})
    sound = descriptor_words(descriptors) if descriptors is not None else []
    parts = (
        ("", _clean(prompt) or _clean(title)),
        ("Tags: ", ", ".join(labels)),
        ("Lyrics: ", _clean(transcript)),
        ("Sound: ", _clean(", ".join(sound))),
    )
    sentences = [label + text for label, text in parts if text]
    return " ".join(s if s[-1] in ".!?" or s is sentences[-1] else f"{s}." for s in sentences)


def descriptor_words(descriptors: Descriptors) -> list[str]:
    """Words for what was measured with some confidence: like `fast`, `140 BPM`, `A minor`, `bright`, `no drums`."""
    found = []
    for name, (low, less, high, more) in _WORDS.items():
        value = getattr(descriptors, name)
        if value is None or descriptors.confidence.get(name, 0.0) < _SURE:
            continue
        found += [less] if value <= low else [more] if value >= high else []
        if name == "tempo_bpm":
            found.append(f"{value:.0f} BPM")
    if descriptors.key is not None and descriptors.confidence.get("key", 0.0) >= _SURE:
        found.append(descriptors.key)
    return found


def _clean(text: str | None) -> str:
    return " ".join(spell_keys(unicodedata.normalize("NFC", text or "")).split())
