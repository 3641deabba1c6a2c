"""What audiocraft's exports leave out, from other checkpoints on this machine: the text encoder, often the codec."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generation.checkpoints import PREFERRED, find_model, list_models, load_tensors, read_json
from generation.errors import CheckpointError, ModelNotFoundError

if TYPE_CHECKING:
    import mlx.core as mx

_PUBLISHED = "facebook/musicgen-"
"""Every model under this name has the unchanged T5 and the codec that its export refers to."""

_T5_HOME = "google-t5"
_TOKENIZERS = ("spiece.model", "tokenizer.json")


@dataclass(frozen=True, slots=True)
class Lent:
    """A part of another checkpoint.

    Attributes:
        model: What that checkpoint is called.
        config: The part's section of `config.json`.
        tensors: By their names in a MusicGen checkpoint; on the disk until they are used.
        folder: The checkpoint.
    """

    model: str
    config: Mapping[str, Any]
    tensors: dict[str, mx.array]
    folder: Path


def lend_text_encoder(export: Path, name: str, width: int, given: str | None = None) -> Lent:
    """The T5 encoder that a language model was trained with.

    Args:
        export: The folder that lacks it, for the message.
        name: T5's name, like `t5-base`.
        width: Of its states.
        given: A checkpoint to take it from: a name or a folder, of T5 or of MusicGen.

    Raises:
        CheckpointError: It is not on this machine, or is another one.
    """
    source = name if "/" in name else f"{_T5_HOME}/{name}"
    lent = _lend("text_encoder", given, [source, name])
    if lent is None:
        raise CheckpointError(
            f"audiocraft's files hold no text encoder, and {name} is not on this machine: get it with "
            f"`audiolib models pull {source}`, then run `audiolib models convert {export}`."
        )
    if lent.config.get("d_model") != width:
        raise CheckpointError(
            f"The text encoder of {lent.model} is {lent.config.get('d_model')} wide, the export needs {width} "
            f"({name}); name another one with --text-encoder."
        )
    return lent


def lend_codec(export: Path, name: str, given: str | None = None) -> Lent:
    """The codec that an export only names.

    Args:
        export: The folder that lacks it, for the message.
        name: The codec's name on the hub, like `facebook/encodec_32khz`.
        given: A checkpoint to take it from: a name or a folder, of EnCodec or of MusicGen.

    Raises:
        CheckpointError: It is not on this machine.
    """
    lent = _lend("audio_encoder", given, [name])
    if lent is None:
        raise CheckpointError(
            f"{export} only names its codec, and {name} is not on this machine: get it with "
            f"`audiolib models pull {name}`, then run `audiolib models convert {export}`."
        )
    return lent


def copy_tokenizer(lent: Lent, folder: Path) -> None:
    """Copy T5's tokenizer beside the weights, unless there is one.

    Args:
        lent: The text encoder.
        folder: The new checkpoint.

    Raises:
        CheckpointError: There is none beside the text encoder either.
        OSError: It cannot be copied.
    """
    if any((folder / name).is_file() for name in _TOKENIZERS):
        return
    for name in _TOKENIZERS:
        if (lent.folder / name).is_file():
            shutil.copyfile(lent.folder / name, folder / name)
            return
    raise CheckpointError(f"{lent.folder} has no tokenizer (spiece.model or tokenizer.json) to copy.")


def _lend(part: str, given: str | None, names: list[str]) -> Lent | None:
    """The part of the given checkpoint, else of the first of those names or of a published model that is here."""
    if given is not None:
        found = find_model(given)
        return _read(part, found.model_id, found.path)
    for name in names:
        try:
            found = find_model(name)
        except ModelNotFoundError:
            continue
        return _read(part, found.model_id, found.path)
    published = [model for model in list_models() if model.model_id.startswith(_PUBLISHED)]
    published.sort(
        key=lambda model: model.model_id != PREFERRED
    )  # the smallest, and the likeliest to be whole
    for model in published:
        try:
            return _read(part, model.model_id, model.path)
        except CheckpointError:
            continue
    return None


def _read(part: str, model: str, folder: Path) -> Lent:
    config = read_json(folder / "config.json")
    kind, tensors = config.get("model_type"), load_tensors(folder)
    if part in config:
        kept = {name: value for name, value in tensors.items() if name.startswith(f"{part}.")}
        return Lent(model, config[part], kept, folder)
    if part == "text_encoder" and kind == "t5":
        kept = {name: value for name, value in tensors.items() if name.startswith(("shared.", "encoder."))}
    elif part == "audio_encoder" and kind == "encodec":
        kept = tensors
    else:
        raise CheckpointError(
            f"{folder} is a {kind!r} model, which has no {part.replace('_', ' ')} for MusicGen."
        )
    return Lent(model, config, {f"{part}.{name}": value for name, value in kept.items()}, folder)
