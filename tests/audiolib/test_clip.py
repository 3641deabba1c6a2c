"""Clips, recipes and hits survive JSON, and wrong JSON is refused by the field's name."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_files import bare_clip
from library_strategies import clips, plain_recipes, recipes

from audiolib.clip import Clip, Recipe, SearchHit

# The names that every JSON output promises, whatever the code calls them.
FIELDS = (
    "id path prompt title model seed duration sample_rate channels tags rating created_at kind parent_id "
    "transcript language tempo_bpm key loudness_lufs brightness_hz energy onset_density percussive_share "
    "sha256 audio_sha256 license"
).split()

OLD_RECIPE = (
    "prompt model weights_digest seed temperature top_k top_p guidance steps duration batch_size backend dtype "
    "audiolib_version parent_id"
).split()
NUMBERS = "seed temperature top_k top_p guidance steps duration batch_size".split()


@given(clips)
def test_a_clip_survives_json(clip: Clip) -> None:
    assert Clip.from_json(json.loads(json.dumps(clip.to_json()))) == clip


@given(recipes)
def test_a_recipe_survives_json(recipe: Recipe) -> None:
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@given(plain_recipes)
def test_a_recipe_has_what_it_always_had(recipe: Recipe) -> None:
    """What few clips have is left out, so that recipes of older versions are the same as today's."""
    document = recipe.to_json()
    assert list(document) == OLD_RECIPE
    assert Recipe.from_json(document) == recipe
    assert not recipe.conditioned


@pytest.mark.parametrize(
    ("field", "value"),
    [("given_frames", "10"), ("models", "a"), ("model_weights", [1, "2"]), ("model_weights", [True])],
)
def test_what_few_recipes_have_is_checked_too(field: str, value: object) -> None:
    document = dict.fromkeys(OLD_RECIPE, "x") | dict.fromkeys(NUMBERS, 1) | {"parent_id": None}
    assert Recipe.from_json(document).prompt == "x"
    with pytest.raises(ValueError, match=repr(field)):
        Recipe.from_json({**document, field: value})


@given(clips, st.none() | st.floats(0, 1))
def test_a_hit_survives_json(clip: Clip, score: float | None) -> None:
    hit = SearchHit(clip=clip, score=score)
    assert SearchHit.from_json(json.loads(json.dumps(hit.to_json()))) == hit


@given(clips)
def test_the_field_names_are_the_promised_ones(clip: Clip) -> None:
    assert list(clip.to_json()) == FIELDS
    assert list(SearchHit(clip=clip, score=0.5).to_json()) == [*FIELDS, "score"]


@given(clips)
def test_a_clip_has_speech_when_words_were_heard(clip: Clip) -> None:
    heard = {None: None, "": False, "la la": True}
    assert {text: replace(clip, transcript=text).has_speech for text in heard} == heard


@given(clips)
def test_unknown_keys_are_ignored(clip: Clip) -> None:
    assert Clip.from_json({**clip.to_json(), "mood": "blue"}) == clip


@pytest.fixture
def document() -> dict[str, object]:
    return bare_clip(Path("/music/a.wav"), "01M81GFP0EMCG74TGEETC8HHCK").to_json()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("path", 3),
        ("duration", "10"),
        ("duration", float("nan")),
        ("duration", True),
        ("seed", 7.5),
        ("seed", True),
        ("channels", None),
        ("tags", "piano"),
        ("tags", ["piano", 3]),
        ("kind", "borrowed"),
        ("transcript", []),
    ],
)
def test_a_wrong_value_is_refused_by_name(document: dict[str, object], field: str, value: object) -> None:
    with pytest.raises(ValueError, match=repr(field)):
        Clip.from_json({**document, field: value})


def test_a_missing_field_is_refused_by_name(document: dict[str, object]) -> None:
    del document["sha256"]
    with pytest.raises(ValueError, match="'sha256' is missing"):
        Clip.from_json(document)


def test_whole_numbers_are_good_lengths(document: dict[str, object]) -> None:
    assert Clip.from_json({**document, "duration": 10}).duration == 10.0


@pytest.mark.parametrize("score", ["1", True, -0.1, 1.1, float("nan")])
def test_a_score_is_from_zero_to_one(document: dict[str, object], score: object) -> None:
    with pytest.raises(ValueError, match="score"):
        SearchHit.from_json({**document, "score": score})


def test_a_clip_cannot_be_changed(document: dict[str, object]) -> None:
    clip = Clip.from_json(document)
    with pytest.raises(FrozenInstanceError):
        clip.title = "other"  # type: ignore[misc]
