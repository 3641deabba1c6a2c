"""Checkpoints that choose each token together."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generation import compose, cpu_loop
from generation.config import DecoderConfig, MelodyConfig, MusicGenConfig
from generation.ensemble import Ensemble
from generation.errors import InvalidRequestError
from generation.musicgen import MusicGen
from generation.tiny import make_tiny_checkpoint

GREEDY: dict[str, Any] = {"max_steps": 12, "temperature": 0, "seeds": [1]}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> MusicGen:
    """Wider and deeper than the tiny one, with the same codec and codebooks."""
    wide = dataclasses.replace(DecoderConfig.tiny(), hidden_size=48, num_hidden_layers=3)
    config = dataclasses.replace(MusicGenConfig.tiny(), decoder=wide)
    folder = make_tiny_checkpoint(tmp_path_factory.mktemp("other"), 7, config, codec_of=tiny_folder)
    return MusicGen.from_pretrained(folder)


def codes(model: MusicGen, **options: Any) -> np.ndarray:
    return model.compose(["calm piano"], **{**GREEDY, **options})[0].codes


def test_a_model_mixed_with_itself_is_itself(tiny_model: MusicGen) -> None:
    twice = Ensemble([tiny_model, tiny_model], [1, 3])
    np.testing.assert_array_equal(codes(twice), codes(tiny_model))


def test_the_weight_decides_who_is_heard(tiny_model: MusicGen, other: MusicGen) -> None:
    np.testing.assert_array_equal(codes(Ensemble([tiny_model, other], [1, 1e-6])), codes(tiny_model))
    np.testing.assert_array_equal(codes(Ensemble([tiny_model, other], [1e-6, 1])), codes(other))
    assert (codes(tiny_model) != codes(other)).any()


@pytest.mark.parametrize("quick", [True, False])
def test_logits_are_the_weighted_sum(
    tiny_model: MusicGen, other: MusicGen, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    models = (tiny_model, other, Ensemble([tiny_model, other], [1, 3]))
    if not quick:  # as on GPUs
        for model in (tiny_model, other):
            monkeypatch.setattr(model.parts.decoder, "cpu_steps", False)

    place = cpu_loop if tiny_model.parts.decoder.cpu_steps else compose
    choose = place.choose

    def record(logits: Any, *rest: Any) -> Any:
        seen.append(np.array(logits))
        return choose(logits, *rest)

    monkeypatch.setattr(place, "choose", record)
    for model in models:
        codes(model, max_steps=4)
    first, second, mixed = seen[0], seen[4], seen[8]
    np.testing.assert_allclose(mixed, 0.25 * first + 0.75 * second, atol=1e-4)


def test_an_ensemble_is_a_model_like_any_other(tiny_model: MusicGen, other: MusicGen) -> None:
    both = Ensemble([tiny_model, other])
    assert both.model_id == f"{tiny_model.model_id}+{other.model_id}"
    assert both.weights_digest not in (tiny_model.weights_digest, other.weights_digest)
    assert Ensemble([tiny_model, other], [1, 2]).weights_digest != both.weights_digest
    assert Ensemble([tiny_model, other], [1, 2]).weights == (1, 2)
    clips = both.compose(["calm", "happy rock"], max_steps=8, seeds=[1, 2])
    for prompt, seed, clip in zip(["calm", "happy rock"], [1, 2], clips, strict=True):
        (alone,) = both.compose([prompt], max_steps=8, seeds=[seed])
        np.testing.assert_array_equal(clip.codes, alone.codes)
    chunks = list(both.stream("calm", max_steps=40, seed=1))
    assert sum(map(len, chunks)) == 37 * 640


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [1, 0], [1, -1], [1, float("nan")]])
def test_weights_that_make_no_sense_are_refused(tiny_model: MusicGen, weights: list[float]) -> None:
    with pytest.raises(InvalidRequestError):
        Ensemble([tiny_model, tiny_model], weights)


def test_models_that_do_not_fit_are_refused(tiny_model: MusicGen, tmp_path: Path) -> None:
    codec = dataclasses.replace(MusicGenConfig.tiny().audio_encoder, num_filters=4)
    strange = dataclasses.replace(MusicGenConfig.tiny(), audio_encoder=codec)
    model = MusicGen.from_pretrained(make_tiny_checkpoint(tmp_path, 1, strange))
    with pytest.raises(InvalidRequestError, match="cannot be mixed"):
        Ensemble([tiny_model, model])
    # The same geometry, but codes that mean other sounds.
    stranger = MusicGen.from_pretrained(make_tiny_checkpoint(tmp_path / "stranger", 3))
    with pytest.raises(InvalidRequestError, match="cannot be mixed"):
        Ensemble([tiny_model, stranger])
    # The same codec and codebooks, but nothing in common in what it is conditioned on.
    follows = dataclasses.replace(
        MusicGenConfig.tiny(),
        decoder=dataclasses.replace(DecoderConfig.tiny(), cross_attention=False),
        melody=MelodyConfig(chroma_length=5),
    )
    folder = make_tiny_checkpoint(tmp_path / "melody", 1, follows, codec_of=tiny_model.folder)
    with pytest.raises(InvalidRequestError, match="cannot be mixed"):
        Ensemble([tiny_model, MusicGen.from_pretrained(folder)])
    with pytest.raises(InvalidRequestError, match="two models"):
        Ensemble([tiny_model])


def test_the_strictest_licence_counts(tiny_model: MusicGen, other: MusicGen, monkeypatch: Any) -> None:
    monkeypatch.setattr(tiny_model, "license", "mit")
    monkeypatch.setattr(other, "license", "cc-by-nc-4.0")
    assert Ensemble([tiny_model, other]).license == "cc-by-nc-4.0"


def test_texts_of_one_length_are_so_for_every_model(
    tiny_model: MusicGen, other: MusicGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On GPUs, where clips share padding: the second model may read one text as more tokens than another."""

    class Words:
        def encode(self, text: str) -> list[int]:
            return [3] * len(text.split())

    class Letters:
        def encode(self, text: str) -> list[int]:
            return [3] * len(text)

    both = Ensemble([tiny_model, other])
    monkeypatch.setattr(both, "_exact", False)
    prompts = ["calm piano", "calm piano, and " + "l" * 20, "calm guitar"]
    for model in (tiny_model, other):
        monkeypatch.setattr(model, "tokenizer", Words())
    assert both._groups(prompts, 8) == [[0, 1, 2]]
    monkeypatch.setattr(other, "tokenizer", Letters())
    assert both._groups(prompts, 8) == [[0, 2], [1]]
