"""Checkpoints that are published as pickles, written again as safetensors in the Hugging Face layout."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation import backend

backend.prepare()  # MLX binds its matrix library when it is imported, so the faster one must be there before

# ruff: noqa: E402
import mlx.core as mx

from generation import audiocraft, weights
from generation.audiocraft_parts import copy_tokenizer, lend_codec, lend_text_encoder
from generation.config import MusicGenConfig
from generation.errors import CheckpointError
from generation.parts import Parts, generation_values
from generation.pickles import BFLOAT16, PickledTensor, read_pickle

_log = logging.getLogger(__name__)

WHOLE = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"
SHARD_BYTES = 1 << 30
"""Tensors are copied shard by shard, so this is the memory that a conversion takes."""

Progress = Callable[[int, int], None]
Stored = PickledTensor | mx.array
_USUAL_CODEC = "facebook/encodec_32khz"


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


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion did.

    Attributes:
        files: Those that were written.
        notes: Sentences on what was taken from where.
    """

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def convert(
    folder: Path,
    *,
    text_encoder: str | None = None,
    codec: str | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write a checkpoint's pickled tensors beside them as safetensors in the Hugging Face layout; the pickles stay.

    Nothing in the pickles is run. What is written is complete or not there: what makes it a checkpoint comes last.

    Args:
        folder: Holds `pytorch_model.bin`, whole or in shards, with its `config.json`; or audiocraft's export,
            `state_dict.bin` and `compression_state_dict.bin`.
        text_encoder: For an export: the checkpoint to take T5 from, a name or a folder; found when None.
        codec: For an export that only names its codec: the checkpoint to take it from; found when None.
        progress: Called with the tensors done and the tensors in all.

    Raises:
        CheckpointError: There are no pickles, they cannot be read, or a part is on this machine nowhere.
        ModelNotFoundError: A named checkpoint is not on this machine.
        OSError: A file cannot be written.
    """
    pickles = pickled_weights(folder)
    if pickles:
        tensors: dict[str, Stored] = {}
        for path in pickles:
            tensors.update(_state_dict(path))
        return Conversion(tuple(_write(folder, tensors, progress)), ())
    if not (folder / audiocraft.LANGUAGE_MODEL).is_file():
        raise CheckpointError(
            f"{folder} has no {WHOLE} and no {audiocraft.LANGUAGE_MODEL}, so there is nothing to convert."
        )
    return _convert_export(folder, text_encoder, codec, progress)


def _convert_export(
    folder: Path, text_encoder: str | None, codec: str | None, progress: Progress | None
) -> Conversion:
    export = audiocraft.read_export(folder / audiocraft.LANGUAGE_MODEL)
    values = audiocraft.decoder_config(export)
    tensors: dict[str, Stored] = {**audiocraft.language_model_tensors(export)}
    projection = tensors.get("enc_to_dec_proj.weight")
    if projection is None:
        raise CheckpointError(f"{export.path} has no projection of the text, so it is no MusicGen.")
    name = str(export.get("conditioners.description.t5.name", "t5-base"))
    text = lend_text_encoder(folder, name, _shape(projection)[1], text_encoder)
    notes = [f"The text encoder ({name}) and its tokenizer come from {text.model}."]
    sound = (
        audiocraft.read_export(folder / audiocraft.CODEC) if (folder / audiocraft.CODEC).is_file() else None
    )
    if sound is not None and sound.pretrained is None:
        codec_config, codec_tensors = audiocraft.codec_config(sound), audiocraft.codec_tensors(sound)
        tensors |= codec_tensors
    else:
        lent = lend_codec(folder, _USUAL_CODEC if sound is None else str(sound.pretrained), codec)
        codec_config = dict(lent.config)
        tensors |= lent.tensors
        notes.append(f"The codec comes from {lent.model}.")
    tensors |= text.tensors
    config = MusicGenConfig.from_dict(
        {**values, "text_encoder": dict(text.config), "audio_encoder": codec_config}
    )
    weights.check_shapes(
        {name: _shape(value) for name, value in tensors.items()}, weights.plan(config, Parts(config))
    )
    written = _write(folder, tensors, progress)
    copy_tokenizer(text, folder)
    coefficient = float(export.number("classifier_free_guidance.inference_coef", 3.0))
    for path, document in (
        (folder / "generation_config.json", generation_values(config, guidance=coefficient)),
        (folder / "config.json", config.to_dict()),
    ):
        _write_json(path, document)
        written.append(path)
    return Conversion(tuple(written), tuple(notes))


def _write(folder: Path, tensors: Mapping[str, Stored], progress: Progress | None) -> list[Path]:
    """The tensors as one file, or as shards with an index, each complete or not there."""
    shards = _shards(tensors)
    written: list[Path] = []
    where: dict[str, str] = {}
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
        del arrays  # before the next shard is copied
        written.append(folder / name)
        where |= dict.fromkeys(names, name)
        if progress is not None:
            progress(len(where), len(tensors))
    if len(shards) > 1:
        size = sum(_bytes(tensor) for tensor in tensors.values())
        path = folder / "model.safetensors.index.json"
        _write_json(path, {"metadata": {"total_size": size}, "weight_map": dict(sorted(where.items()))})
        written.append(path)
    _log.info("Converted %d tensors of %s into %d file(s).", len(tensors), folder, len(written))
    return written


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def to_array(tensor: Stored) -> mx.array:
    """The tensor in MLX, in its own number type (float64, which MLX's GPUs do not know, in float32).

    Args:
        tensor: As it was read.
    """
    if isinstance(tensor, mx.array):
        return tensor
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


def _shards(tensors: Mapping[str, Stored]) -> list[list[str]]:
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


def _bytes(tensor: Stored) -> int:
    return int(tensor.nbytes if isinstance(tensor, mx.array) else tensor.values.size * tensor.values.itemsize)


def _shape(tensor: Stored) -> tuple[int, ...]:
    return tensor.shape if isinstance(tensor, mx.array) else tensor.values.shape


def _natural(name: str) -> list[Any]:
    """Layers in their order, 2 before 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
