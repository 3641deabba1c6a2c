"""Decoded in pieces, a clip's samples are those of one decode."""

from __future__ import annotations

import dataclasses

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.codec_stream import CodecStream, decode_in_pieces, output_reach
from generation.config import EncodecConfig
from generation.encodec import Encodec

BASE = EncodecConfig.tiny()
CONFIGS = {
    "published": BASE,
    "causal": dataclasses.replace(BASE, use_causal_conv=True),
    "zero padding": dataclasses.replace(BASE, pad_mode="constant"),
    "dilated": dataclasses.replace(BASE, num_residual_layers=2, dilation_growth_rate=3),
    "wide kernels": dataclasses.replace(BASE, kernel_size=11, last_kernel_size=9, residual_kernel_size=5),
    "no LSTM": dataclasses.replace(BASE, num_lstm_layers=0),
}


def codec_of(config: EncodecConfig) -> Encodec:
    mx.random.seed(3)
    return Encodec(config)


def random_codes(config: EncodecConfig, frames: int) -> mx.array:
    drawn = np.random.default_rng(frames).integers(
        0, config.codebook_size, (1, config.num_quantizers, frames)
    )
    return mx.array(drawn)


def in_pieces(codec: Encodec, config: EncodecConfig, codes: mx.array, sizes: list[int]) -> np.ndarray:
    stream, pieces, start = CodecStream(codec, config), [], 0
    for size in sizes:
        pieces.append(np.array(stream.feed(codes[:, :, start : start + size])))
        start += size
    pieces.append(np.array(stream.feed(codes[:, :, start:], last=True)))
    return np.concatenate(pieces, axis=1)


@pytest.mark.parametrize("name", CONFIGS)
@given(frames=st.integers(1, 40), sizes=st.lists(st.integers(0, 15), max_size=6))
@settings(max_examples=15, deadline=None)
def test_pieces_of_any_size_join_to_the_whole(name: str, frames: int, sizes: list[int]) -> None:
    config = CONFIGS[name]
    codec, codes = codec_of(config), random_codes(config, frames)
    whole = np.array(codec.decode(codes))
    sizes = [size for i, size in enumerate(sizes) if sum(sizes[: i + 1]) < frames]
    np.testing.assert_allclose(in_pieces(codec, config, codes, sizes), whole, atol=1e-5)


def test_what_is_settled_comes_at_once_and_little_is_held_back() -> None:
    config = BASE
    codec, codes = codec_of(config), random_codes(config, 60)
    stream = CodecStream(codec, config)
    held = output_reach(config) + config.kernel_size - 1
    assert stream.feed(codes[:, :, :50]).shape == (1, (50 - held) * config.hop_length, config.audio_channels)
    assert stream.feed(codes[:, :, 50:], last=True).shape[1] == (10 + held) * config.hop_length
    assert held <= 9


def test_what_is_kept_does_not_grow() -> None:
    codec, codes = codec_of(BASE), random_codes(BASE, 200)
    stream, kept = CodecStream(codec, BASE), []
    for start in range(0, 200, 20):
        stream.feed(codes[:, :, start : start + 20])
        kept.append(sum(value.nbytes for value in vars(stream).values() if isinstance(value, mx.array)))
    assert len(set(kept[1:])) == 1


def test_the_memory_is_that_of_a_piece_not_of_the_clip() -> None:
    config = BASE
    codec, codes = codec_of(config), random_codes(config, 4_000)
    peaks = {}
    for frames in (1_000, 4_000):
        mx.clear_cache()
        mx.reset_peak_memory()
        for piece in decode_in_pieces(codec, config, codes[:, :, :frames], frames=100):
            mx.eval(piece)
        peaks[frames] = mx.get_peak_memory()
    assert peaks[4_000] < 1.5 * peaks[1_000] + 4_000 * config.hop_length * 4
