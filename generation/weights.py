"""The Hugging Face names and layouts of MusicGen's tensors against our own, in both directions.

Loading folds weight norm, fuses projections and turns convolutions channel-last; saving undoes it. The plan is built
from the model's own parameters, so what is missing, unexpected or misshapen is known by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

from generation.config import MusicGenConfig
from generation.errors import CheckpointError

Tensors = dict[str, mx.array]
_Any = TypeVar("_Any")

_IGNORED = re.compile(
    r"embed_positions\.weights?$|codebook\.(inited|cluster_size|embed_avg)$|text_encoder\.encoder\.embed_tokens\.weight$"
    r"|text_encoder\.(decoder|lm_head)\."
)
"""Training buffers, tables that are computed, and tied copies."""

_NORM_SPELLINGS = (
    ("parametrizations.weight.original0", "weight_g"),
    ("parametrizations.weight.original1", "weight_v"),
)


@dataclass(frozen=True, slots=True)
class Rule:
    """How one of our parameters is made of the checkpoint's tensors.

    Attributes:
        sources: Their names in the checkpoint.
        shapes: Their shapes there.
        read: Makes our parameter of them.
        write: Makes them of our parameter.
    """

    sources: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    read: Callable[[list[mx.array]], mx.array]
    write: Callable[[mx.array], list[mx.array]]


def _copy(name: str, value: mx.array) -> Rule:
    return Rule((name,), (value.shape,), lambda arrays: arrays[0], lambda array: [array])


def _stacked(names: list[str], value: mx.array) -> Rule:
    """Equal parts along the first axis."""
    count = len(names)
    part = (value.shape[0] // count, *value.shape[1:])
    return Rule(
        tuple(names),
        (part,) * count,
        lambda arrays: mx.concatenate(arrays),
        lambda array: list(mx.split(array, count)),
    )


def _unit_rows(v: mx.array) -> mx.array:
    return mx.sqrt(mx.sum(v * v, axis=(1, 2), keepdims=True))


def _read_weight_norm(arrays: list[mx.array]) -> mx.array:
    # Folded in float32: in 16 bit the norm of a long filter loses digits or overflows.
    g, v = (array.astype(mx.float32) for array in arrays)
    return v * (g / _unit_rows(v))


def _write_weight_norm(v: mx.array) -> list[mx.array]:
    return [_unit_rows(v), v]


def _conv(prefix: str, value: mx.array) -> Rule:
    """Ours `(out, k, in)`; theirs `(out, in, k)` with a norm for each output channel."""
    out, kernel, c_in = value.shape
    return Rule(
        (f"{prefix}.conv.weight_g", f"{prefix}.conv.weight_v"),
        ((out, 1, 1), (out, c_in, kernel)),
        lambda arrays: _read_weight_norm(arrays).transpose(0, 2, 1),
        lambda array: _write_weight_norm(array.astype(mx.float32).transpose(0, 2, 1)),
    )


def _conv_transpose(prefix: str, value: mx.array, c_out: int) -> Rule:
    """Ours `(k * out, in)`; theirs `(in, out, k)` with a norm for each input channel."""
    rows, c_in = value.shape
    kernel = rows // c_out
    return Rule(
        (f"{prefix}.conv.weight_g", f"{prefix}.conv.weight_v"),
        ((c_in, 1, 1), (c_in, c_out, kernel)),
        lambda arrays: _read_weight_norm(arrays).transpose(2, 1, 0).reshape(rows, c_in),
        lambda array: _write_weight_norm(
            array.astype(mx.float32).reshape(kernel, c_out, c_in).transpose(2, 1, 0)
        ),
    )


def _lstm_bias(prefix: str, layer: str, value: mx.array) -> Rule:
    """PyTorch keeps two biases that are only ever added."""
    names = (f"{prefix}.lstm.bias_ih_l{layer}", f"{prefix}.lstm.bias_hh_l{layer}")
    return Rule(
        names, (value.shape,) * 2, lambda arrays: arrays[0] + arrays[1], lambda b: [b, mx.zeros_like(b)]
    )


_T5_NAMES = {
    "attention": "layer.0.SelfAttention",
    "attention_norm": "layer.0.layer_norm",
    "feed_forward": "layer.1.DenseReluDense",
    "feed_forward_norm": "layer.1.layer_norm",
}
_BLOCK_NAMES = {
    "self_attn_norm": "self_attn_layer_norm",
    "cross_attn_norm": "encoder_attn_layer_norm",
    "ffn_norm": "final_layer_norm",
    "fc1": "fc1",
    "fc2": "fc2",
}
_ATTENTION_NAMES = {
    "out": ["out_proj"],
    "q": ["q_proj"],
    "kv": ["k_proj", "v_proj"],
    "qkv": ["q_proj", "k_proj", "v_proj"],
}


def _text_rule(name: str, value: mx.array) -> Rule:
    root = "text_encoder"
    if name == "shared.weight":
        return _copy(f"{root}.shared.weight", value)
    if name == "relative_bias.weight":
        return _copy(f"{root}.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", value)
    if name == "norm.weight":
        return _copy(f"{root}.encoder.final_layer_norm.weight", value)
    _, index, part, rest = name.split(".", 3)
    return _copy(f"{root}.encoder.block.{index}.{_T5_NAMES[part]}.{rest}", value)


def _codec_rule(name: str, value: mx.array, biases: Mapping[str, mx.array]) -> Rule:
    full = f"audio_encoder.{name}"
    if name.startswith("quantizer."):
        return _copy(full.removesuffix("embed") + "codebook.embed", value)
    lstm = re.fullmatch(r"(.+\.layers\.\d+)\.layers\.(\d+)\.(weight_ih|weight_hh|bias)", full)
    if lstm:
        prefix, layer, kind = lstm.groups()
        return (
            _lstm_bias(prefix, layer, value)
            if kind == "bias"
            else _copy(f"{prefix}.lstm.{kind}_l{layer}", value)
        )
    prefix, _, kind = full.rpartition(".")
    prefix = prefix.removesuffix(".conv")
    if kind == "bias":
        return _copy(f"{prefix}.conv.bias", value)
    if value.ndim == 3:
        return _conv(prefix, value)
    return _conv_transpose(prefix, value, biases[name.removesuffix("weight") + "bias"].shape[0])


def _decoder_rule(name: str, value: mx.array, books: int) -> Rule:
    root = "decoder.model.decoder"
    if name.startswith("text_proj."):
        return _copy(name.replace("text_proj", "enc_to_dec_proj"), value)
    if name.startswith("chroma_proj."):
        return _copy(name.replace("chroma_proj", "audio_enc_to_dec_proj"), value)
    if name == "embed.weight":
        return _stacked([f"{root}.embed_tokens.{k}.weight" for k in range(books)], value)
    if name == "heads.weight":
        return _stacked([f"decoder.lm_heads.{k}.weight" for k in range(books)], value)
    if name.startswith("norm."):
        return _copy(f"{root}.layer_{name}", value)
    _, index, part, rest = name.split(".", 3)
    prefix = f"{root}.layers.{index}"
    if part in _BLOCK_NAMES:
        return _copy(f"{prefix}.{_BLOCK_NAMES[part]}.{rest}", value)
    theirs = {"self_attn": "self_attn", "cross_attn": "encoder_attn"}[part]
    fused, kind = rest.split(".")
    return _stacked([f"{prefix}.{theirs}.{source}.{kind}" for source in _ATTENTION_NAMES[fused]], value)


def plan(config: MusicGenConfig, model: nn.Module) -> dict[str, Rule]:
    """A rule for each parameter of `model`, whose parts are `text_encoder`, `codec` and `decoder`."""
    flat: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    codec = {name.removeprefix("codec."): value for name, value in flat.items() if name.startswith("codec.")}
    rules = {}
    for name, value in flat.items():
        part, _, rest = name.partition(".")
        if part == "text_encoder":
            rules[name] = _text_rule(rest, value)
        elif part == "codec":
            rules[name] = _codec_rule(rest, value, codec)
        else:
            rules[name] = _decoder_rule(rest, value, config.decoder.num_codebooks)
    return rules


def _one_spelling(tensors: Mapping[str, _Any]) -> dict[str, _Any]:
    """Drop what is not needed and write weight norm in one way."""
    renamed: dict[str, _Any] = {}
    for name, value in tensors.items():
        if _IGNORED.search(name):
            continue
        for new, old in _NORM_SPELLINGS:
            name = name.removesuffix(new) + old if name.endswith(new) else name
        renamed[name] = value
    if "text_encoder.shared.weight" not in renamed:
        # Some writers keep only the tied copy of T5's table.
        tied = tensors.get("text_encoder.encoder.embed_tokens.weight")
        if tied is not None:
            renamed["text_encoder.shared.weight"] = tied
    return renamed


def _some(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def from_hugging_face(tensors: Tensors, rules: Mapping[str, Rule]) -> Tensors:
    """The checkpoint's tensors as our parameters, every one checked.

    Raises:
        CheckpointError: a tensor is missing, unexpected or wrongly shaped; it is named.
    """
    tensors = _one_spelling(tensors)
    _check({name: tensor.shape for name, tensor in tensors.items()}, rules)
    return {name: rule.read([tensors[source] for source in rule.sources]) for name, rule in rules.items()}


def check_shapes(shapes: Mapping[str, tuple[int, ...]], rules: Mapping[str, Rule]) -> None:
    """Whether a checkpoint with tensors of these shapes could be read; nothing is loaded.

    Args:
        shapes: Of every tensor by its published name.
        rules: From `plan`.

    Raises:
        CheckpointError: a tensor is missing, unexpected or wrongly shaped; it is named.
    """
    _check(_one_spelling(shapes), rules)


def _check(shapes: Mapping[str, tuple[int, ...]], rules: Mapping[str, Rule]) -> None:
    wanted = {
        name: shape for rule in rules.values() for name, shape in zip(rule.sources, rule.shapes, strict=True)
    }
    missing = [name for name in wanted if name not in shapes]
    if missing:
        raise CheckpointError(f"The checkpoint lacks {len(missing)} tensor(s): {_some(missing)}.")
    unexpected = [name for name in shapes if name not in wanted]
    if unexpected:
        raise CheckpointError(
            f"The checkpoint has {len(unexpected)} unexpected tensor(s): {_some(unexpected)}."
        )
    for name, shape in wanted.items():
        if shapes[name] != shape:
            raise CheckpointError(f"Tensor {name} has shape {shapes[name]}, its config says {shape}.")


def to_hugging_face(parameters: Tensors, rules: Mapping[str, Rule]) -> Tensors:
    """Our parameters as the tensors of a published checkpoint."""
    out: Tensors = {}
    for name, rule in rules.items():
        out.update(zip(rule.sources, rule.write(parameters[name]), strict=True))
    return out
