"""The words of the small Whisper, its features, its short vocabulary."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from indexing.training import corpus, features, vocabulary, words

# Importing mlx_whisper brings numba and others, whose warnings are not ours.
pytestmark = pytest.mark.filterwarnings("default:::numba", "default:::mlx_whisper", "default:::tiktoken")


def test_sentences_are_of_known_words_and_come_back() -> None:
    rng = np.random.default_rng(3)
    drawn = [words.sentence(rng) for _ in range(500)]
    assert all(2 <= len(sentence) <= corpus.LONGEST_SENTENCE for sentence in drawn)
    assert {word for sentence in drawn for word in sentence} <= set(words.WORDS)
    assert len({word for sentence in drawn for word in sentence}) > 300
    again = np.random.default_rng(3)
    assert drawn == [words.sentence(again) for _ in range(500)]


def test_held_out_sentences_are_never_trained_on() -> None:
    rng = np.random.default_rng(0)
    learnt = {corpus.draw_sentence(rng, held_out=False) for _ in range(2000)}
    held = {corpus.draw_sentence(rng, held_out=True) for _ in range(100)}
    assert not learnt & held


def test_features_are_those_of_mlx_whisper() -> None:
    from mlx_whisper.audio import log_mel_spectrogram

    rng = np.random.default_rng(0)
    samples = (rng.standard_normal(23_456) * np.linspace(0, 0.3, 23_456)).astype(np.float32)
    theirs = np.array(log_mel_spectrogram(samples, padding=480_000))
    ours = features.log_power(samples)
    ours = np.maximum(ours, ours.max() - 8)
    np.testing.assert_allclose((ours + 4) / 4, theirs[: len(ours)], atol=1e-4)
    assert theirs[len(ours) :].max() == theirs.min(), "what follows is silence"


def test_the_short_vocabulary_is_a_part_of_whispers(tmp_path: Path) -> None:
    from mlx_whisper.tokenizer import get_tokenizer

    short = vocabulary.from_tokenizer()
    short.save(tmp_path / "vocabulary.json")
    assert vocabulary.Vocabulary.load(tmp_path / "vocabulary.json") == short
    tokenizer = get_tokenizer(True, num_languages=99, language="en", task="transcribe")
    tokens = [token for rows in short.word_rows for row in rows for token in [short.rows[row - 1]]]
    assert tokenizer.decode(tokens) == "".join(f" {word}" for word in words.WORDS)
    assert short.rows[short.time_row(2.5) - 1] == tokenizer.timestamp_begin + 125
    assert len(set(short.rows)) == len(short.rows)
    assert vocabulary.OTHER not in {short.row(token) for token in short.rows}
    assert short.others + len(short.rows) == 51_865
    assert math.exp(short.others_bias) == pytest.approx(short.others)
