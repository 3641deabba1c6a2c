"""Prompts that are encoded together become what they become alone."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from generation.backend import backend_name
from generation.bench import random_model
from generation.config import MusicGenConfig
from generation.musicgen import MusicGen
from generation.prompt_states import encode_together

PROMPTS = [
    "calm piano",
    "",
    "a very long walk through the rain, with strings and no drums at all",
    "  ",
    "techno",
]

CLOSE = 1e-5 if backend_name() == "cpu" else 1e-3
"""Tensor cores multiply 10 bits of a fraction."""


@pytest.fixture(scope="module")
def model() -> MusicGen:
    return random_model(MusicGenConfig.tiny(), "float32")


class Words:
    """A token for each word, so that lengths differ."""

    def encode(self, text: str) -> list[int]:
        """As tokenizers do, with an end."""
        return [*(3 + len(word) for word in text.split()), 1]


@pytest.mark.parametrize("block", [1, 4, 32])
@pytest.mark.parametrize("prompts", [PROMPTS, PROMPTS[:1], ["", " "]], ids=len)
def test_together_and_alone(model: MusicGen, prompts: list[str], block: int) -> None:
    together = encode_together(model.parts, Words(), prompts, dtype="float32", block=block)
    for prompt, own in zip(prompts, together, strict=True):
        if not prompt.strip():
            assert own is None
            continue
        tokens = mx.array([Words().encode(prompt)])
        alone = model.parts.decoder.project_text(model.parts.text_encoder(tokens))[0]
        assert own is not None
        assert own.shape == alone.shape
        np.testing.assert_allclose(np.array(own), np.array(alone), atol=CLOSE)


def test_which_backend_does(model: MusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a clip must be the same alone and in a batch, each prompt goes alone."""
    sizes: list[int] = []
    encoder = model.parts.text_encoder

    def noted(tokens: mx.array, mask: mx.array | None = None) -> mx.array:
        sizes.append(tokens.shape[0])
        states: mx.array = encoder(tokens, mask)
        return states

    monkeypatch.setattr(model.parts, "text_encoder", noted)
    for exact, expected in ((True, [1, 1]), (False, [2])):
        sizes.clear()
        monkeypatch.setattr(model, "_exact", exact)
        model.compose(["one", "two"], seeds=[1, 2], duration=0.1)
        assert sizes == expected
