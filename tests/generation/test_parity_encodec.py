"""Our EnCodec against transformers' `EncodecModel`: the same codes, the same samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from generation.checkpoints import load_config
from generation.config import EncodecConfig
from generation.encodec import Conv1d, _pad
from generation.parts import load_parts

TOLERANCE = 1e-4

VARIANTS = {
    "as published": {},
    "causal": {"use_causal_conv": True},
    "causal, constant": {"use_causal_conv": True, "pad_mode": "constant"},
    "constant": {"pad_mode": "constant"},
    "shortcut": {"use_conv_shortcut": True},
    "one LSTM layer": {"num_lstm_layers": 1},
    "several residual layers": {"num_residual_layers": 3, "dilation_growth_rate": 3},
    "causal, several residual layers": {"num_residual_layers": 2, "use_causal_conv": True},
    "causal, trimmed on both sides": {"use_causal_conv": True, "trim_right_ratio": 0.5},
    "other ratios": {"upsampling_ratios": [8, 5, 4, 2, 2], "target_bandwidths": [2.4], "codebook_size": 64},
    "wider residual kernel": {"residual_kernel_size": 5, "kernel_size": 5, "last_kernel_size": 3},
}


@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS.keys())
def test_codes_and_samples_match(
    change: dict[str, Any],
    make_reference: Callable[..., Any],
    store_reference: Callable[..., Path],
    tmp_path: Path,
) -> None:
    import torch

    # The decoder is not used here, but its codebooks must agree with the codec's.
    books = 8 if change.get("target_bandwidths") == [2.4] else 4
    model = make_reference(codec=change, decoder={"num_codebooks": books, "num_hidden_layers": 1}, seed=2)
    folder = store_reference(model, tmp_path)
    theirs, ours = model.audio_encoder, load_parts(folder, load_config(folder)).codec
    for samples in (6417, 640, 300):
        audio = np.random.default_rng(samples).uniform(-1, 1, (2, 1, samples)).astype(np.float32)
        with torch.no_grad():
            expected_codes = theirs.encode(torch.tensor(audio)).audio_codes[0].numpy()
            expected = theirs.decode(torch.tensor(expected_codes)[None], [None]).audio_values.numpy()
        codes = np.array(ours.encode(mx.array(audio.transpose(0, 2, 1))))
        np.testing.assert_array_equal(codes, expected_codes)
        decoded = np.array(ours.decode(mx.array(codes)))[..., 0]
        np.testing.assert_allclose(decoded, expected[:, 0], atol=TOLERANCE)
        # Random weights use several codes and are not silent, so the comparison means something.
        assert len(np.unique(codes)) > 3
        assert np.abs(decoded).max() > 0.01


def test_a_batch_of_two_is_two_clips(tiny_model: Any) -> None:
    """An LSTM written as one kernel mixed the rows of a batch and ran on Metal only (known error 6)."""
    codec = tiny_model.parts.codec
    codes = mx.random.randint(0, 64, (2, 4, 12), key=mx.random.key(3))
    together = np.array(codec.decode(codes))
    for row in range(2):
        alone = np.array(codec.decode(codes[row : row + 1]))
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)


def test_dilated_convolutions_keep_the_length() -> None:
    """The padding must grow with the dilation (known error 13)."""
    config = EncodecConfig.tiny()
    for dilation in (1, 2, 4, 9):
        conv = Conv1d(config, 2, 2, 3, dilation=dilation)
        assert conv(mx.zeros((1, 50, 2))).shape == (1, 50, 2)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_only_time_is_padded(mode: str) -> None:
    """Constant padding must leave the batch and the channels alone (known error 13)."""
    x = mx.arange(24, dtype=mx.float32).reshape(2, 4, 3)
    padded = np.array(_pad(x, 2, 1, mode))
    numpy_mode: Any = mode
    np.testing.assert_array_equal(padded, np.pad(np.array(x), [(0, 0), (2, 1), (0, 0)], mode=numpy_mode))
