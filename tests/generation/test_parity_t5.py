"""Our T5 encoder against transformers' `T5EncoderModel`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from generation.checkpoints import load_config
from generation.parts import load_parts
from generation.t5 import relative_position_buckets

TOLERANCE = 1e-4


def theirs(model: Any, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        out = model.text_encoder(input_ids=torch.tensor(tokens), attention_mask=torch.tensor(mask))
    return np.asarray(out.last_hidden_state)


@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu"])
@pytest.mark.parametrize("lengths", [(7,), (300, 1, 129)], ids=["short", "longer than the distances"])
def test_states_match(
    feed_forward: str,
    lengths: tuple[int, ...],
    make_reference: Callable[..., Any],
    store_reference: Callable[..., Path],
    tmp_path: Path,
) -> None:
    model = make_reference(text={"feed_forward_proj": feed_forward}, seed=1)
    folder = store_reference(model, tmp_path)
    encoder = load_parts(folder, load_config(folder)).text_encoder
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    tokens = np.random.default_rng(0).integers(3, 99, mask.shape) * mask
    expected = theirs(model, tokens, mask)
    ours = np.array(encoder(mx.array(tokens), mx.array(mask)))
    assert np.abs(expected[mask]).max() > 0.5  # the comparison means something
    np.testing.assert_allclose(ours[mask], expected[mask], atol=TOLERANCE)


def test_padding_is_not_attended_to(tiny_model: Any) -> None:
    encoder = tiny_model.parts.text_encoder
    tokens = np.array([[5, 9, 3, 1]])
    alone = np.array(encoder(mx.array(tokens)))
    padded = np.concatenate([tokens, [[7, 7, 7]]], axis=1)
    mask = np.arange(7)[None] < 4
    together = np.array(encoder(mx.array(padded), mx.array(mask)))[:, :4]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert np.abs(np.array(encoder(mx.array(padded)))[:, :4] - alone).max() > 1e-3


@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (8, 20)])
def test_buckets_match(buckets: int, furthest: int) -> None:
    import torch
    from transformers.models.t5.modeling_t5 import T5Attention

    position = torch.arange(700)
    expected = T5Attention._relative_position_bucket(
        position[None] - position[:, None], bidirectional=True, num_buckets=buckets, max_distance=furthest
    )
    ours = np.array(relative_position_buckets(700, buckets, furthest))
    np.testing.assert_array_equal(ours, expected.numpy())


def test_the_config_says_whether_there_is_a_gate(
    make_reference: Callable[..., Any], store_reference: Callable[..., Path], tmp_path: Path
) -> None:
    """`relu` must not be built with a gate (musicgen.md's list of known errors, number 12)."""
    for name, gated in (("relu", False), ("gated-gelu", True)):
        folder = store_reference(make_reference(text={"feed_forward_proj": name}), tmp_path / name)
        layer = load_parts(folder, load_config(folder)).text_encoder.blocks[0].feed_forward
        assert ("wi_0" in layer) is gated
        assert ("wi" in layer) is not gated
