"""What is refused or told in a sentence: codes of no book, damage, streams that broke off."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from generation import backend, batching
from generation.ensemble import Ensemble
from generation.errors import AudioError, GenerationError, InvalidRequestError
from generation.musicgen import MusicGen


@pytest.mark.parametrize(
    "codes",
    [np.full((4, 5), 64), np.full((4, 5), -1), np.full((4, 5), 0.7), np.zeros((3, 5), int)],
)
def test_codes_of_no_book(tiny_model: MusicGen, codes: Any) -> None:
    with pytest.raises(InvalidRequestError, match="Codes are"):
        tiny_model.decode(codes)
    with pytest.raises(InvalidRequestError, match="Codes are"):
        tiny_model.compose(["calm"], given=codes, duration=1)


def test_sixteen_bit_samples_are_heard_as_floats(tiny_model: MusicGen) -> None:
    whole = (np.sin(np.arange(16_000) / 20) * 16_000).astype(np.int16)
    np.testing.assert_array_equal(tiny_model.encode(whole, 32_000), tiny_model.encode(whole / 32768, 32_000))
    with pytest.raises(AudioError, match="int32"):
        tiny_model.encode(whole.astype(np.int32), 32_000)


def test_a_stream_that_broke_off_is_no_clip(tiny_model: MusicGen) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    stream = tiny_model.stream("calm", seed=1, duration=2.0, progress=stop)
    next(stream)
    with pytest.raises(KeyboardInterrupt):
        list(stream)
    with pytest.raises(GenerationError, match="new one"):
        next(stream)
    with pytest.raises(GenerationError, match="not finished"):
        _ = stream.composition


@pytest.mark.parametrize("options", [{"dtype": "float16"}, {"bits": 8}], ids=str)
def test_damage_is_told_in_every_number_type(tiny_folder: Any, options: dict[str, Any]) -> None:
    model = MusicGen.from_pretrained(tiny_folder, **options)
    model.parts.decoder.norm.weight = model.parts.decoder.norm.weight * float("nan")
    with pytest.raises(GenerationError, match="damaged"):
        model.compose(["calm"], seeds=[1], max_steps=8)


def test_models_share_the_memory(tiny_model: MusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    both = Ensemble([tiny_model, tiny_model])
    assert both.batch_limit(10) == tiny_model.batch_limit(10)  # there is enough for as many as pay
    clip = batching.clip_bytes(tiny_model.config, 10, itemsize=4, merged=True)
    monkeypatch.setattr(batching, "_SHARE", 1.0)
    monkeypatch.setattr(batching, "device_memory", lambda: mx.get_active_memory() + 4 * clip)
    assert (tiny_model.batch_limit(10), both.batch_limit(10)) == (4, 2)


def test_narrow_models_work_in_one_thread(tiny_model: MusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    @contextmanager
    def one_thread() -> Any:
        held.append(1)
        yield
        held.append(-1)

    monkeypatch.setattr(backend, "one_thread", one_thread)
    tiny_model.compose(["calm"], seeds=[1], max_steps=6)
    assert held == [1, -1, 1, -1]


@pytest.mark.parametrize(
    "options", [{"context": math.nan}, {"context": math.inf}, {"limit": math.nan}], ids=str
)
def test_seconds_that_are_no_numbers(tiny_model: MusicGen, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        tiny_model.compose(["calm"], duration=1, **options)
    with pytest.raises(InvalidRequestError):
        tiny_model.stream("calm", duration=1, chunk=math.inf)
