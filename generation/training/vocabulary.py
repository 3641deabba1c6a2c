"""The text encoder's SentencePiece vocabulary, learnt from captions, with T5's special tokens."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path


def train_vocabulary(texts: Iterable[str], path: Path, size: int) -> None:
    """Learn at most `size` pieces (unigram model, Kudo 2018, arXiv:1804.10959) and write `path`.

    Case is folded, so that "Calm Piano" and "calm piano" are one prompt. Every ASCII letter, digit and common mark is
    a piece of its own, so that a word which no caption has is still spelt out.
    """
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=written,
        vocab_size=size,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc_cf",
        required_chars="abcdefghijklmnopqrstuvwxyz0123456789-,.'&/!?()#+",
        hard_vocab_limit=False,
        character_coverage=1.0,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(written.getvalue())
