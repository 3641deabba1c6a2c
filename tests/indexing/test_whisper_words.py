"""The small Whisper that the project ships: it hears synthetic speech, and no words in music."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from indexing import Transcriber, TranscriberUnavailableError, find_whisper
from indexing.training import acoustics
from indexing.training.judge import word_errors, words_of

# Importing mlx_whisper brings numba and others, whose warnings are not ours.
pytestmark = pytest.mark.filterwarnings("default:::numba", "default:::mlx_whisper", "default:::tiktoken")

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "mlx-models" / "whisper-words"
SPEECH = Path(__file__).parent / "data" / "speech"


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    return Transcriber(MODEL)


def test_it_is_small_and_only_taken_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert (MODEL / "weights.safetensors").stat().st_size <= 10_000_000
    assert find_whisper("whisper-words", models_dirs=[ROOT / "mlx-models"]) == MODEL
    with pytest.raises(TranscriberUnavailableError):
        find_whisper(None, models_dirs=[ROOT / "mlx-models"])


def test_its_figures_reach_the_goals() -> None:
    figures = json.loads((MODEL / "figures.json").read_text())
    assert figures["seen voices"]["error_rate"] <= 0.2
    silent = [score for name, score in figures.items() if name.startswith(("music", "noises"))]
    assert silent
    assert all(score["without_text"] >= 0.95 for score in silent)


@pytest.mark.slow
def test_held_out_speech_is_heard(transcriber: Transcriber) -> None:
    """Clips of `python -m indexing.training.speech --held-out 10`, whose names are what is said."""
    paths = sorted(SPEECH.glob("*.flac"))
    said = [tuple(path.stem.split("-")) for path in paths]
    found = transcriber.transcribe_many([soundfile.read(path, dtype="float32") for path in paths])
    errors = sum(word_errors(words, words_of(heard.text)) for words, heard in zip(said, found, strict=True))
    assert errors <= 0.2 * sum(len(words) for words in said)
    for path, heard in zip(paths, found, strict=True):
        for segment in heard.segments:
            assert 0 <= segment.start < segment.end <= soundfile.info(path).duration


@pytest.mark.slow
def test_no_words_are_believed_where_nobody_speaks(transcriber: Transcriber) -> None:
    noises = [acoustics.not_speech(4.0, np.random.default_rng([90_000_000, n])) for n in range(16)]
    found = transcriber.transcribe_many([(samples, 16_000) for samples in noises])
    assert [heard.text for heard in found if heard.text] == []
