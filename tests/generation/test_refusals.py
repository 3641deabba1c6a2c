"""What is refused or told in a sentence: codes of no book, numbers of no sense, damage, streams that broke off."""

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


def test_a_damaged_codec_is_told_by_a_stream(tiny_folder: Any) -> None:
    model = MusicGen.from_pretrained(tiny_folder)
    book = model.parts.codec.quantizer.layers[0]
    book.embed = book.embed * float("nan")
    with pytest.raises(GenerationError, match="samples that are no numbers"):
        next(model.stream("calm", seed=1, duration=1))


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
    "options",
    [
        {"context": math.nan},
        {"context": math.inf},
        {"context": "long"},
        {"limit": math.nan},
        {"limit": None},
        {"limit": 0},
    ],
    ids=str,
)
def test_seconds_that_are_no_numbers(tiny_model: MusicGen, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        tiny_model.compose(["calm"], duration=1, **options)
    with pytest.raises(InvalidRequestError):
        tiny_model.stream("calm", duration=1, chunk=math.inf)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_steps": 10.5}, "whole one, not 10.5"),
        ({"duration": "long"}, "number of seconds above 0"),
        ({"duration": 1, "seed": 1.5}, "A seed is a whole number from 0 to 9223372036854775807, not 1.5"),
        ({"duration": 1, "seed": ["1"]}, "A seed is a whole number"),
        ({"duration": 1, "top_k": 2.5}, "Top-k must be a whole number"),
        ({"duration": 1, "temperature": "hot"}, "must be numbers"),
        ({"duration": 1, "top_p": "most"}, "must be numbers"),
        ({"duration": 1, "guidance": [3.0]}, "must be numbers"),
        ({"duration": 1, "guidance": 1e7}, "from 0 to 1e"),
        ({"duration": 1, "temperature": 1e-40}, r"temperature must be 0 \(greedy\), or 1e-20 or more"),
    ],
    ids=str,
)
def test_what_is_no_number_of_its_kind(tiny_model: MusicGen, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"(?i){sentence}"):
        tiny_model.generate("calm", **options)


def test_numpys_numbers_are_numbers(tiny_model: MusicGen) -> None:
    expected = tiny_model.generate("calm", max_steps=6, seed=1, top_k=5, temperature=0.5)
    same = {
        "max_steps": np.int64(6),
        "seed": np.uint8(1),
        "top_k": np.int32(5),
        "temperature": np.float32(0.5),
    }
    np.testing.assert_array_equal(tiny_model.generate("calm", **same), expected)


@pytest.mark.parametrize(("prompt", "sentence"), [("calm \ud800", "surrogates"), (7, "not int")])
def test_prompts_that_are_no_text(tiny_model: MusicGen, prompt: Any, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        tiny_model.compose(["calm", prompt], max_steps=6)
    with pytest.raises(InvalidRequestError, match=sentence):
        tiny_model.stream(prompt, max_steps=6)
