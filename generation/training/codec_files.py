"""Files of the codec's training: the codec itself and the state that training goes on from."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
from mlx.utils import tree_flatten

from generation.checkpoints import load_config
from generation.config import EncodecConfig
from generation.encodec import Encodec
from generation.errors import CheckpointError
from generation.parts import load_parts


def write_tensors(path: Path, arrays: dict[str, mx.array], metadata: dict[str, str]) -> None:
    """Write safetensors with metadata, whole or not at all."""
    temporary = path.with_name(f".{path.stem}.tmp.safetensors")
    mx.save_safetensors(str(temporary), arrays, metadata)
    os.replace(temporary, path)


def read_tensors(path: Path) -> tuple[dict[str, mx.array], dict[str, str]]:
    """Tensors and metadata of safetensors."""
    # MLX types the result by the file's format, which it cannot know.
    loaded = mx.load(str(path), return_metadata=True)
    return cast("tuple[dict[str, mx.array], dict[str, str]]", loaded)


def save_codec(path: Path, codec: Encodec, config: EncodecConfig) -> None:
    """Write the codec's parameters under our names, its config beside them, whole or not at all."""
    write_tensors(path, dict(tree_flatten(codec.parameters())), {"config": json.dumps(asdict(config))})


def load_codec(path: Path) -> tuple[Encodec, EncodecConfig]:
    """Read what `save_codec` wrote, or take the codec out of a whole checkpoint where `path` is a folder.

    Raises:
        CheckpointError: the file is missing, unreadable or does not fit its config.
    """
    if path.is_dir():
        config = load_config(path)
        return load_parts(path, config).codec, config.audio_encoder
    try:
        arrays, metadata = read_tensors(path)
        stored: dict[str, Any] = json.loads(metadata["config"])
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        codec_config = EncodecConfig(**values)
        codec = Encodec(codec_config)
        codec.load_weights(list(arrays.items()), strict=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not a trained codec: {error}") from error
    return codec, codec_config


def save_state(path: Path, state: dict[str, mx.array], progress: dict[str, Any]) -> None:
    """Write all that training needs to go on."""
    write_tensors(path, state, {"progress": json.dumps(progress)})


def load_state(path: Path) -> tuple[dict[str, mx.array], dict[str, Any]]:
    """Read what `save_state` wrote.

    Raises:
        CheckpointError: the file is missing or unreadable.
    """
    try:
        arrays, metadata = read_tensors(path)
        return arrays, json.loads(metadata["progress"])
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is not a training state: {error}") from error
