"""Prompts, titles, slugs and tags."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiolib.errors import InvalidInputError
from audiolib.prompts import clean_prompt, clean_tags, slug_of, title_of


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("x" * 2_001, "2,001 characters"),
        ("calm \udc80 piano", "not valid Unicode"),
        ("calm \0 piano", "NUL"),
    ],
)
def test_bad_prompts_get_a_sentence(text: str, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason) as caught:
        clean_prompt(text)
    assert "\n" not in str(caught.value)


def test_a_prompt_is_composed_and_trimmed() -> None:
    assert clean_prompt("  cafe\u0301 jazz\n") == "café jazz"
    assert clean_prompt("x" * 2_000) == "x" * 2_000


def test_tags_are_kept_once_in_order() -> None:
    assert clean_tags(("lofi", " calm", "lofi ")) == ("lofi", "calm")
    assert clean_tags("lofi") == ("lofi",)
    with pytest.raises(InvalidInputError, match="tag is empty"):
        clean_tags(("lofi", " "))
    with pytest.raises(InvalidInputError, match="4,000"):
        clean_tags([f"{i} {'long ' * 300}" for i in range(4)])


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_titles_and_slugs_are_short_and_plain(text: str) -> None:
    title = title_of(text)
    assert len(title) <= 80
    assert "\n" not in title
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", slug_of(text))
    assert len(slug_of(text)) <= 40


def test_titles_and_slugs_end_between_words() -> None:
    long = "a slow and very sad piece for strings and one lonely piano in the rain at night by the sea"
    assert (
        title_of(long) == "a slow and very sad piece for strings and one lonely piano in the rain at night…"
    )
    assert slug_of(long) == "a-slow-and-very-sad-piece-for-strings"
    assert slug_of("Café Noir, 90 BPM!") == "cafe-noir-90-bpm"
    assert slug_of("静かなピアノ") == ""
