"""Clips that are decoded together sound as they do alone."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from generation import decoding
from generation.backend import backend_name
from generation.codec_stream import CodecStream
from generation.config import EncodecConfig
from generation.decoding import decode_clip, decode_clips
from generation.encodec import Encodec

CLOSE = 1e-5 if backend_name() == "cpu" else 1e-3
"""Tensor cores multiply 10 bits of a fraction."""


@pytest.fixture(scope="module")
def codec() -> Encodec:
    mx.random.seed(2)
    made = Encodec(EncodecConfig.tiny())
    made.eval()
    return made


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("clips", "rows", "room"), [(5, 5, 2), (1, 4, 8), (3, 3, 1), (4, 4, 4)])
def test_together_and_alone(
    codec: Encodec, channels: int, clips: int, rows: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_room", lambda _seconds: room)
    config = EncodecConfig.tiny()
    books = config.num_quantizers * channels
    codes = list(np.random.default_rng(1).integers(0, config.codebook_size, (clips, books, 9)))
    together = decode_clips(codec, config, codes, channels, rows=rows)
    assert len(together) == clips
    for one, own in zip(together, codes, strict=True):
        alone = decode_clip(codec, config, own, channels)
        assert one.shape == alone.shape == ((9 * 640, 2) if channels == 2 else (9 * 640,))
        np.testing.assert_allclose(one, alone, atol=CLOSE)


def test_memory_bounds_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    for gigabytes, most in ((1, 1), (16, 2), (80, 16), (140, 32), (1000, 32)):
        monkeypatch.setattr(decoding.batching, "device_memory", lambda gb=gigabytes: gb * 10**9)
        assert decoding._room(10) == most


def test_long_clips_are_decoded_in_pieces(codec: Encodec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or memory would grow with them."""
    monkeypatch.setattr(decoding, "_PIECE_SECONDS", {})
    monkeypatch.setattr(decoding, "_LONGEST_PIECE", 0.1)
    sizes: list[int] = []
    feed = CodecStream.feed

    def fed(stream: CodecStream, codes: mx.array, *, last: bool = False) -> mx.array:
        sizes.append(codes.shape[2])
        return feed(stream, codes, last=last)

    monkeypatch.setattr(CodecStream, "feed", fed)
    config = EncodecConfig.tiny()
    codes = list(np.random.default_rng(1).integers(0, config.codebook_size, (2, config.num_quantizers, 9)))
    whole = np.array(codec.decode(mx.array(codes[0])[None]))[0, :, 0]
    np.testing.assert_allclose(decode_clip(codec, config, codes[0], 1), whole, atol=CLOSE)
    assert sizes == [5, 4]
    decode_clips(codec, config, codes, 1, rows=2)
    assert sizes == [5, 4] * 3


def test_a_clip_that_is_kept_keeps_no_other(codec: Encodec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_room", lambda _seconds: 4)
    config = EncodecConfig.tiny()
    codes = list(np.zeros((4, config.num_quantizers, 9), np.int32))
    assert all(clip.base is None for clip in decode_clips(codec, config, codes, 1, rows=4))
