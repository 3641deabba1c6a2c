"""Exports as audiocraft writes them, made of transformers' models: its names, its configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def settings_of(model: Any) -> dict[str, Any]:
    """The configuration that audiocraft would have stored, references included."""
    decoder, codec = model.config.decoder, model.config.audio_encoder
    channels = decoder.audio_channels
    melody = model.config.model_type == "musicgen_melody"
    described: dict[str, Any] = {
        "model": "t5",
        "t5": {"name": "t5-base", "finetune": False, "word_dropout": 0.3, "normalize_text": False},
    }
    heard = {"sample_rate": "${sample_rate}", "n_chroma": 12, "radix2_exp": 14, "argmax": True}
    return {
        "lm_model": "transformer_lm",
        "sample_rate": 32000,
        "channels": channels,
        "dataset": {"segment_duration": 1.1},
        "classifier_free_guidance": {"training_dropout": 0.1, "inference_coef": 2.5},
        "codebooks_pattern": {
            "modeling": "delay",
            "delay": {
                "delays": [book // channels for book in range(decoder.num_codebooks)],
                "flatten_first": 0,
                "empty_initial": 0,
            },
        },
        "interleave_stereo_codebooks": {"use": channels == 2, "per_timestep": False},
        "transformer_lm": {
            "dim": decoder.hidden_size,
            "num_heads": decoder.num_attention_heads,
            "num_layers": decoder.num_hidden_layers,
            "hidden_scale": decoder.ffn_dim / decoder.hidden_size,
            "n_q": decoder.num_codebooks,
            "card": decoder.vocab_size,
            "activation": "gelu",
            "dropout": decoder.dropout,
            "norm_first": True,
            "norm": "layer_norm",
            "layer_scale": None,
            "positional_embedding": "sin",
            "causal": True,
            "past_context": None,
        },
        "fuser": {
            "cross_attention_pos_emb": False,
            "cross_attention_pos_emb_scale": 1,
            "input_interpolate": [],
            "sum": [],
            "prepend": ["self_wav", "description"] if melody else [],
            "cross": [] if melody else ["description"],
        },
        "conditioners": {
            "args": {"merge_text_conditions_p": 0.25},
            "description": described,
            **({"self_wav": {"model": "chroma_stem", "chroma_stem": heard}} if melody else {}),
        },
    } | {"codec": codec_settings(codec)}


def codec_settings(codec: Any) -> dict[str, Any]:
    return {
        "compression_model": "encodec",
        "sample_rate": codec.sampling_rate,
        "channels": 1,
        "encodec": {
            "autoencoder": "seanet",
            "quantizer": "rvq",
            "sample_rate": "${sample_rate}",
            "channels": "${channels}",
            "causal": False,
            "renormalize": False,
        },
        "seanet": {
            "dimension": codec.hidden_size,
            "channels": "${channels}",
            "causal": "${encodec.causal}",
            "n_filters": codec.num_filters,
            "n_residual_layers": codec.num_residual_layers,
            "ratios": list(codec.upsampling_ratios),
            "activation": "ELU",
            "norm": "weight_norm",
            "kernel_size": codec.kernel_size,
            "residual_kernel_size": codec.residual_kernel_size,
            "last_kernel_size": codec.last_kernel_size,
            "dilation_base": codec.dilation_growth_rate,
            "pad_mode": codec.pad_mode,
            "true_skip": not codec.use_conv_shortcut,
            "compress": codec.compress,
            "lstm": codec.num_lstm_layers,
            "disable_norm_outer_blocks": 0,
            "decoder": {"trim_right_ratio": 1.0, "final_activation": None},
            "encoder": {},
        },
        "rvq": {"n_q": 4, "bins": codec.codebook_size, "q_dropout": False},
    }


def language_model_state(state: dict[str, Any]) -> dict[str, Any]:
    """transformers' names as audiocraft's `LMModel` has them; queries, keys and values below each other."""
    import torch

    found: dict[str, Any] = {}
    for name, value in state.items():
        if name.startswith("decoder.lm_heads."):
            found[name.replace("decoder.lm_heads", "linears")] = value
        elif name.startswith("audio_enc_to_dec_proj."):
            found[f"condition_provider.conditioners.self_wav.output_proj.{name.split('.')[-1]}"] = value
            found["condition_provider.conditioners.self_wav.chroma.spec.window"] = torch.ones(8)
        elif name.startswith("enc_to_dec_proj."):
            found[f"condition_provider.conditioners.description.output_proj.{name.split('.')[-1]}"] = value
        elif "embed_positions" in name or not name.startswith("decoder."):
            continue
        else:
            short = name.removeprefix("decoder.model.decoder.")
            for theirs, audiocrafts in (
                ("embed_tokens", "emb"),
                ("self_attn_layer_norm", "norm1"),
                ("encoder_attn_layer_norm", "norm_cross"),
                ("final_layer_norm", "norm2"),
                ("encoder_attn", "cross_attention"),
                ("fc1", "linear1"),
                ("fc2", "linear2"),
            ):
                short = short.replace(theirs, audiocrafts)
            short = re.sub(r"^layers\.", "transformer.layers.", short)
            short = re.sub(r"^layer_norm\.", "out_norm.", short)
            found[short] = value
    for name in [name for name in found if ".q_proj." in name]:
        fused = [found.pop(name.replace("q_proj", f"{letter}_proj")) for letter in "qkv"]
        found[name.replace("q_proj.weight", "in_proj_weight")] = torch.cat(fused)
    return found


def codec_state(state: dict[str, Any]) -> dict[str, Any]:
    """transformers' names of EnCodec as audiocraft's SEANet has them."""
    found: dict[str, Any] = {}
    for name, value in state.items():
        if not name.startswith("audio_encoder."):
            continue
        short = name.removeprefix("audio_encoder.")
        short = short.replace("parametrizations.weight.original0", "weight_g")
        short = short.replace("parametrizations.weight.original1", "weight_v")
        short = re.sub(r"^quantizer\.layers\.(\d+)\.codebook\.", r"quantizer.vq.layers.\1._codebook.", short)
        short = re.sub(r"^(encoder|decoder)\.layers\.", r"\1.model.", short)
        short = re.sub(r"^(decoder\.model\.(?:3|6|9|12))\.conv\.", r"\1.convtr.convtr.", short)
        short = re.sub(
            r"^((?:encoder|decoder)\.model\.\d+(?:\.block\.\d+|\.shortcut)?)\.conv\.", r"\1.conv.conv.", short
        )
        found[short] = value
    return found


def export(model: Any, folder: Path, *, half: bool = False, codec: bool | str = True) -> dict[str, Any]:
    """Write the pair of files; `codec` may name a published one instead, or be left out. Returns the settings."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.half() if half else value for name, value in model.state_dict().items()}
    settings = settings_of(model)
    sound = settings.pop("codec")
    save(folder / "state_dict.bin", language_model_state(state), settings)
    if codec is True:
        save(folder / "compression_state_dict.bin", codec_state(model.state_dict()), sound)
    elif codec:
        torch.save(
            {"pretrained": codec, "exported": True, "version": "1.3"}, folder / "compression_state_dict.bin"
        )
    return settings


def save(path: Path, state: dict[str, Any], settings: Any) -> None:
    import torch
    import yaml

    text = settings if isinstance(settings, str) else yaml.safe_dump(settings)
    torch.save({"best_state": state, "xp.cfg": text, "version": "1.3", "exported": True}, path)
