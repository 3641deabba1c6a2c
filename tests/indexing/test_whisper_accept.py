"""Which of the words that Whisper writes are believed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from indexing.whisper_accept import REASONS, HeardSegment, judged, reason_against, reason_against_all

SAID = HeardSegment(
    start=0.0,
    end=2.0,
    text="the red piano plays",
    avg_logprob=-0.3,
    no_speech_prob=0.02,
    compression_ratio=1.1,
    temperature=0.0,
    level=-20.0,
)


def test_words_are_believed() -> None:
    assert reason_against(SAID, "en") is None
    assert reason_against(SAID, "de") is None
    assert reason_against(replace(SAID, text="no no, not now"), "en") is None
    # Closing words are said, too, when somebody surely speaks.
    assert reason_against(replace(SAID, text="Thank you."), "en") is None


@pytest.mark.parametrize("score", ["avg_logprob", "no_speech_prob", "compression_ratio"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_reject(score: str, value: float) -> None:
    assert reason_against(replace(SAID, **{score: value}), "en") == "scores"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"no_speech_prob": 0.61}, "no-speech"),
        ({"no_speech_prob": 0.59}, None),
        ({"avg_logprob": -1.01}, "unsure"),
        ({"avg_logprob": -0.99}, None),
        ({"compression_ratio": 2.41}, "repetitive"),
        ({"text": "la la la"}, "repetitive"),
        ({"text": "oh yes oh yes oh yes oh yes"}, "repetitive"),
        ({"level": -61.0}, "silent"),
        ({"text": "[Music]"}, "annotation"),
        ({"text": "(upbeat music) ♪♪"}, "annotation"),
        ({"text": "♪ la di da ♪"}, None),
        ({"text": "Thanks for watching!", "no_speech_prob": 0.07}, "invention"),
        ({"text": "Subtitles by the Amara.org community"}, "invention"),
    ],
)
def test_each_rule(changes: dict[str, object], reason: str | None) -> None:
    assert reason_against(replace(SAID, **changes), "en") == reason  # type: ignore[arg-type]
    assert reason is None or reason in REASONS


def test_other_languages_need_more() -> None:
    guess = replace(SAID, avg_logprob=-0.9)
    assert reason_against(guess, "en") is None
    assert reason_against(guess, "id") == "unsure"


def test_a_clip_is_rejected_when_nothing_is_believed() -> None:
    unsure, quiet = replace(SAID, avg_logprob=-2.0), replace(SAID, level=-90.0)
    assert reason_against_all(judged([unsure, quiet, unsure], "en")) == "unsure"
    assert reason_against_all(judged([unsure, SAID], "en")) is None
    assert reason_against_all([]) is None
