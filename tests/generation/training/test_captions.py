"""Captions say what is true, in many ways, and never what is held out."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.training.starter.attributes import PieceAttributes, choose_attributes, surprising_drums
from generation.training.starter.captions import captions_for
from generation.training.starter.lexicon import DRUM_PHRASES, GENRE_WORDS, INSTRUMENT_WORDS, MOOD_WORDS
from generation.training.starter.prompts import HELD_OUT, PAIRS, normalise
from generation.training.starter.theory import TONICS

FAST = {"fast", "quick", "rapid", "speedy", "brisk", "racing", "upbeat", "peppy", "frantic", "breathless"}
SLOW = {"slow", "unhurried", "leisurely", "slowly", "lazy", "sleepy", "restful", "meditative"}
BRIGHT = {
    "bright",
    "sharp",
    "crisp",
    "brilliant",
    "sparkling",
    "shiny",
    "clear",
    "shimmering",
    "glittering",
    "piercing",
}
DARK = {"warm", "mellow", "dark", "muffled", "deep", "low", "dull", "subdued", "velvety", "rounded", "gloomy"}
# Words that belong to one instrument only.
OWN = {"flute": "flute", "trumpet": "trumpet", "organ": "organ", "harp": "harp", "marimba": "marimba",
       "choir": "choir", "trombones": "brass", "rhodes": "electric piano", "fingerpicked": "acoustic guitar",
       "fiddle": "violin", "glockenspiel": "bell"}  # fmt: skip


def _pieces(count: int) -> list[PieceAttributes]:
    return [choose_attributes(np.random.default_rng([seed, 9])) for seed in range(count)]


def _check(piece: PieceAttributes, caption: str) -> None:
    # Not claims about tone.
    plain = re.sub(r"warm-hearted", "", caption.lower())
    words = set(re.findall(r"[a-z0-9]+", plain))
    if words & FAST:
        assert piece.pace == "fast" or (words & FAST == {"upbeat"} and piece.pace == "medium"), caption
    if words & SLOW:
        assert piece.pace == "slow", caption
    if words & BRIGHT:
        assert piece.tone == "bright", caption
    if words & DARK:
        assert piece.tone == "dark", caption
    for word, name in OWN.items():
        assert word not in words or name in piece.instruments, caption
    for drums, phrases in DRUM_PHRASES.items():
        for phrase in phrases:
            if drums == "none" and re.search(rf"\b{phrase}\b", plain):
                assert piece.drums == "none", caption
            if drums == "heavy" and re.search(rf"\b{phrase}\b", plain):
                assert piece.drums == "heavy", caption
    if words & {"drums", "beat", "beats", "percussion", "groove"} and not words & {"no", "without"}:
        assert piece.drums != "none", caption
    if tempo := re.search(r"(\d+) bpm", plain):
        assert abs(int(tempo.group(1)) - piece.tempo_bpm) <= 3, caption
    if key := re.search(rf"\b({'|'.join(TONICS)}) (major|minor)\b", caption):
        assert (TONICS[piece.tonic].endswith(key.group(1)), piece.mode) == (True, key.group(2)), caption


def test_captions_say_only_what_is_true() -> None:
    for number, piece in enumerate(_pieces(2500)):
        for caption in captions_for(piece, np.random.default_rng([number, 2]), 4):
            _check(piece, caption)


def test_captions_are_varied_and_of_all_lengths() -> None:
    captions = [
        caption
        for number, piece in enumerate(_pieces(2500))
        for caption in captions_for(piece, np.random.default_rng([number, 2]), 4)
    ]
    lengths = np.array([len(caption.split()) for caption in captions])
    assert lengths.min() >= 1
    assert lengths.max() <= 30
    assert np.mean(lengths <= 4) > 0.3
    assert np.mean(lengths >= 10) > 0.08
    assert len(set(captions)) > 0.8 * len(captions)
    assert 0.05 < np.mean([caption[0].isupper() for caption in captions]) < 0.2
    said = {word for caption in captions for word in caption.lower().split()}
    assert {"calm", "piano", "happy", "rock", "electronic", "tense", "action", "lofi", "keyboard"} <= said


def test_every_entry_of_the_lexicon_is_used() -> None:
    text = " | ".join(
        caption.lower()
        for number, piece in enumerate(_pieces(6000))
        for caption in captions_for(piece, np.random.default_rng([number, 2]), 4)
    )
    for table in (MOOD_WORDS, GENRE_WORDS, INSTRUMENT_WORDS):
        for entries in table.values():
            assert [entry for entry in entries if entry not in text] == []


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**40), count=st.integers(1, 12))
def test_captions_are_seeded_and_different(seed: int, count: int) -> None:
    piece = choose_attributes(np.random.default_rng(seed))
    captions = captions_for(piece, np.random.default_rng([seed, 1]), count)
    assert len(set(captions)) == count
    assert captions == captions_for(piece, np.random.default_rng([seed, 1]), count)
    assert all(caption.strip() == caption and caption for caption in captions)


def test_held_out_prompts_are_sixty_pairs_that_differ() -> None:
    assert [sum(pair.measure == name for pair in PAIRS) for name in ("pace", "brightness", "drums")] == [
        20,
        20,
        20,
    ]
    assert len(HELD_OUT) == 120


def test_what_nobody_would_expect_is_said() -> None:
    """Techno without drums says so, and plain "techno" keeps them; what is expected is left out at times."""
    said: dict[bool, list[bool]] = {True: [], False: []}
    for number, piece in enumerate(_pieces(1500)):
        words = ("drum", "beat", "percuss", "groove", "kit")
        for caption in captions_for(piece, np.random.default_rng([number, 2]), 4):
            speaks = any(word in caption.lower() for word in words) or (piece.solo and "solo" in caption)
            said[surprising_drums(piece)].append(speaks)
    assert len(said[True]) > 500
    assert np.mean(said[True]) > 0.75
    assert 0.3 < np.mean(said[False]) < 0.65


def test_no_caption_is_a_held_out_prompt() -> None:
    captions = [
        normalise(caption)
        for number, piece in enumerate(_pieces(5000))
        for caption in captions_for(piece, np.random.default_rng([number, 2]), 4)
    ]
    assert len(captions) == 20_000
    assert not HELD_OUT & set(captions)


def test_a_held_out_wording_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the templates could make it, it still does not appear."""
    piece = choose_attributes(np.random.default_rng(1))
    first = captions_for(piece, np.random.default_rng(1), 1)[0]
    monkeypatch.setattr("generation.training.starter.captions.HELD_OUT", frozenset({normalise(first)}))
    assert captions_for(piece, np.random.default_rng(1), 1) != [first]
