"""The model that ships: what its files promise, that transformers reads them too, and how it sounds."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from generation.checkpoints import model_license, weight_files
from generation.musicgen import MusicGen
from generation.training.language_model import named_arrays
from generation.training.report_codec import melody_errors
from generation.training.starter.evaluate import evaluate
from generation.training.starter.judge import faults
from generation.training.starter.prompts import BRIGHTNESS, DRUMS, PACE, PAIRS

STARTER = Path(__file__).parents[2] / "mlx-models" / "starter"
PROMPTS = ["calm piano", "happy rock with drums", "dark slow strings", "fast bright bells"]


@pytest.fixture(scope="module")
def starter() -> MusicGen:
    return MusicGen.from_pretrained(STARTER)


def test_everything_said_of_the_real_models_holds_for_it(starter: MusicGen) -> None:
    assert (starter.sampling_rate, starter.frame_rate, starter.num_codebooks) == (32_000, 50, 4)
    assert starter.channels == 1
    assert starter.generate("calm piano", duration=0.5, seed=0).shape == (16_000,)


def test_it_is_small(starter: MusicGen) -> None:
    assert sum(path.stat().st_size for path in STARTER.iterdir()) <= 20e6
    assert sum(value.size for _, value in named_arrays(starter.parts)) <= 9.9e6
    stored = mx.load(str(weight_files(STARTER)[0]))
    assert isinstance(stored, dict)
    assert {value.dtype for value in stored.values()} == {mx.float16}


def test_its_card_says_what_it_is() -> None:
    card = (STARTER / "README.md").read_text(encoding="utf-8")
    assert model_license(STARTER) == "mit"
    for heading in ("What it is", "What it is not", "How it was made", "Figures", "Licence"):
        assert f"## {heading}" in card


def test_it_is_never_silent_clipped_or_broken(starter: MusicGen) -> None:
    clips = starter.generate(PROMPTS, duration=3, seed=11)
    assert faults(clips) == {"silent": 0, "clipped": 0, "not_finite": 0}


def test_the_notes_of_a_melody_keep_their_pitch_through_the_codec(starter: MusicGen) -> None:
    errors = melody_errors(starter.parts.codec, 3)
    assert errors["frames"] > 200
    assert errors["median"] < 10
    assert errors["within_50"] > 0.85


def test_transformers_loads_it_and_chooses_the_same_tokens(starter: MusicGen) -> None:
    import torch
    from transformers import MusicgenForConditionalGeneration

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # it remarks on special tokens outside the codes, as for the published models
        theirs = MusicgenForConditionalGeneration.from_pretrained(STARTER, dtype=torch.float32).eval()
    tokens = torch.tensor([starter.tokenizer.encode(PROMPTS[0])])
    with torch.no_grad():
        expected = theirs.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            guidance_scale=3.0,
            max_new_tokens=64,
        )
    made = starter.generate(PROMPTS[0], max_steps=64, temperature=0, guidance=3.0)
    np.testing.assert_allclose(made, np.clip(expected[0, 0].numpy(), -1, 1), atol=1e-4)


def test_its_sampling_defaults_are_its_own(starter: MusicGen) -> None:
    stored = json.loads((STARTER / "generation_config.json").read_text(encoding="utf-8"))
    assert starter.settings.guidance == stored["guidance_scale"]
    assert starter.settings.top_k == stored["top_k"]


@pytest.mark.slow  # three minutes of CPU time: 120 clips of 6 seconds
def test_it_follows_pace_brightness_and_drums(starter: MusicGen) -> None:
    """The goal of its card, 70 % of 20 pairs each, with other seeds and lengths than the card's."""
    prompts = list(dict.fromkeys(prompt.text for pair in PAIRS for prompt in (pair.higher, pair.lower)))
    clips = dict(zip(prompts, starter.generate(prompts, duration=6, seed=500), strict=True))
    assert faults(list(clips.values())) == {"silent": 0, "clipped": 0, "not_finite": 0}
    shares = evaluate(clips.__getitem__, sampling_rate=starter.sampling_rate).shares
    assert set(shares) == {PACE, BRIGHTNESS, DRUMS}
    assert min(shares.values()) >= 0.7
