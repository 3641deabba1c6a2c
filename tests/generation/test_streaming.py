"""Music while it is made: the same tokens, the same samples up to rounding, the first sound soon."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from generation import composition
from generation.composition import Composition
from generation.errors import GenerationError, InvalidRequestError
from generation.musicgen import MusicGen

OPTIONS: dict[str, Any] = {"duration": 1.51, "chunk": 0.3, "first_chunk": 0.2}


def whole(model: MusicGen, **options: Any) -> Composition:
    wanted = {name: value for name, value in options.items() if "chunk" not in name}
    return model.compose(["calm piano"], seeds=[3], **wanted)[0]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"chunk": 0.02, "first_chunk": 0.02},
        {"chunk": 5.0, "first_chunk": 5.0},
        {"given": np.ones((4, 20), np.int16)},
        {"temperature": 0, "guidance": 1.0},
        {"duration": 0.02},
    ],
    ids=str,
)
def test_a_stream_is_the_clip(tiny_model: MusicGen, change: dict[str, Any]) -> None:
    options = OPTIONS | change
    expected = whole(tiny_model, **options)
    stream = tiny_model.stream("calm piano", seed=3, **options)
    chunks = list(stream)
    np.testing.assert_array_equal(stream.composition.codes, expected.codes)
    np.testing.assert_array_equal(stream.composition.audio, expected.audio)
    np.testing.assert_allclose(np.concatenate(chunks), expected.audio, atol=1e-4)
    assert stream.composition.given_frames == expected.given_frames


def test_a_stream_over_several_windows_is_the_clip(
    tiny_model: MusicGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composition, "WINDOW_SECONDS", 0.5)
    expected = whole(tiny_model, duration=1.51, context=0.2)
    chunks = list(tiny_model.stream("calm piano", seed=3, context=0.2, **OPTIONS))
    np.testing.assert_allclose(np.concatenate(chunks), expected.audio, atol=1e-4)


def test_sound_comes_while_the_rest_is_still_to_be_made(tiny_model: MusicGen) -> None:
    steps: list[int] = []
    stream = tiny_model.stream(
        "calm piano", seed=3, duration=3.0, progress=lambda done, total: steps.append(done)
    )
    first = next(stream)
    # 20 frames for the chunk, 8 that the codec holds back, 3 of delay, one that is always under way.
    assert steps[-1] <= 32
    assert 0.2 <= len(first) / tiny_model.sampling_rate <= 1.0
    sizes = [len(chunk) for chunk in stream]
    assert len(sizes) == 3
    assert len(first) + sum(sizes) == 96_000


def test_a_clip_is_known_only_at_its_end(tiny_model: MusicGen) -> None:
    stream = tiny_model.stream("calm piano", seed=3, duration=1.0)
    next(stream)
    with pytest.raises(GenerationError, match="not finished"):
        _ = stream.composition


def test_chunks_of_no_length_are_refused(tiny_model: MusicGen) -> None:
    with pytest.raises(InvalidRequestError, match="chunk"):
        tiny_model.stream("calm piano", chunk=0)


def test_a_stream_that_is_left_is_gone_at_once(tiny_model: MusicGen) -> None:
    """It holds caches, and a narrow decoder's one thread."""
    gc.disable()
    try:
        stream = tiny_model.stream("calm piano", seed=1, duration=3)
        next(stream)
        pieces = weakref.ref(stream._pieces)
        del stream
        assert pieces() is None
    finally:
        gc.enable()
