"""Windows of several clips read together, beside mlx_whisper's own `transcribe`, which reads one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the module that tests share

from whisper_files import make_scripted

from indexing import Transcriber
from indexing.transcribe import joined

# Importing mlx_whisper brings numba and others, whose warnings are not ours.
pytestmark = pytest.mark.filterwarnings("default:::numba", "default:::mlx_whisper", "default:::tiktoken")

SCRIPTS = {
    "one": "<|0.00|> hello there<|1.00|>",
    "two": "<|0.20|> hello there<|1.00|><|1.20|> good morning<|2.00|>",
    "unfinished": "<|0.00|> hello there<|12.00|><|12.40|> good",
    "timeless": "<|0.00|> hello there",
    "nothing": "<|0.00|>",
}


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(16_000 * seconds)).astype(np.float32)


def theirs(path: Path, samples: np.ndarray) -> list[tuple[float, float, str]]:
    """The segments of mlx_whisper."""
    import mlx.core as mx
    from mlx_whisper.transcribe import transcribe

    mx.disable_compile()
    try:
        options: dict[str, Any] = {"temperature": 0.0, "condition_on_previous_text": False, "fp16": False}
        found = transcribe(samples, path_or_hf_repo=str(path), **options)
    finally:
        mx.enable_compile()
    return [
        (round(s["start"], 3), round(s["end"], 3), s["text"].strip())
        for s in found["segments"]
        if s["text"].strip()
    ]


@pytest.mark.parametrize("script", SCRIPTS)
def test_segments_are_those_of_mlx_whisper(script: str, tmp_path: Path) -> None:
    path = make_scripted(tmp_path / "whisper", SCRIPTS[script])
    clips = [noise(2.5), noise(33, 1)]
    heard = Transcriber(path).transcribe_many([(samples, 16_000) for samples in clips])
    for samples, found in zip(clips, heard, strict=True):
        duration = len(samples) / 16_000
        ours = [(round(s.start, 3), round(s.end, 3), s.text) for s in found.heard]
        expected = [(min(a, duration), min(b, duration), text) for a, b, text in theirs(path, samples)]
        assert ours == expected


def test_a_clip_is_heard_alike_alone_and_with_others(tmp_path: Path) -> None:
    path = make_scripted(tmp_path / "whisper", SCRIPTS["two"])
    transcriber = Transcriber(path)
    clips = [(noise(1 + i / 3, i), 16_000) for i in range(9)] + [(np.zeros(0, np.float32), 16_000)]
    together = transcriber.transcribe_many(clips)
    assert [found.text for found in together] == [transcriber.transcribe(*clip).text for clip in clips]
    assert together[-1].heard == ()


def test_pieces_are_joined_with_their_times(tmp_path: Path) -> None:
    transcriber = Transcriber(make_scripted(tmp_path / "whisper", SCRIPTS["one"]))
    piece = transcriber.transcribe(noise(2), 16_000)
    whole = joined([(0.0, piece), (300.0, piece)])
    assert whole.text == whole.raw_text == "hello there hello there"
    assert [(s.start, s.end) for s in whole.segments] == [(0.0, 1.0), (300.0, 301.0)]
    assert (whole.language, whole.rejected) == ("en", None)
