"""Files of prompts: what is read of them, and what is refused, with the line."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from audiolib import BatchLine, GenerationRequest, SoundFinish
from audiolib.errors import InvalidInputError
from audiolib.promptfiles import KEYS, read_prompt_file
from audiolib.requests import GenerationOptions


def prompts(lines: list[BatchLine]) -> list[str]:
    return [line.request.prompt for line in lines]


class TestText:
    def test_a_prompt_a_line(self, tmp_path: Path) -> None:
        text = "\ufeffcalm piano\r\n\n# quiet ones:\n  happy röck \n   # more\na # within\n{curly\n\v\n"
        path = tmp_path / "prompts.txt"
        path.write_bytes(text.encode())
        lines = read_prompt_file(path)
        assert prompts(lines) == ["calm piano", "happy röck", "a # within", "{curly"]
        assert [line.number for line in lines] == [1, 4, 6, 7]
        assert prompts(read_prompt_file(text.encode())) == prompts(lines)
        assert prompts(read_prompt_file(b"one\rtwo\n")) == ["one", "two"]

    def test_options_and_counted_seeds(self) -> None:
        lines = read_prompt_file(b"one\ntwo", count=2, seed=5, duration=3.0, tags=("a",))
        assert [(line.number, line.request.seed) for line in lines] == [(1, 5), (1, 6), (2, 7), (2, 8)]
        assert {line.request.duration for line in lines} == {3.0}
        assert {line.request.tags for line in lines} == {("a",)}
        assert [line.request.seed for line in read_prompt_file(b"one\ntwo", count=2)] == [None] * 4

    @pytest.mark.parametrize("data", [b"", b"\n \n", b"# nothing\n"])
    def test_nothing_to_make(self, data: bytes) -> None:
        with pytest.raises(InvalidInputError, match="holds no prompts"):
            read_prompt_file(data)


class TestJsonLines:
    def test_options_of_a_line_win(self, tmp_path: Path) -> None:
        path = tmp_path / "prompts.jsonl"
        path.write_text(
            '{"prompt": "one", "duration": 8, "seed": 3, "tags": ["a", "b"], "guidance": 4, "count": 2}\n'
            '# a comment\n\n{"prompt": "two\u2028lines", "max_steps": 40, "output": "out/two.flac"}\n'
            '{"prompt": "three", "seed": null, "top_k": 5, "normalize": "peak", "fade_out": 0.5}\n',
            encoding="utf-8",
        )
        lines = read_prompt_file(
            path, duration=2.0, seed=50, top_k=9, audio_format="wav", finish=SoundFinish(fade_in=1)
        )
        first, again, two, three = (line.request for line in lines)
        assert (first.duration, first.seed, first.guidance, first.top_k) == (8, 3, 4, 9)
        assert list(first.tags) == ["a", "b"]
        assert again.seed == 4
        assert (two.prompt, two.duration, two.max_steps, two.seed) == ("two\u2028lines", None, 40, 52)
        assert (two.audio_format, lines[2].output) == ("flac", Path("out/two.flac"))
        assert (three.duration, three.seed, three.top_k) == (2.0, 53, 5)
        assert three.finish == SoundFinish(normalize="peak", fade_in=1, fade_out=0.5)
        assert [line.number for line in lines] == [1, 1, 4, 5]

    @pytest.mark.parametrize(
        ("command", "line", "finish"),
        [
            ({"normalize": "peak", "fade_in": 1}, '"normalize": "none"', {"fade_in": 1}),
            (
                {"normalize": "loudness", "loudness_lufs": -16},
                '"normalize": "peak"',
                {"normalize": "peak"},
            ),
            ({}, '"loudness_lufs": -16', {"normalize": "loudness", "loudness_lufs": -16}),
            (
                {"normalize": "peak", "headroom_db": 3},
                '"loudness_lufs": -20',
                {"normalize": "loudness", "loudness_lufs": -20},
            ),
            (
                {"normalize": "peak", "headroom_db": 3},
                '"normalize": "rms", "headroom_db": 20',
                {"normalize": "rms", "headroom_db": 20},
            ),
            (
                {"normalize": "peak", "headroom_db": 3},
                '"normalize": "peak"',
                {"normalize": "peak", "headroom_db": 3},
            ),
        ],
    )
    def test_a_line_finishes_otherwise(
        self, command: dict[str, Any], line: str, finish: dict[str, Any]
    ) -> None:
        data = f'{{"prompt": "one", {line}}}'.encode()
        (one,) = read_prompt_file(data, finish=SoundFinish(**command))
        assert one.request.finish == SoundFinish(**finish)

    def test_weights_go_with_the_models_beside_them(self) -> None:
        data = b'{"prompt": "one"}\n{"prompt": "two", "model": "starter"}'
        one, two = read_prompt_file(data, model=("a", "b"), model_weights=(1.0, 2.0))
        assert (one.request.model, one.request.model_weights) == (("a", "b"), (1.0, 2.0))
        assert (two.request.model, two.request.model_weights) == ("starter", None)

    def test_content_tells_by_its_first_character(self) -> None:
        assert prompts(read_prompt_file(b' {"prompt": "one"}')) == ["one"]
        assert prompts(read_prompt_file(b'{"prompt": "one"}', json_lines=False)) == ['{"prompt": "one"}']

    def test_every_option_can_be_given(self) -> None:
        options = set(GenerationOptions.__annotations__) - {"finish"}
        finish = {field.name for field in fields(SoundFinish)}
        assert set(KEYS) == {"prompt", "count", "output"} | options | finish
        assert options <= {field.name for field in fields(GenerationRequest)}

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ('{"prompt": "a", "tempo": 3}', "'tempo' is no option"),
            ('{"prompt": "a", "duration": "8"}', "'duration' must be a number, not \"8\""),
            ('{"prompt": "a", "duration": true}', "'duration' must be a number"),
            ('{"prompt": "a", "duration": NaN}', "'duration' must be a number"),
            ('{"prompt": "a", "duration": 1%s}' % ("0" * 400), "'duration' must be a number"),
            ('{"prompt": "a", "seed": 1%s}' % ("0" * 400), "'seed' must be a whole number"),
            ('{"prompt": "a", "seed": 1.5}', "'seed' must be a whole number"),
            ('{"prompt": "a", "tags": [1]}', "'tags' must be text or a list of texts"),
            ('{"prompt": "a", "model": {}}', "'model' must be text or a list"),
            ('{"prompt": "a", "model_weights": ["1"]}', "'model_weights' must be a list of numbers"),
            ('{"prompt": "a", "dither": 1}', "'dither' must be true or false"),
            ('{"prompt": ["a"]}', "'prompt' must be text"),
            ('{"duration": 8}', "no 'prompt'"),
            ('{"prompt": null}', "no 'prompt'"),
            ('{"prompt": "a", "count": 0}', "'count' must be from 1"),
            ('{"prompt": "a", "count": 2, "output": "a.wav"}', "'count' of 1"),
            ('{"prompt": "a", "output": "a.txt"}', "known format"),
            ('{"prompt": "a", "output": "a.wav", "audio_format": "mp3"}', "contradicts"),
            ('{"prompt": "a", "normalize": "louder"}', "no way to normalize"),
            ('["a"]', "no JSON object"),
            ('{"prompt": "a"', "no JSON"),
            ("calm piano", "no JSON"),
            ("[" * 100_000, "no JSON"),
        ],
    )
    def test_what_makes_no_sense_is_told_with_its_line(self, line: str, reason: str) -> None:
        data = f'{{"prompt": "fine"}}\n\n{line}\n{{"prompt": "fine"}}\n'.encode()
        with pytest.raises(InvalidInputError, match=r"^Line 3: ") as caught:
            read_prompt_file(data)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
