"""A complete checkpoint of a few thousand random parameters, for tests and for trying the pipeline without weights."""

from __future__ import annotations

import io
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten

from generation.checkpoints import load_config
from generation.config import MusicGenConfig
from generation.parts import Parts, load_parts, save_checkpoint


def make_tiny_checkpoint(
    folder: Path, seed: int = 0, config: MusicGenConfig | None = None, *, codec_of: Path | None = None
) -> Path:
    """Write config, weights and tokenizer of a random MusicGen into `folder` and return it.

    Args:
        folder: Is made where it does not exist.
        seed: Of the random weights.
        config: Its geometry; the smallest one by default.
        codec_of: A checkpoint with the same codec geometry, whose codec it shares, as the published sizes do.
    """
    config = config or MusicGenConfig.tiny()
    parts = Parts(config)
    flat = list(dict(tree_flatten(parts.parameters())).items())
    keys = mx.random.split(mx.random.key(seed), len(flat))
    # Scaled so that signals neither die nor blow up on their way through the layers.
    drawn = [
        (name, mx.random.normal(v.shape, key=keys[i]) * (0.5 if v.ndim == 1 else v[0].size ** -0.5))
        for i, (name, v) in enumerate(flat)
    ]
    parts.load_weights(drawn)
    if codec_of is not None:
        parts.codec = load_parts(codec_of, load_config(codec_of)).codec
    save_checkpoint(folder, config, parts)
    write_word_tokenizer(folder / "spiece.model", config.text_encoder.vocab_size)
    return folder


def write_word_tokenizer(path: Path, vocab_size: int) -> None:
    """Train a SentencePiece model of at most `vocab_size` pieces on a few phrases, with T5's special tokens."""
    import sentencepiece

    words = (
        "calm happy sad slow fast dark bright piano rock guitar drums strings electronic ambient melody loop"
    )
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([words, *words.split()]),
        model_writer=written,
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    path.write_bytes(written.getvalue())
