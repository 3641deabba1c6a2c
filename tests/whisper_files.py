"""Checkpoints in mlx-whisper's format whose decoder writes given words, whatever it hears."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DIMENSIONS = {
    "n_mels": 80,
    "n_audio_ctx": 1500,
    "n_audio_state": 32,
    "n_audio_head": 2,
    "n_audio_layer": 1,
    "n_vocab": 51865,
    "n_text_ctx": 64,
    "n_text_state": 32,
    "n_text_head": 2,
    "n_text_layer": 1,
}


def make_whisper(folder: Path, words: str, *, no_speech: bool = False) -> Path:
    """Write a model that finds `words` in everything, surely; with `no_speech` it also says that nobody spoke."""
    text = f"<|0.00|> {words}<|0.10|>" if words else "<|0.00|>"
    return make_scripted(folder, text, no_speech=no_speech)


def make_scripted(folder: Path, text: str, *, no_speech: bool = False) -> Path:
    """Write a model that writes `text`, with timestamps like `<|1.00|>`, for every window.

    Only the positions speak: each is an axis of the embedding, which only the token that comes next shares.
    """
    import mlx.core as mx
    import numpy as np
    from mlx.utils import tree_flatten
    from mlx_whisper.tokenizer import get_tokenizer
    from mlx_whisper.whisper import ModelDimensions, Whisper

    parameters: Any = tree_flatten(Whisper(ModelDimensions(**DIMENSIONS), mx.float32).parameters())
    weights = {name: mx.zeros(value.shape) for name, value in parameters if name != "alignment_heads"}
    tokenizer = get_tokenizer(multilingual=True, num_languages=99, language="en", task="transcribe")
    first = tokenizer.no_speech if no_speech else tokenizer.to_language_token("en")
    written = tokenizer.encode(text, allowed_special="all")
    following = [first, tokenizer.transcribe, *written, tokenizer.eot]
    axes = {token: axis for axis, token in enumerate(dict.fromkeys(following))}
    positions = np.zeros((DIMENSIONS["n_text_ctx"], DIMENSIONS["n_text_state"]), np.float32)
    embedding = np.zeros((DIMENSIONS["n_vocab"], DIMENSIONS["n_text_state"]), np.float32)
    for position, token in enumerate(following):
        positions[position, axes[token]] = 1000.0
        embedding[token, axes[token]] = 5.0
    positions[len(following) :, axes[tokenizer.eot]] = 1000.0
    weights["decoder.positional_embedding"] = mx.array(positions)
    weights["decoder.token_embedding.weight"] = mx.array(embedding)
    weights["decoder.ln.weight"] = mx.ones((DIMENSIONS["n_text_state"],))
    folder.mkdir(parents=True)
    mx.save_safetensors(str(folder / "weights.safetensors"), weights)
    (folder / "config.json").write_text(json.dumps({**DIMENSIONS, "model_type": "whisper"}))
    return folder
