"""A checkpoint's three networks: built, loaded and saved as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from generation import backend

backend.prepare()  # MLX binds its matrix library when it is imported, so the faster one must be there before

# ruff: noqa: E402
import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

from generation import checkpoints, weights
from generation.config import MusicGenConfig
from generation.decoder import MusicGenDecoder
from generation.encodec import Encodec
from generation.t5 import T5Encoder


class Parts(nn.Module):
    """The three networks of a checkpoint under the names that `weights.plan` knows."""

    def __init__(self, config: MusicGenConfig) -> None:
        super().__init__()
        self.text_encoder = T5Encoder(config.text_encoder)
        self.codec = Encodec(config.audio_encoder)
        self.decoder = MusicGenDecoder(config.decoder, config.text_encoder.d_model, config.melody)


def load_parts(folder: Path, config: MusicGenConfig) -> Parts:
    """Build the networks and load their weights in float32.

    Raises:
        CheckpointError: a tensor is missing, unexpected or misshapen, or a file cannot be read.
    """
    parts = Parts(config)
    tensors = weights.from_hugging_face(checkpoints.load_tensors(folder), weights.plan(config, parts))
    parts.load_weights([(name, value.astype(mx.float32)) for name, value in tensors.items()])
    parts.eval()
    return parts


def save_checkpoint(
    folder: Path, config: MusicGenConfig, parts: Parts, *, dtype: mx.Dtype = mx.float32
) -> None:
    """Write `config.json`, `generation_config.json` and `model.safetensors` in the Hugging Face layout.

    Args:
        folder: Is made where it does not exist.
        config: The geometry of `parts`.
        parts: The networks.
        dtype: Number type of the stored tensors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = weights.to_hugging_face(dict(tree_flatten(parts.parameters())), weights.plan(config, parts))
    stored = {name: value.astype(dtype) for name, value in tensors.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), stored, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1) + "\n", encoding="utf-8")
    generation = json.dumps(generation_values(config), indent=1)
    (folder / "generation_config.json").write_text(generation + "\n", encoding="utf-8")


def generation_values(config: MusicGenConfig, *, guidance: float = 3.0) -> dict[str, Any]:
    """The `generation_config.json` of a checkpoint: that of the published ones.

    Args:
        config: Its geometry.
        guidance: Weight of the prompt.
    """
    decoder = config.decoder
    return {
        "do_sample": True,
        "guidance_scale": guidance,
        "max_length": 1500,
        "bos_token_id": decoder.bos_token_id,
        "decoder_start_token_id": decoder.bos_token_id,
        "pad_token_id": decoder.pad_token_id,
    }
