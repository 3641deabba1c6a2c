"""Ways to put what is known of a clip into one document; the evaluation chooses among them."""

from collections.abc import Callable
from typing import Final

from indexing.describe import NAMES, Descriptors
from indexing.document import compose_document, descriptor_words
from indexing.evaluation.text.corpus import EvalClip
from indexing.keywords import spell_keys

Template = Callable[[EvalClip], str]


def descriptors_of(clip: EvalClip) -> Descriptors:
    """What would have been measured, all of it with confidence."""
    return Descriptors(**clip.sound, confidence={name: 1.0 for name in NAMES if clip.sound[name] is not None})


def _shipped(clip: EvalClip) -> str:
    return compose_document(
        prompt=clip.prompt,
        title=clip.title,
        tags=clip.tags,
        transcript=clip.transcript,
        descriptors=descriptors_of(clip),
    )


def _sound(clip: EvalClip) -> str:
    return spell_keys(", ".join(descriptor_words(descriptors_of(clip))))


def _without_sound(clip: EvalClip) -> str:
    return compose_document(prompt=clip.prompt, title=clip.title, tags=clip.tags, transcript=clip.transcript)


def _parts(clip: EvalClip) -> list[str]:
    return [clip.prompt or clip.title or "", ", ".join(sorted(clip.tags)), clip.transcript or ""]


def _lines(clip: EvalClip) -> str:
    return "\n".join(filter(None, (*_parts(clip), _sound(clip))))


def _words_only(clip: EvalClip) -> str:
    words = [word for word in descriptor_words(descriptors_of(clip)) if not any(c.isdigit() for c in word)]
    return "\n".join(filter(None, (*_parts(clip), spell_keys(", ".join(words)))))


def _sound_first(clip: EvalClip) -> str:
    return "\n".join(filter(None, (_sound(clip), *_parts(clip))))


def _tags_twice(clip: EvalClip) -> str:
    return "\n".join(filter(None, (_lines(clip), ", ".join(sorted(clip.tags)))))


def _prompt_only(clip: EvalClip) -> str:
    return clip.prompt or clip.title or ""


TEMPLATES: Final[dict[str, Template]] = {
    "shipped": _shipped,
    "without sound": _without_sound,
    "lines": _lines,
    "lines without numbers": _words_only,
    "lines, sound first": _sound_first,
    "lines, tags twice": _tags_twice,
    "prompt only": _prompt_only,
}
