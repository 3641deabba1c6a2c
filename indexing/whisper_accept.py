"""Which of the words that Whisper writes were said.

On music without a voice Whisper writes text all the same (Koenecke et al. 2024, arXiv:2402.08021; Barański et al. 2025,
arXiv:2501.11378): its usual closing words, one word over and over, descriptions of the music. Everything is kept;
only what passes these rules is believed.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

ACCEPTANCE_VERSION: Final = 1
"""Of the rules; kept with what was heard."""

NO_SPEECH: Final = 0.6
LOG_PROBABILITY: Final = -1.0
LOG_PROBABILITY_FOREIGN: Final = -0.85  # a language other than English is more often a guess
COMPRESSION: Final = 2.4
QUIET: Final = -60.0
"""Root mean square in dB of full scale under which nobody hears words."""
_REPEATS: Final = 3
_PHRASE_NO_SPEECH: Final = 0.06
_PHRASES: Final = frozenset(
    (
        "bye", "bye bye", "i'll see you next time", "like and subscribe", "please subscribe", "see you next time",
        "so", "subscribe", "thank you", "thank you for listening", "thank you for watching", "thank you so much",
        "thank you very much", "thanks", "thanks for listening", "thanks for watching", "you",
    )
)  # fmt: skip
_CREDITS: Final = re.compile(r"\b(amara\.org|subtitles? by|captions? by|transcribed by|www\.)", re.IGNORECASE)
_ANNOTATION: Final = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|[♪♫♩♬]+")

REASONS: Final = {
    "scores": "a score is not a number",
    "no-speech": "more likely no speech than speech",
    "unsure": "the words are improbable",
    "repetitive": "the same again and again",
    "silent": "there is next to no sound",
    "annotation": "a description, not words",
    "invention": "words that Whisper writes where nobody speaks",
}
"""Why text is not believed, by the short name that is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardSegment:
    """A stretch of text as Whisper wrote it.

    Attributes:
        start, end: Seconds from the clip's beginning.
        text: Without space around it.
        avg_logprob: Mean logarithm of the tokens' probabilities.
        no_speech_prob: Of its window of 30 seconds.
        compression_ratio: Of its window's text; high where it repeats itself.
        temperature: It was sampled with; 0 is greedy.
        level: Root mean square of its sound in dB of full scale.
        rejected: A key of `REASONS`; None for words that are believed.
    """

    start: float
    end: float
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float
    level: float
    rejected: str | None = None


def reason_against(segment: HeardSegment, language: str | None) -> str | None:
    """Why a segment is not believed, a key of `REASONS`; None if it is.

    Args:
        segment: What was heard.
        language: Whisper's code for the language it takes it for.
    """
    scores = (segment.avg_logprob, segment.no_speech_prob, segment.compression_ratio)
    if not all(math.isfinite(score) for score in scores):  # not a number passes every comparison
        return "scores"
    least = LOG_PROBABILITY if language in (None, "en") else LOG_PROBABILITY_FOREIGN
    words = re.findall(r"[\w']+", segment.text.lower())
    said = " ".join(words)
    rules = (
        ("silent", segment.level < QUIET),
        ("no-speech", segment.no_speech_prob > NO_SPEECH),
        ("unsure", segment.avg_logprob < least),
        ("repetitive", segment.compression_ratio > COMPRESSION or _repeats(words)),
        ("annotation", not re.search(r"\w", _ANNOTATION.sub("", segment.text))),
        ("invention", said in _PHRASES and segment.no_speech_prob >= _PHRASE_NO_SPEECH),
        ("invention", _CREDITS.search(segment.text) is not None),
    )
    return next((reason for reason, holds in rules if holds), None)


def judged(segments: Sequence[HeardSegment], language: str | None) -> tuple[HeardSegment, ...]:
    """The segments with the reason against each."""
    return tuple(replace(segment, rejected=reason_against(segment, language)) for segment in segments)


def reason_against_all(segments: Sequence[HeardSegment]) -> str | None:
    """The commonest reason where there is text and none of it is believed, else None."""
    reasons = [segment.rejected for segment in segments]
    if not reasons or None in reasons:
        return None
    return Counter(reasons).most_common(1)[0][0]


def _repeats(words: Sequence[str]) -> bool:
    """Whether a segment is one word, or one pair of words, three times or more and little else."""
    if len(words) < _REPEATS:
        return False
    pairs = Counter(pairwise(words))
    return Counter(words).most_common(1)[0][1] >= max(_REPEATS, 0.8 * len(words)) or (
        len(words) >= 2 * _REPEATS and pairs.most_common(1)[0][1] >= max(_REPEATS, 0.4 * len(words))
    )
