"""Training the text encoder and the decoder: what a batch holds, that it learns, and what is kept."""

import json
from pathlib import Path

import numpy as np
import pytest

from generation.config import DecoderConfig, T5Config
from generation.delay import DelayPattern
from generation.errors import CheckpointError
from generation.training.codec_files import read_tensors
from generation.training.corpus import TEXT_LENGTH, Corpus, delayed, read_encoded, tokenise
from generation.training.language_model import Plan, Trainer, train

CODES = 64
DECODER = DecoderConfig.tiny()
TEXT = T5Config.tiny()


def two_kinds(clips: int = 32, frames: int = 24) -> Corpus:
    """Clips of caption 5 use codes under 4, clips of caption 9 use codes from 32 to 35."""
    rng = np.random.default_rng(0)
    kind = np.arange(clips) % 2
    codes = rng.integers(0, 4, (clips, 4, frames)) + 32 * kind[:, None, None]
    text = np.zeros((clips, 1, 8), np.int16)
    text[:, 0, 0] = np.where(kind == 0, 5, 9)
    text[:, 0, 1] = 1
    return Corpus(codes.astype(np.int16), text)


def test_a_batch_is_delayed_as_the_decoder_expects() -> None:
    codes = np.random.default_rng(0).integers(0, CODES, (3, 4, 10))
    pattern = DelayPattern.of(4)
    tokens = delayed(codes, pattern, special=CODES)
    assert (tokens[:, :, 0] == CODES).all()
    for clip, expected in zip(tokens, codes, strict=True):
        np.testing.assert_array_equal(clip[:, 1:], pattern.apply(expected, CODES))


def test_an_epoch_meets_every_clip_once() -> None:
    corpus = Corpus(
        np.arange(12, dtype=np.int16).reshape(12, 1, 1).repeat(4, axis=1), np.ones((12, 1, 4), np.int16)
    )
    batches = corpus.batches(4, DelayPattern.of(4), CODES, drop=0.0, seed=1)
    seen = [int(code) for _ in range(3) for code in next(batches).tokens[:, 0, 1]]
    assert sorted(seen) == list(range(12))


def test_parts_of_clips_are_parts_of_clips() -> None:
    corpus = Corpus(np.arange(20, dtype=np.int16)[None, None].repeat(4, axis=1), np.ones((1, 1, 4), np.int16))
    batch = next(corpus.batches(1, DelayPattern.of(4), CODES, drop=0.0, seed=0, frames=5))
    part = batch.tokens[0, 0, 1:6]
    np.testing.assert_array_equal(part, np.arange(part[0], part[0] + 5))


def test_captions_are_dropped_as_often_as_asked() -> None:
    corpus = two_kinds()
    batches = corpus.batches(32, DelayPattern.of(4), CODES, drop=0.25, seed=0)
    kept = np.mean([next(batches).keep.mean() for _ in range(40)])
    assert 0.7 < kept < 0.8


def test_a_long_caption_keeps_its_end_token() -> None:
    tokens = tokenise([["long"]], lambda text: [*range(10, 110), 1])
    assert tokens.shape == (1, 1, TEXT_LENGTH)
    assert tokens[0, 0, -1] == 1


@pytest.mark.parametrize(("warm_up", "first"), [(0, 1.0), (1, 1.0), (4, 0.25)])
def test_the_learning_rate_rises_to_its_peak(warm_up: int, first: float) -> None:
    trainer = Trainer(TEXT, DECODER, Plan(peak=2.0, warm_up=warm_up))
    assert trainer.learning_rate(0, 0.0) == pytest.approx(2.0 * first)
    assert trainer.learning_rate(warm_up, 0.0) == pytest.approx(2.0)


def test_it_learns_what_a_caption_means(tmp_path: Path) -> None:
    plan = Plan(steps=120, batch=8, peak=5e-3, warm_up=10, held_out=8, check_every=40, decay=0.9)
    trainer = Trainer(TEXT, DECODER, plan)
    lines: list[dict[str, float]] = []
    best = train(trainer, two_kinds(), tmp_path, report=lines.append)
    assert lines[0]["loss"] > 2.0
    # Four codes are equally likely once the caption is understood: log 4 = 1.39 nats.
    assert best < 1.9
    swapped = two_kinds()
    swapped.text[:, 0, 0] = 14 - swapped.text[:, 0, 0]
    assert trainer.held_out_loss(swapped) > best + 1.0


def test_the_best_weights_are_kept_with_their_geometry(tmp_path: Path) -> None:
    plan = Plan(steps=4, batch=4, held_out=4, check_every=2)
    trainer = Trainer(TEXT, DECODER, plan)
    train(trainer, two_kinds(), tmp_path)
    tensors, geometry = read_tensors(tmp_path / "language_model.safetensors")
    assert tensors["decoder.heads.weight"].shape == (4 * DECODER.vocab_size, DECODER.hidden_size)
    assert json.loads(geometry["decoder"])["hidden_size"] == DECODER.hidden_size
    assert json.loads(geometry["text_encoder"])["d_model"] == TEXT.d_model
    assert not list(tmp_path.glob(".*"))


def test_a_dropped_caption_says_nothing() -> None:
    import mlx.core as mx

    trainer = Trainer(TEXT, DECODER, Plan())
    trainer.model.eval()
    tokens = mx.array(np.full((2, 4, 5), 3, np.int32))
    text = mx.array([[5, 1, 0], [9, 7, 1]])
    positions = trainer.positions(5, np.random.default_rng(0))
    without = np.array(trainer.model(tokens, text, mx.array([0.0, 0.0]), positions))
    given = np.array(trainer.model(tokens, text, mx.array([1.0, 1.0]), positions))
    np.testing.assert_array_equal(without[0], without[1])
    assert np.abs(given[0] - given[1]).max() > 1e-6


def test_what_is_not_encoded_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"generation\.training\.encode"):
        read_encoded(tmp_path)
    np.save(tmp_path / "codes.npy", np.zeros((2, 4, 3), np.int16))
    (tmp_path / "captions.json").write_text('[["one"]]')
    with pytest.raises(CheckpointError, match="2 clips but captions for 1"):
        read_encoded(tmp_path)
