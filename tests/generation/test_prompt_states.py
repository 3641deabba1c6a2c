"""Prompts that are encoded together become what they become alone."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from generation import decoding
from generation.backend import backend_name
from generation.bench import random_model
from generation.config import MusicGenConfig
from generation.decoder import MusicGenDecoder
from generation.musicgen import MusicGen
from generation.prompt_states import encode_together
from generation.t5 import T5Encoder

PROMPTS = [
    "calm piano",
    "",
    "a very long walk through the rain, with strings and no drums at all",
    "  ",
    "techno",
]

CLOSE = 1e-5 if backend_name() == "cpu" else 5e-3
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
    encode = T5Encoder.__call__

    def noted(encoder: T5Encoder, tokens: mx.array, mask: mx.array | None = None) -> mx.array:
        sizes.append(tokens.shape[0])
        return encode(encoder, tokens, mask)

    monkeypatch.setattr(T5Encoder, "__call__", noted)
    for exact, expected in ((True, [1, 1]), (False, [2])):
        sizes.clear()
        monkeypatch.setattr(model, "_exact", exact)
        model.compose(["one", "two"], seeds=[1, 2], duration=0.1)
        assert sizes == expected


def test_a_clip_made_again_has_its_batchs_shapes(model: MusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bits depend on shapes, filling up with repeats gives every network the shapes of the whole batch."""
    monkeypatch.setattr(model, "_exact", False)
    monkeypatch.setattr(model, "backend", "cuda")
    monkeypatch.setattr(decoding, "_room", lambda _seconds: 2)
    seen: list[tuple[str, tuple[int, ...]]] = []

    def noting(name: str, holder: object) -> None:
        function = getattr(holder, name)

        def noted(*arguments: Any, **options: Any) -> Any:
            seen.append((name, next(a.shape for a in arguments if isinstance(a, mx.array))))
            return function(*arguments, **options)

        monkeypatch.setattr(holder, name, noted)

    noting("__call__", T5Encoder)
    noting("project_text", MusicGenDecoder)
    noting("next_logits", MusicGenDecoder)
    noting("_enter", decoding)
    noting("_leave", decoding)
    prompts = ["calm piano", "a march of the trombones", "techno"]
    model.compose(prompts, seeds=[1, 2, 3], duration=0.2)
    together = list(seen)
    seen.clear()
    model.compose(prompts[1:2], seeds=[2], duration=0.2, batch_size=3)
    # Of the decoder's groups only the one with the wanted clip is made again.
    assert seen == together[:-1]
    assert [name for name, _ in together[-2:]] == ["_leave", "_leave"]
    assert together[-2] == together[-1]
