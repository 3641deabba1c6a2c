"""The delay pattern: what it does to codes is undone exactly, and nothing else gets in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.delay import UNKNOWN, DelayPattern
from generation.errors import InvalidRequestError

PAD = 64


def reverted(pattern: DelayPattern, tokens: np.ndarray) -> np.ndarray:
    """Tokens of each step `(K, steps)` back to codes `(K, frames)`."""
    frames = pattern.frames(tokens.shape[1])
    return np.stack([tokens[k, delay : delay + frames] for k, delay in enumerate(pattern.delays)])


@given(
    books=st.integers(1, 4),
    channels=st.sampled_from([1, 2]),
    frames=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_code_is_found_where_its_book_is_delayed_to(
    books: int, channels: int, frames: int, seed: int
) -> None:
    pattern = DelayPattern.of(books * channels, channels)
    codes = np.random.default_rng(seed).integers(0, PAD, (books * channels, frames))
    tokens = pattern.apply(codes, PAD)
    assert tokens.shape == (books * channels, frames + books - 1)
    np.testing.assert_array_equal(reverted(pattern, tokens), codes)
    # Every pad is where no frame reaches, and nowhere else.
    assert (tokens == PAD).sum() == tokens.size - codes.size


def test_the_published_patterns() -> None:
    assert DelayPattern.of(4).delays == (0, 1, 2, 3)
    assert DelayPattern.of(8, audio_channels=2).delays == (0, 0, 1, 1, 2, 2, 3, 3)


def test_the_picture_in_the_paper() -> None:
    codes = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]])
    np.testing.assert_array_equal(
        DelayPattern.of(4).apply(codes, 0),
        [[1, 2, 3, 0, 0, 0], [0, 4, 5, 6, 0, 0], [0, 0, 7, 8, 9, 0], [0, 0, 0, 10, 11, 12]],
    )


def test_a_plan_knows_pads_and_the_prompt_only() -> None:
    pattern = DelayPattern.of(4)
    prompt = np.arange(8).reshape(4, 2)
    plan = pattern.plan(5, PAD, prompt)
    assert plan.shape == (4, 8)
    known = reverted(pattern, plan)
    np.testing.assert_array_equal(known[:, :2], prompt)
    assert (known[:, 2:] == UNKNOWN).all()
    assert (plan == PAD).sum() == 12


def test_frames_of_steps() -> None:
    pattern = DelayPattern.of(4)
    assert pattern.frames(300) == 297
    assert pattern.frames(4) == 1
    assert pattern.steps(500) == 503
    for steps in (3, 0, -5):
        with pytest.raises(InvalidRequestError, match="at least 4 steps"):
            pattern.frames(steps)


def test_matches_transformers() -> None:
    """Their mask has a start token in front; from there on our plan is theirs."""
    import torch
    from transformers import MusicgenDecoderConfig, MusicgenForCausalLM

    for books, channels in ((4, 1), (8, 2)):
        config = MusicgenDecoderConfig(
            vocab_size=PAD,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            ffn_dim=16,
            num_codebooks=books,
            audio_channels=channels,
            pad_token_id=PAD,
            bos_token_id=PAD,
        )
        model = MusicgenForCausalLM(config)
        start = torch.full((books, 1), PAD)
        _, mask = model.build_delay_pattern_mask(start, pad_token_id=PAD, max_length=24)
        pattern = DelayPattern.of(books, channels)
        np.testing.assert_array_equal(mask[:, 1:].numpy(), pattern.plan(pattern.frames(23), PAD))
