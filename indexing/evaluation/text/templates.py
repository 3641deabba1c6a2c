"""Ways to put what is known of a clip into one document; the evaluation chooses among them."""

from collections.abc import Callable
from typing import Final

from indexing.describe import NAMES, Descriptors
from indexing.document import compose_document, descriptor_words
from indexing.evaluation.text.corpus import EvalClip

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


def _without_sound(clip: EvalClip) -> str:
    return compose_document(prompt=clip.prompt, title=clip.title, tags=clip.tags, transcript=clip.transcript)


def _words_only(clip: EvalClip) -> str:
    words = [word for word in descriptor_words(descriptors_of(clip)) if not any(c.isdigit() for c in word)]
    return "\n".join(filter(None, (_without_sound(clip), ", ".join(words))))


def _prompt_only(clip: EvalClip) -> str:
    return clip.prompt or clip.title or ""


def _sound_first(clip: EvalClip) -> str:
    return "\n".join(filter(None, (", ".join(descriptor_words(descriptors_of(clip))), _without_sound(clip))))


def _labelled(clip: EvalClip) -> str:
    parts = (
        ("", clip.prompt or clip.title),
        ("Tags: ", ", ".join(sorted(clip.tags))),
        ("Lyrics: ", clip.transcript),
        ("Sound: ", ", ".join(descriptor_words(descriptors_of(clip)))),
    )
    return ". ".join(label + text for label, text in parts if text)


def _tags_twice(clip: EvalClip) -> str:
    return "\n".join(filter(None, (_shipped(clip), ", ".join(sorted(clip.tags)))))


TEMPLATES: Final[dict[str, Template]] = {
    "shipped": _shipped,
    "without sound": _without_sound,
    "sound without numbers": _words_only,
    "sound first": _sound_first,
    "labelled": _labelled,
    "tags twice": _tags_twice,
    "prompt only": _prompt_only,
}
