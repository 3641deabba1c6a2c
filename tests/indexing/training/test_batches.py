"""Windows of training: the same frames as mlx_whisper makes of the mixed sound, and the right questions."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from toys import WORD_SECONDS, chords

from indexing.training import batches, corpus, vocabulary
from indexing.training.engines import SAMPLING_RATE
from indexing.training.vocabulary import Vocabulary
from indexing.training.words import WORDS

pytestmark = pytest.mark.filterwarnings("default:::numba", "default:::mlx_whisper", "default:::tiktoken")


@pytest.fixture(scope="module")
def short() -> Vocabulary:
    return vocabulary.from_tokenizer()


@pytest.fixture
def bank(tmp_path: Path) -> batches.Bank:
    rng = np.random.default_rng(0)
    corpus.save_shard(tmp_path / "spoken-0000.npz", [chords("red", "piano"), chords("happy", "dog", "runs")])
    noise = rng.standard_normal(SAMPLING_RATE).astype(np.float32) / 20
    corpus.save_shard(tmp_path / "other-0000.npz", [noise])
    return batches.load_bank(tmp_path)


def text_of(short: Vocabulary, rows: list[int]) -> str:
    from mlx_whisper.tokenizer import get_tokenizer

    tokenizer = get_tokenizer(True, num_languages=99, language="en", task="transcribe")
    return tokenizer.decode_with_timestamps([short.rows[row - 1] for row in rows if row > 0])


def drawn(bank: batches.Bank, short: Vocabulary, **layout: float) -> tuple[batches.Batches, batches.Batch]:
    shape = {"frames": 400, "utterances": 1, "length": 16, "silent": 0.0, "mixed": 0.0} | layout
    source = batches.Batches(bank.spoken, bank.other, short, batches.Layout(**shape))  # type: ignore[arg-type]
    return source, next(source.endless(8, 1))


def test_sequences_are_whispers(bank: batches.Bank, short: Vocabulary) -> None:
    source, batch = drawn(bank, short)
    for tokens, targets in zip(np.array(batch.tokens), np.array(source.targets(batch.tokens)), strict=True):
        text = text_of(short, tokens.tolist())
        assert text.startswith("<|startoftranscript|><|en|><|transcribe|><|")
        assert "> red piano<|" in text or "> happy dog runs<|" in text
        assert text.endswith("|><|endoftext|>")
        assert text_of(short, targets.tolist()) == text.removeprefix("<|startoftranscript|>")


def test_silence_asks_for_no_speech_and_no_text(bank: batches.Bank, short: Vocabulary) -> None:
    source, batch = drawn(bank, short, silent=1.0)
    targets = np.array(source.targets(batch.tokens))
    assert {text_of(short, row.tolist()) for row in np.array(batch.tokens)} == {
        "<|startoftranscript|><|en|><|transcribe|><|0.00|><|endoftext|>"
    }
    assert set(targets[:, 0]) == {short.row(short.ids.no_speech)}
    assert set(targets[:, 3]) == {short.row(short.ids.end)}
    assert np.array(batches.frame_labels(batch)).max() == 0


def test_labels_and_spans_lie_on_the_words(bank: batches.Bank, short: Vocabulary) -> None:
    _, batch = drawn(bank, short)
    labels = np.array(batches.frame_labels(batch))
    loud = np.array(batches.compose(bank.frames, batch)).max(axis=2)[:, ::2]
    for row, (tokens, spans) in enumerate(zip(np.array(batch.tokens), np.array(batch.spans), strict=True)):
        said = [label for label in dict.fromkeys(labels[row].tolist()) if label]
        assert [WORDS[label - 1] for label in said] in (["red", "piano"], ["happy", "dog", "runs"])
        for place, label in enumerate(said):
            at = np.flatnonzero(labels[row] == label)
            assert len(at) == pytest.approx(50 * WORD_SECONDS, abs=5)
            assert loud[row, at].mean() > loud[row][labels[row] == 0].mean() + 0.5
            assert tokens[4 + place] == short.word_rows[label - 1][0]
            assert spans[4 + place].tolist() == [at[0], at[-1] + 1]


def test_frames_are_those_of_the_mixed_sound(bank: batches.Bank, short: Vocabulary) -> None:
    from mlx_whisper.audio import log_mel_spectrogram

    clip = chords("red", "piano").samples
    noise = np.random.default_rng(0).standard_normal(SAMPLING_RATE).astype(np.float32) / 20
    content = np.zeros(3 * SAMPLING_RATE, np.float32)
    content[16_000 : 16_000 + len(clip)] += clip
    content += np.resize(noise, len(content)) * 10**0.1
    begin, length = int(bank.spoken.begins[0]), int(bank.spoken.lengths[0])
    other = int(bank.other.begins[0])
    batch = batches.Batch(
        utterances=mx.array([[[begin, length, 100]]]),
        gains=mx.zeros((1, 1)),
        background=mx.array([[other, 100, 0, 300]]),
        background_gain=mx.array([0.2]),
        curve=mx.zeros((1, 80)),
        tokens=mx.zeros((1, 16)),
        spans=mx.zeros((1, 16, 2)),
        labels=mx.zeros((1, 9, 3)),
        frames=400,
    )
    ours = np.array(batches.compose(bank.frames, batch))[0]
    theirs = np.array(log_mel_spectrogram(content, padding=480_000))[:400]
    # Powers are added without regard to phase, so single bands differ; on the whole they agree.
    assert np.abs(ours - theirs)[5:295].mean() < 0.05
    assert np.abs(ours - theirs)[305:].max() < 0.02, "after the sound its floor"
