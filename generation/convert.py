"""Checkpoints that are published as pickles, written again as safetensors in the Hugging Face layout."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from generation.errors import CheckpointError
from generation.pickles import BFLOAT16, PickledTensor, read_pickle

_log = logging.getLogger(__name__)

WHOLE = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"
SHARD_BYTES = 1 << 30
"""Tensors are copied shard by shard, so this is the memory that a conversion takes."""

Progress = Callable[[int, int], None]


def pickled_weights(folder: Path) -> list[Path]:
    """The pickles of a checkpoint in the Hugging Face layout: one file, or the shards that its index names.

    Args:
        folder: The checkpoint.

    Raises:
        CheckpointError: The index is broken, or a shard is missing.
    """
    index = folder / INDEX
    if not index.is_file():
        return [folder / WHOLE] if (folder / WHOLE).is_file() else []
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} does not say which shard holds which tensor.") from error
    files = [folder / name for name in names if isinstance(name, str) and Path(name).name == name]
    lost = [path.name for path in files if not path.is_file()]
    if lost or len(files) != len(names):
        raise CheckpointError(
            f"{folder} lacks the shard(s) {', '.join(lost) or 'that its index should name'}."
        )
    return files


def convert(folder: Path, *, progress: Progress | None = None) -> list[Path]:
    """Write a checkpoint's pickled tensors beside them as safetensors; the pickles stay.

    Nothing in the pickles is run. What is written is complete or not there: the index, or the only file, comes last.

    Args:
        folder: A checkpoint in the Hugging Face layout with `pytorch_model.bin`, whole or in shards.
        progress: Called with the tensors done and the tensors in all.

    Returns:
        The files that were written.

    Raises:
        CheckpointError: There are no pickles, or they cannot be read.
        OSError: A file cannot be written.
    """
    pickles = pickled_weights(folder)
    if not pickles:
        raise CheckpointError(f"{folder} has no {WHOLE}, so there is nothing to convert.")
    tensors: dict[str, PickledTensor] = {}
    for path in pickles:
        tensors.update(_state_dict(path))
    shards = _shards(tensors)
    written: list[Path] = []
    where: dict[str, str] = {}
    done = 0
    for number, names in enumerate(shards, start=1):
        name = (
            "model.safetensors"
            if len(shards) == 1
            else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        )
        arrays = {key: to_array(tensors[key]) for key in names}
        temporary = folder / f".{name}.part.safetensors"
        try:
            mx.save_safetensors(str(temporary), arrays, {"format": "pt"})
            temporary.replace(folder / name)
        finally:
            temporary.unlink(missing_ok=True)
        written.append(folder / name)
        where |= dict.fromkeys(names, name)
        done += len(names)
        if progress is not None:
            progress(done, len(tensors))
    if len(shards) > 1:
        size = sum(_bytes(tensor) for tensor in tensors.values())
        index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(where.items()))}
        path = folder / "model.safetensors.index.json"
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
        written.append(path)
    _log.info("Converted %d tensors of %s into %d file(s).", len(tensors), folder, len(written))
    return written


def to_array(tensor: PickledTensor) -> mx.array:
    """The tensor in MLX, in its own number type.

    Args:
        tensor: As it was read.

    Raises:
        CheckpointError: MLX has no such type.
    """
    if tensor.dtype == BFLOAT16:
        return mx.array(tensor.values).view(mx.bfloat16)
    if tensor.dtype == "float64":
        return mx.array(tensor.values.astype("float32"))
    return mx.array(tensor.values)


def _state_dict(path: Path) -> dict[str, PickledTensor]:
    content = read_pickle(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds no table of tensors.")
    found: dict[str, PickledTensor] = {}
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, PickledTensor):
            found[name] = value
    if not found:
        raise CheckpointError(f"{path} holds no tensors by name.")
    return found


def _shards(tensors: Mapping[str, PickledTensor]) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    size = 0
    for name in sorted(tensors, key=_natural):
        more = _bytes(tensors[name])
        if shards[-1] and size + more > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += more
    return shards


def _bytes(tensor: PickledTensor) -> int:
    return int(tensor.values.size * tensor.values.itemsize)


def _natural(name: str) -> list[Any]:
    """Layers in their order, 2 before 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
