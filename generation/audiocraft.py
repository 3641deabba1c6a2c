"""audiocraft's own exports against the Hugging Face layout: names of tensors, and its configuration against ours.

An export is `state_dict.bin` (the language model under `best_state`, its OmegaConf configuration as YAML under
`xp.cfg`) and `compression_state_dict.bin` (the codec likewise, or only the name of a published one). The names are
those of audiocraft's modules `LMModel`, `StreamingTransformer` and `SEANetEncoder` (audiocraft 1.3).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.checkpoints import STYLE_REFUSED
from generation.errors import CheckpointError
from generation.pickles import PickledTensor, read_pickle

LANGUAGE_MODEL = "state_dict.bin"
CODEC = "compression_state_dict.bin"

_CHROMA_HOP_SHARE = 4  # audiocraft's chroma frames overlap by three quarters of a window
_MOST = 1 << 20  # of anything that is counted
_DEPTH = 8  # of references in a configuration to other references

_DECODER = "decoder.model.decoder"
_PARTS = {
    "self_attn.out_proj": "self_attn.out_proj",
    "cross_attention.out_proj": "encoder_attn.out_proj",
    "linear1": "fc1",
    "linear2": "fc2",
    "norm1": "self_attn_layer_norm",
    "norm_cross": "encoder_attn_layer_norm",
    "norm2": "final_layer_norm",
}
_OUTER = {
    "out_norm": f"{_DECODER}.layer_norm",
    "condition_provider.conditioners.description.output_proj": "enc_to_dec_proj",
    "condition_provider.conditioners.self_wav.output_proj": "audio_enc_to_dec_proj",
}
_COMPUTED = re.compile(r"condition_provider\.conditioners\.self_wav\.(chroma\..*|stem_indices)")
"""Windows and filters that a melody model computes anew."""


_UNSEEN: tuple[tuple[str, Any], ...] = (
    ("transformer_lm.kv_repeat", 1),
    ("transformer_lm.causal", True),
    ("transformer_lm.past_context", None),
    ("transformer_lm.positional_scale", 1),
    ("transformer_lm.max_period", 10_000),
    ("codebooks_pattern.delay.flatten_first", 0),
    ("codebooks_pattern.delay.empty_initial", 0),
    ("fuser.cross_attention_pos_emb", False),
    ("fuser.sum", []),
    ("fuser.input_interpolate", []),
)
"""Settings that no tensor tells of, as every published model has them (audiocraft's `config/`)."""


@dataclass(frozen=True, slots=True)
class Export:
    """One file of an export.

    Attributes:
        path: The file.
        tensors: By audiocraft's names; none where it only points to a published model.
        settings: Its configuration, parsed.
        pretrained: Name of the published model that it points to.
    """

    path: Path
    tensors: Mapping[str, PickledTensor]
    settings: Mapping[str, Any]
    pretrained: str | None

    def get(self, name: str, default: Any = None) -> Any:
        """A setting by its dotted name, references to others followed."""
        value: Any = self.settings
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        for _ in range(_DEPTH):
            reference = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
            if reference is None:
                return default if value is None else value
            value = self.settings
            for part in reference[1].split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
        raise CheckpointError(f"{self.path}: the setting {name} refers to itself.")

    def number(self, name: str, default: float | None = None) -> Any:
        """A setting that must be a number.

        Raises:
            CheckpointError: It is missing or something else.
        """
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise CheckpointError(f"{self.path}: the setting {name} is no number but {value!r}.")
        return value

    def count(self, name: str, default: int | None = None) -> int:
        """A setting that must be a whole number above 0.

        Raises:
            CheckpointError: It is missing or something else.
        """
        value = self.number(name, default)
        if not isinstance(value, int) or not 0 < value <= _MOST:
            raise CheckpointError(f"{self.path}: the setting {name} cannot be {value!r}.")
        return value

    def require(self, name: str, *wanted: Any) -> None:
        """Refuse a model that needs what this project does not have; an absent setting is the usual one.

        Raises:
            CheckpointError: The setting has another value.
        """
        value = self.get(name, wanted[0])
        if value not in wanted:
            raise CheckpointError(f"{self.path}: models with {name} = {value!r} are not supported.")


def read_export(path: Path) -> Export:
    """Read one file; nothing in it is run, and its tensors stay on the disk.

    Args:
        path: `state_dict.bin` or `compression_state_dict.bin`.

    Raises:
        CheckpointError: It is no export, or holds anything but tensors and texts.
    """
    import yaml  # type: ignore[import-untyped]  # comes with huggingface_hub, without types

    content = read_pickle(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} is no export of audiocraft.")
    pretrained = content.get("pretrained")
    if isinstance(pretrained, str):
        return Export(path, {}, {}, pretrained.removeprefix("//pretrained/"))
    state, text = content.get("best_state"), content.get("xp.cfg")
    if not isinstance(state, Mapping) or not isinstance(text, str):
        raise CheckpointError(f"{path} is no export of audiocraft: it lacks best_state or xp.cfg.")
    try:
        settings = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its configuration is no YAML.") from error
    if not isinstance(settings, Mapping):
        raise CheckpointError(f"{path}: its configuration is no table of settings.")
    tensors = {name: value for name, value in state.items() if isinstance(value, PickledTensor)}
    return Export(path, tensors, settings, None)


def language_model_tensors(export: Export) -> dict[str, PickledTensor]:
    """The language model's tensors by their Hugging Face names.

    Raises:
        CheckpointError: A tensor is none that MusicGen has.
    """
    found: dict[str, PickledTensor] = {}
    for name, tensor in export.tensors.items():
        if not _COMPUTED.fullmatch(name):
            found.update(_language_model_tensor(export, name, tensor))
    return found


def _language_model_tensor(export: Export, name: str, tensor: PickledTensor) -> dict[str, PickledTensor]:
    table = re.fullmatch(r"(emb|linears)\.(\d+)\.weight", name)
    if table:
        kind = f"{_DECODER}.embed_tokens" if table[1] == "emb" else "decoder.lm_heads"
        return {f"{kind}.{table[2]}.weight": tensor}
    outer, _, kind = name.rpartition(".")
    if outer in _OUTER:
        return {f"{_OUTER[outer]}.{kind}": tensor}
    layer = re.fullmatch(r"transformer\.layers\.(\d+)\.(.+)\.(\w+)", name)
    if layer:
        prefix, part = f"{_DECODER}.layers.{layer[1]}", layer[2].replace(".mha", "")
        if part in _PARTS:
            return {f"{prefix}.{_PARTS[part]}.{layer[3]}": tensor}
        if part in ("self_attn", "cross_attention") and layer[3] == "in_proj_weight":
            attention = "self_attn" if part == "self_attn" else "encoder_attn"
            return _split(f"{prefix}.{attention}", tensor)
    raise CheckpointError(f"{export.path} has the tensor {name}, which no MusicGen has.")


def _split(prefix: str, fused: PickledTensor) -> dict[str, PickledTensor]:
    """Queries, keys and values are stored below each other."""
    size = fused.values.shape[0] // 3
    return {
        f"{prefix}.{name}_proj.weight": PickledTensor(fused.values[i * size : (i + 1) * size], fused.dtype)
        for i, name in enumerate("qkv")
    }


def codec_tensors(export: Export) -> dict[str, PickledTensor]:
    """The codec's tensors by their Hugging Face names.

    Raises:
        CheckpointError: A tensor is none that EnCodec has.
    """
    found: dict[str, PickledTensor] = {}
    for name, tensor in export.tensors.items():
        book = re.fullmatch(r"quantizer\.vq\.layers\.(\d+)\._codebook\.(\w+)", name)
        layer = re.fullmatch(r"(encoder|decoder)\.model\.(.+)", name)
        if book:
            renamed = f"quantizer.layers.{book[1]}.codebook.{book[2]}"
        elif layer:
            rest = re.sub(r"\b(conv\.conv|convtr\.convtr)\.", "conv.", layer[2])
            renamed = f"{layer[1]}.layers.{rest}"
        else:
            raise CheckpointError(f"{export.path} has the tensor {name}, which EnCodec has not.")
        found[f"audio_encoder.{renamed}"] = tensor
    return found


def decoder_config(export: Export) -> dict[str, Any]:
    """The section `decoder` of `config.json`, and beside it what a melody model adds to the whole.

    Returns:
        `{"model_type": ..., "decoder": {...}}` with `num_chroma` and `chroma_length` for melody models.

    Raises:
        CheckpointError: The model is none of MusicGen's published families.
    """
    export.require("lm_model", "transformer_lm")
    for name, wanted in (("norm", "layer_norm"), ("norm_first", True), ("positional_embedding", "sin")):
        export.require(f"transformer_lm.{name}", wanted)
    for name in ("layer_scale", "qk_layer_norm", "qk_layer_norm_cross"):
        export.require(f"transformer_lm.{name}", None, False)
    for name, usual in _UNSEEN:
        export.require(name, usual)
    export.require("interleave_stereo_codebooks.per_timestep", False)
    channels = 2 if export.get("interleave_stereo_codebooks.use", False) else 1
    books = export.count("transformer_lm.n_q")
    export.require("codebooks_pattern.modeling", "delay")
    export.require("codebooks_pattern.delay.delays", [book // channels for book in range(books)])
    width, card = export.number("transformer_lm.dim"), export.number("transformer_lm.card")
    decoder = {
        "vocab_size": card,
        "hidden_size": width,
        "num_hidden_layers": export.number("transformer_lm.num_layers"),
        "num_attention_heads": export.number("transformer_lm.num_heads"),
        "ffn_dim": int(export.number("transformer_lm.hidden_scale", 4) * width),
        "num_codebooks": books,
        "audio_channels": channels,
        "activation_function": export.get("transformer_lm.activation", "gelu"),
        "dropout": float(export.number("transformer_lm.dropout", 0.0)),
        "pad_token_id": card,
        "bos_token_id": card,
    }
    melody = _melody(export)
    return {"model_type": "musicgen_melody" if melody else "musicgen", "decoder": decoder, **melody}


def _melody(export: Export) -> dict[str, int]:
    """What a melody model's `config.json` has besides; empty for models of text alone."""
    named = export.get("conditioners", {})
    if not isinstance(named, Mapping):
        raise CheckpointError(f"{export.path}: the setting conditioners is no table.")
    conditioners = set(named) - {"args"}
    if export.get("conditioners.self_wav.model") == "style":
        raise CheckpointError(STYLE_REFUSED)
    export.require("conditioners.description.model", "t5")
    export.require("conditioners.description.t5.normalize_text", False)
    if conditioners == {"description"}:
        export.require("fuser.cross", ["description"])
        return {}
    if conditioners != {"description", "self_wav"}:
        names = ", ".join(sorted(map(str, conditioners)))
        raise CheckpointError(f"{export.path}: models conditioned on {names} are not supported.")
    export.require("conditioners.self_wav.model", "chroma_stem")
    export.require("conditioners.self_wav.chroma_stem.argmax", True)
    export.require("fuser.prepend", ["self_wav", "description"])
    chroma = "conditioners.self_wav.chroma_stem"
    exponent = export.count(f"{chroma}.radix2_exp", 14)
    if not 2 <= exponent <= 20:
        raise CheckpointError(f"{export.path}: the setting {chroma}.radix2_exp cannot be {exponent}.")
    hop = 2**exponent // _CHROMA_HOP_SHARE
    samples = export.number("dataset.segment_duration", 30) * export.number("sample_rate", 32_000)
    return {
        "num_chroma": export.number(f"{chroma}.n_chroma", 12),
        "chroma_length": 1 + int(samples) // int(hop),
    }


def codec_config(export: Export) -> dict[str, Any]:
    """The section `audio_encoder` of `config.json`.

    Raises:
        CheckpointError: The codec is no EnCodec of the published kind.
    """
    export.require("compression_model", "encodec")
    for name, wanted in (("autoencoder", "seanet"), ("quantizer", "rvq"), ("renormalize", False)):
        export.require(f"encodec.{name}", wanted)
    export.require("seanet.activation", "ELU")
    export.require("seanet.decoder.final_activation", None)
    export.require("seanet.disable_norm_outer_blocks", 0)
    rate, ratios = export.number("sample_rate"), export.get("seanet.ratios")
    if not isinstance(ratios, list) or not all(isinstance(r, int) and r > 0 for r in ratios):
        raise CheckpointError(f"{export.path}: the setting seanet.ratios is no list of numbers.")
    bins = export.count("rvq.bins")
    frames = math.ceil(rate / math.prod(ratios))
    return {
        "sampling_rate": rate,
        "audio_channels": export.number("channels", 1),
        "num_filters": export.number("seanet.n_filters"),
        "num_residual_layers": export.number("seanet.n_residual_layers", 1),
        "upsampling_ratios": ratios,
        "kernel_size": export.number("seanet.kernel_size", 7),
        "last_kernel_size": export.number("seanet.last_kernel_size", 7),
        "residual_kernel_size": export.number("seanet.residual_kernel_size", 3),
        "dilation_growth_rate": export.number("seanet.dilation_base", 2),
        "compress": export.number("seanet.compress", 2),
        "num_lstm_layers": export.number("seanet.lstm", 2),
        "hidden_size": export.number("seanet.dimension", 128),
        "codebook_size": bins,
        "codebook_dim": export.number("seanet.dimension", 128),
        "target_bandwidths": [export.count("rvq.n_q") * frames * math.ceil(math.log2(bins)) / 1000],
        "use_causal_conv": export.get("seanet.causal", False),
        "trim_right_ratio": float(export.number("seanet.decoder.trim_right_ratio", 1.0)),
        "use_conv_shortcut": not export.get("seanet.true_skip", True),
        "pad_mode": export.get("seanet.pad_mode", "constant"),
        "norm_type": export.get("seanet.norm", "weight_norm"),
    }
