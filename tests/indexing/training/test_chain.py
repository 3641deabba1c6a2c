"""The stages one after the other at a toy size, and the finished model beside the one that was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from toys import chords

from indexing.training import assemble, batches, corpus, judge, train, vocabulary
from indexing.training.engines import SAMPLING_RATE
from indexing.training.network import Geometry, Whisper
from indexing.transcribe import Transcriber

pytestmark = pytest.mark.filterwarnings("default:::numba", "default:::mlx_whisper", "default:::tiktoken")
SENTENCES = (("red", "piano"), ("happy", "dog", "runs"), ("seven", "green", "boat"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of chords, noise and silence, and the vocabulary."""
    folder = tmp_path_factory.mktemp("corpus")
    corpus.save_shard(folder / "spoken-0000.npz", [chords(*words) for words in SENTENCES] * 2)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(SAMPLING_RATE).astype(np.float32) / 20
    corpus.save_shard(folder / "other-0000.npz", [np.zeros(SAMPLING_RATE, np.float32), noise, noise])
    vocabulary.from_tokenizer().save(folder / "vocabulary.json")
    return folder


def run(data: Path, out: Path, *more: str) -> dict[str, Any]:
    """Train by the command line and return the last line of its log."""
    sizes = "--width 64 --encoder-layers 1 --decoder-layers 1 --short 4 --long 1"
    command = ["--data", str(data), "--vocabulary", str(data / "vocabulary.json"), "--out", str(out)]
    assert train.main([*command, *sizes.split(), *more]) == 0
    last: dict[str, Any] = json.loads((out / "train.jsonl").read_text().splitlines()[-1])
    return last


def test_the_finished_model_is_the_trained_one(data: Path, tmp_path: Path) -> None:
    assert run(data, tmp_path / "out", "--steps", "2", "--long-from", "0.5")["frames"] == 3000
    short = vocabulary.Vocabulary.load(data / "vocabulary.json")
    arguments = ["--vocabulary", str(data / "vocabulary.json"), "--out", str(tmp_path / "whisper-toy")]
    weights = tmp_path / "out" / "whisper.safetensors"
    assert assemble.main(["--weights", str(weights), *arguments]) == 0
    transcriber = Transcriber(tmp_path / "whisper-toy")
    assert transcriber.name == "whisper-toy"
    loaded: Any = mx.load(str(weights), return_metadata=True)
    trained = Whisper(Geometry(**json.loads(loaded[1]["geometry"])))
    trained.load_weights(list(loaded[0].items()))
    bank = batches.load_bank(data)
    source = batches.Batches(bank.spoken, bank.other, short, train.LONG)
    batch = next(source.endless(1, 0))
    mel = batches.compose(bank.frames, batch)
    tokens = mx.maximum(batch.tokens[:, :12], 0)
    states = trained.encoder(mel)
    theirs = transcriber._model.encoder(mel)
    assert float(mx.abs(states - theirs).max()) < 0.02, "float16 weights"
    logits = trained.decoder(tokens, states)[0]
    ids = mx.array([0, *short.rows])
    full = transcriber._model.decoder(ids[tokens], theirs)[0]
    # Four bits for the embedding change single logits, and the sum over all 51,865 little.
    assert float(mx.abs(logits - full[:, :, ids]).max()) < 0.2 * float(mx.abs(logits).max())
    bias = mx.zeros(len(short.rows) + 1)
    bias[vocabulary.OTHER] = short.others_bias
    total, short_total = mx.logsumexp(full, axis=-1), mx.logsumexp(logits + bias, axis=-1)
    assert float(mx.abs(total - short_total).max()) < 0.1


@pytest.mark.slow
def test_a_toy_learns_its_sentences(data: Path, tmp_path: Path) -> None:
    last = run(
        data, tmp_path / "out", "--steps", "160", "--long-from", "2", "--warm-up", "20", "--peak", "4e-3"
    )
    # The language, the task and the end alone would be a third.
    assert last["right"] > 0.5, "tokens predicted rightly, with the true ones before them"


def test_errors_in_words_are_counted() -> None:
    said = ("the", "red", "piano")
    assert judge.word_errors(said, said) == 0
    assert judge.word_errors(said, ("the", "piano")) == 1
    assert judge.word_errors(said, ("a", "red", "old", "piano")) == 2
    assert judge.word_errors(said, ()) == 3
    assert judge.words_of("The red, RED piano!") == ["the", "red", "red", "piano"]


def test_what_goes_wrong_in_the_drawing_thread_is_raised() -> None:
    class Broken:
        def draw(self, size: int, rng: np.random.Generator) -> batches.Tables:
            raise ValueError("nothing to draw from")

    ahead = train._Ahead(Broken(), 2, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nothing to draw from"):
        next(ahead)
    ahead.close()
