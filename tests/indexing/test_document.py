"""compose_document: the same words give the same text, however they were written down."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexing import compose_document
from indexing.describe import NAMES, Descriptors
from indexing.document import descriptor_words

WORDS = st.none() | st.text()
TAGS = st.lists(st.text(), max_size=5)


def test_prompt_stands_before_title() -> None:
    both = compose_document(prompt="calm piano", title="Nocturne", tags=["slow", "night"], transcript="la la")
    assert both == "calm piano. Tags: night, slow. Lyrics: la la"


def test_title_stands_in_for_a_missing_prompt() -> None:
    assert compose_document(prompt=None, title="Nocturne", tags=[], transcript=None) == "Nocturne"
    assert compose_document(prompt="  ", title="Nocturne", tags=[], transcript="") == "Nocturne"


def test_nothing_known_is_empty() -> None:
    assert compose_document(prompt=None, title=None, tags=["", " "], transcript="\n") == ""


@given(prompt=WORDS, title=WORDS, tags=TAGS, transcript=WORDS)
def test_is_normalised(
    prompt: str | None, title: str | None, tags: list[str], transcript: str | None
) -> None:
    text = compose_document(prompt=prompt, title=title, tags=tags, transcript=transcript)
    assert text == " ".join(text.split())
    assert text == unicodedata.normalize("NFC", text)


@given(prompt=WORDS, title=WORDS, tags=TAGS, transcript=WORDS)
def test_is_stable(prompt: str | None, title: str | None, tags: list[str], transcript: str | None) -> None:
    def spelled(form: str, words: str | None) -> str | None:
        return None if words is None else unicodedata.normalize(form, words)

    given_so = compose_document(prompt=prompt, title=title, tags=tags, transcript=transcript)
    otherwise = compose_document(
        prompt=spelled("NFD", prompt),
        title=spelled("NFD", title),
        tags=[f" {unicodedata.normalize('NFD', tag)}\n" for tag in reversed(tags)] * 2,
        transcript=spelled("NFD", transcript),
    )
    assert otherwise == given_so


@given(prompt=st.text(min_size=1), tags=TAGS)
def test_the_prompt_is_kept(prompt: str, tags: list[str]) -> None:
    words = " ".join(unicodedata.normalize("NFC", prompt).split())
    assert compose_document(prompt=prompt, title=None, tags=tags, transcript=None).startswith(words)


SURE = dict.fromkeys(NAMES, 0.9)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ({"tempo_bpm": 140.2, "key": "A minor"}, ["fast", "140 BPM", "A minor"]),
        ({"tempo_bpm": 80.0, "brightness_hz": 3000.0}, ["slow", "80 BPM", "bright"]),
        ({"tempo_bpm": 100.0, "brightness_hz": 900.0}, ["100 BPM", "warm"]),
        ({"energy": 0.4, "percussive_share": 0.15}, ["calm", "no drums"]),
        ({"energy": 0.65, "percussive_share": 0.3}, ["energetic", "drums"]),
        ({"energy": 0.5, "percussive_share": 0.2, "brightness_hz": 2000.0, "loudness_lufs": -14.0}, []),
    ],
)
def test_measured_values_in_words(measured: dict[str, Any], expected: list[str]) -> None:
    sure = {name: 0.9 for name in measured}
    assert descriptor_words(Descriptors(**measured, confidence=sure)) == expected
    unsure = {name: 0.4 for name in measured}
    assert descriptor_words(Descriptors(**measured, confidence=unsure)) == []


def test_the_sound_comes_last() -> None:
    sound = Descriptors(key="A# minor", percussive_share=0.05, confidence=SURE)
    text = compose_document(
        prompt="harp in Eb major", title=None, tags=["b", "a"], transcript=None, descriptors=sound
    )
    assert text == "harp in D sharp major. Tags: a, b. Sound: no drums, A sharp minor"
    assert (
        compose_document(prompt="harp", title=None, tags=[], transcript=None, descriptors=Descriptors())
        == "harp"
    )
