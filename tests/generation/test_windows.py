"""Clips longer than a window, and clips that go on from given music."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given as example
from hypothesis import strategies as st
from whole_codes import compose_codes

from generation import composition
from generation.config import DecoderConfig
from generation.decoder import MusicGenDecoder
from generation.errors import InvalidRequestError
from generation.musicgen import MusicGen
from generation.sampling import SamplingSettings
from generation.windows import Window, plan_windows


@pytest.fixture
def decoder() -> MusicGenDecoder:
    mx.random.seed(5)
    return MusicGenDecoder(DecoderConfig.tiny(), text_dim=32)


@example(st.integers(1, 4_000), st.integers(0, 3_999), st.integers(2, 1_500), st.integers(1, 1_499))
def test_every_frame_is_made_once_and_seen_with_its_context(
    frames: int, given: int, window: int, context: int
) -> None:
    if given >= frames or context >= window:
        with pytest.raises(InvalidRequestError):
            plan_windows(frames, given=given, window=window, context=context)
        return
    plan = plan_windows(frames, given=given, window=window, context=context)
    made = [frame for part in plan for frame in range(part.new, part.end)]
    assert made == list(range(given, frames))
    assert all(part.end - part.start <= window for part in plan)
    assert all(part.new - part.start >= min(context, part.new) for part in plan)


def test_the_published_windows() -> None:
    """audiocraft's: 30 seconds, then 18 at a time after 12 of context."""
    assert plan_windows(3_000, window=1_500, context=600) == [
        Window(0, 0, 1_500),
        Window(900, 1_500, 2_400),
        Window(1_800, 2_400, 3_000),
    ]


def test_a_window_is_what_the_model_says_after_its_context(decoder: MusicGenDecoder) -> None:
    greedy = SamplingSettings(temperature=0, guidance=1)
    whole = compose_codes(decoder, [], frames=30, seeds=[4], settings=greedy, window=12, context=5)
    for part in plan_windows(30, window=12, context=5)[1:]:
        context = whole[:, :, part.start : part.new]
        again = compose_codes(
            decoder, [], frames=part.end - part.start, seeds=[4], settings=greedy, prompt=context
        )
        np.testing.assert_array_equal(again, whole[:, :, part.start : part.end])


def test_windows_draw_their_own_random_numbers(decoder: MusicGenDecoder) -> None:
    """With one key for the same place of every window a clip would repeat itself."""
    flat = MusicGenDecoder(decoder.config, text_dim=32)
    flat.heads.weight = mx.zeros_like(flat.heads.weight)  # every token is equally likely: only the keys count
    settings = SamplingSettings(top_k=0, guidance=1)
    codes = compose_codes(flat, [], frames=40, seeds=[4], settings=settings, window=20, context=4)
    assert (codes[0, :, 4:16] != codes[0, :, 20:32]).mean() > 0.5
    long = compose_codes(flat, [], frames=40, seeds=[4], settings=settings)
    np.testing.assert_array_equal(codes[:, :, :20], long[:, :, :20])


def test_long_clips_are_cut_and_counted_exactly(
    tiny_model: MusicGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composition, "WINDOW_SECONDS", 0.5)
    calls: list[tuple[int, int]] = []
    (clip,) = tiny_model.compose(
        ["calm piano"], duration=1.3, seeds=[3], context=0.2, progress=lambda *at: calls.append(at)
    )
    assert clip.audio.shape == (41_600,)
    assert clip.codes.shape == (4, 65)
    # 25 + 3, 15 + 3, 15 + 3 and 10 + 3 steps
    assert calls == [(done, 77) for done in range(1, 78)]


def test_music_goes_on_from_given_codes(tiny_model: MusicGen) -> None:
    first = tiny_model.compose(["calm piano"], duration=0.5, seeds=[3])[0]
    (longer,) = tiny_model.compose(["calm piano"], duration=1.0, seeds=[9], given=first.codes)
    assert longer.given_frames == 25
    np.testing.assert_array_equal(longer.codes[:, :25], first.codes)
    assert longer.audio.shape == (32_000,)
    other = tiny_model.compose(["calm piano"], duration=1.0, seeds=[9], given=first.codes[:, ::-1])[0]
    assert (longer.codes[:, 25:] != other.codes[:, 25:]).any()


def test_sound_becomes_codes_to_go_on_from(tiny_model: MusicGen) -> None:
    rng = np.random.default_rng(1)
    stereo = rng.uniform(-0.5, 0.5, (44_100, 2)).astype(np.float32)
    codes = tiny_model.encode(stereo, 44_100)
    assert codes.shape == (4, 50)
    mono = tiny_model.encode(stereo.mean(axis=1), 44_100)
    np.testing.assert_array_equal(codes, mono)
    expected = tiny_model.parts.codec.encode(mx.array(stereo.mean(axis=1)[None, :32_000, None]))
    np.testing.assert_array_equal(
        tiny_model.encode(stereo.mean(axis=1)[:32_000], 32_000), np.array(expected)[0]
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"given": np.zeros((4, 50), np.int16), "duration": 1.0}, "ask for more"),
        ({"given": np.zeros((3, 5), np.int16)}, "K = 4"),
        ({"given": np.zeros(5, np.int16)}, "K = 4"),
        ({"context": 30.0}, "shorter than the model's window"),
        ({"context": 0.0}, "shorter than the model's window"),
        ({"duration": 20, "limit": 10}, "over the limit of 10 s"),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused(
    tiny_model: MusicGen, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        tiny_model.compose(["calm piano"], **options)
    with pytest.raises(InvalidRequestError, match=sentence):
        tiny_model.stream("calm piano", **options)


@pytest.mark.parametrize("audio", [np.zeros(0, np.float32), np.array([0.1, np.nan], np.float32)])
def test_sound_that_is_none_is_refused(tiny_model: MusicGen, audio: Any) -> None:
    with pytest.raises(InvalidRequestError, match="empty"):
        tiny_model.encode(audio, 32_000)
