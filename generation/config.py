"""A checkpoint's `config.json` as frozen dataclasses: the Hugging Face layout of MusicGen and its three parts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from generation.errors import CheckpointError

_T = TypeVar("_T")


def _build(cls: type[_T], values: Mapping[str, Any], part: str) -> _T:
    """Make `cls` from the keys it knows; unknown keys are a newer writer's business and are left alone."""
    picked = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # always a dataclass
        if field.name in values:
            value = values[field.name]
            value = tuple(value) if isinstance(value, list) else value
            _require(_fits(field.name, value, field.default), f"{part}.{field.name} cannot be {value!r}")
            picked[field.name] = value
    return cls(**picked)


def _fits(name: str, value: object, default: object) -> bool:
    """Whether a value is of its default's kind and no size is zero or negative."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if default is None:
        return value is None or number
    if isinstance(default, bool | str):
        return type(value) is type(default)
    if isinstance(default, tuple):
        return isinstance(value, tuple) and bool(value) and all(_fits(name, v, default[0]) for v in value)
    if not number or (isinstance(default, int) and not isinstance(value, int)):
        return False
    least = 0 if name.endswith(("_token_id", "_layers")) or isinstance(default, float) else 1
    return float(value) >= least  # type: ignore[arg-type]  # `number` says that it is one


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CheckpointError(f"config.json: {message}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class T5Config:
    """The text encoder (Raffel et al. 2020, arXiv:1910.10683, section 2.1); only the encoder half is used."""

    vocab_size: int = 32128
    d_model: int = 768
    d_kv: int = 64
    d_ff: int = 3072
    num_layers: int = 12
    num_heads: int = 12
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = "relu"
    pad_token_id: int = 0
    eos_token_id: int = 1

    def __post_init__(self) -> None:
        activation = self.feed_forward_proj.removeprefix("gated-")
        _require(
            activation in ("relu", "gelu", "gelu_new", "silu"),
            f"text_encoder.feed_forward_proj {self.feed_forward_proj!r} is not known",
        )
        # MLX looks up a row beyond a table without a word, or ends the process.
        _require(
            max(self.pad_token_id, self.eos_token_id) < self.vocab_size,
            f"text_encoder.eos_token_id and pad_token_id must be below vocab_size, {self.vocab_size}",
        )
        _require(
            self.relative_attention_num_buckets >= 4,
            "text_encoder.relative_attention_num_buckets must be 4 or more",
        )
        _require(self.layer_norm_epsilon > 0, "text_encoder.layer_norm_epsilon must be above 0")

    @property
    def gated(self) -> bool:
        """Whether the feed-forward layer has a gate (T5 1.1) or is the plain one (T5 1.0)."""
        return self.feed_forward_proj.startswith("gated-")

    @property
    def activation(self) -> str:
        """Name of the activation; `gated-gelu` means the tanh approximation, as in T5 1.1."""
        name = self.feed_forward_proj.removeprefix("gated-")
        return "gelu_new" if self.gated and name == "gelu" else name

    @classmethod
    def tiny(cls) -> Self:
        """A few thousand parameters, for tests."""
        return cls(vocab_size=99, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodecConfig:
    """The audio codec (Défossez et al. 2022, arXiv:2210.13438, section 3.1); defaults are `facebook/encodec_32khz`."""

    sampling_rate: int = 32000
    audio_channels: int = 1
    num_filters: int = 64
    num_residual_layers: int = 1
    upsampling_ratios: tuple[int, ...] = (8, 5, 4, 4)
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    dilation_growth_rate: int = 2
    compress: int = 2
    num_lstm_layers: int = 2
    hidden_size: int = 128
    codebook_size: int = 2048
    codebook_dim: int | None = None
    target_bandwidths: tuple[float, ...] = (2.2,)
    use_causal_conv: bool = False
    trim_right_ratio: float = 1.0
    use_conv_shortcut: bool = False
    pad_mode: str = "reflect"
    norm_type: str = "weight_norm"
    normalize: bool = False
    chunk_length_s: float | None = None

    def __post_init__(self) -> None:
        _require(
            self.norm_type == "weight_norm", f"audio_encoder.norm_type {self.norm_type!r} is not supported"
        )
        _require(
            self.pad_mode in ("reflect", "constant", "zero"),
            f"audio_encoder.pad_mode {self.pad_mode!r} is not supported",
        )
        _require(
            not self.normalize and self.chunk_length_s is None,
            "codecs that normalise or work in chunks (encodec_48khz) are not supported",
        )
        _require(
            self.codebook_dim in (None, self.hidden_size), "audio_encoder.codebook_dim must equal hidden_size"
        )
        _require(
            self.audio_channels == 1, "audio_encoder.audio_channels must be 1; stereo is two codes a frame"
        )
        _require(self.codebook_size > 1, "audio_encoder.codebook_size must be 2 or more")
        _require(
            self.num_filters >= self.compress,
            f"audio_encoder.num_filters must be compress, {self.compress}, or more",
        )
        _require(
            self.use_causal_conv or self.trim_right_ratio == 1.0,
            "audio_encoder.trim_right_ratio other than 1 needs causal convolutions",
        )

    @property
    def hop_length(self) -> int:
        """Samples a frame: 640 at 32 kHz."""
        return math.prod(self.upsampling_ratios)

    @property
    def frame_rate(self) -> int:
        """Frames a second: 50 for every published MusicGen."""
        return math.ceil(self.sampling_rate / self.hop_length)

    @property
    def num_quantizers(self) -> int:
        """Codebooks of the residual quantiser at the highest target bandwidth (kbit/s)."""
        bits = math.ceil(math.log2(self.codebook_size))
        return int(1000 * self.target_bandwidths[-1] // (self.frame_rate * bits))

    @classmethod
    def tiny(cls) -> Self:
        """The real layout at 640 samples a frame with a handful of filters, for tests."""
        return cls(
            num_filters=2, hidden_size=8, codebook_size=64, num_lstm_layers=1, target_bandwidths=(1.2,)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """The language model over codes (Copet et al. 2023, arXiv:2306.05284, section 3); defaults are musicgen-small."""

    vocab_size: int = 2048
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    ffn_dim: int = 4096
    num_codebooks: int = 4
    audio_channels: int = 1
    activation_function: str = "gelu"
    dropout: float = 0.0  # in training only
    pad_token_id: int = 2048
    bos_token_id: int = 2048
    cross_attention: bool = True  # melody models prepend what they are conditioned on instead

    def __post_init__(self) -> None:
        _require(
            self.hidden_size % self.num_attention_heads == 0,
            f"decoder.hidden_size {self.hidden_size} is no multiple of {self.num_attention_heads} heads",
        )
        _require(
            self.hidden_size % 2 == 0 and self.hidden_size > 2, "decoder.hidden_size must be even, 4 or more"
        )
        _require(self.num_hidden_layers > 0, "decoder.num_hidden_layers must be 1 or more")
        _require(self.dropout < 1, "decoder.dropout must be below 1")
        _require(
            max(self.bos_token_id, self.pad_token_id) <= self.vocab_size,
            f"decoder.bos_token_id and pad_token_id must be at most vocab_size, {self.vocab_size}",
        )
        _require(
            self.activation_function in ("gelu", "relu"),
            f"decoder.activation_function {self.activation_function!r} is not known",
        )
        _require(self.audio_channels in (1, 2), "decoder.audio_channels must be 1 or 2")
        _require(
            self.num_codebooks % self.audio_channels == 0,
            "decoder.num_codebooks must be shared evenly by the channels",
        )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def tiny(cls) -> Self:
        """A few thousand parameters, for tests."""
        return cls(
            vocab_size=64,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            ffn_dim=64,
            pad_token_id=64,
            bos_token_id=64,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MelodyConfig:
    """Conditioning on a melody (Copet et al. 2023, section 2.3); defaults are `facebook/musicgen-melody`.

    Attributes:
        num_chroma: Pitch classes.
        chroma_length: Frames of chroma that the decoder sees: 30 seconds.
    """

    num_chroma: int = 12
    chroma_length: int = 235


@dataclass(frozen=True, slots=True, kw_only=True)
class MusicGenConfig:
    """A whole checkpoint: text encoder, codec, decoder, and for a melody model how it hears one."""

    text_encoder: T5Config
    audio_encoder: EncodecConfig
    decoder: DecoderConfig
    melody: MelodyConfig | None = None

    def __post_init__(self) -> None:
        codec, decoder = self.audio_encoder, self.decoder
        _require(
            codec.codebook_size == decoder.vocab_size,
            f"the codec has {codec.codebook_size} codes a book, the decoder {decoder.vocab_size}",
        )
        _require(
            codec.num_quantizers * decoder.audio_channels == decoder.num_codebooks,
            f"the codec has {codec.num_quantizers} codebooks a channel, the decoder {decoder.num_codebooks} in all",
        )

    @property
    def family(self) -> str:
        """`mono`, `stereo`, `melody` or `stereo-melody`: which of the published kinds it is."""
        kinds = ["stereo"] * (self.decoder.audio_channels == 2) + ["melody"] * (self.melody is not None)
        return "-".join(kinds) or "mono"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a parsed `config.json`.

        Raises:
            CheckpointError: a section is missing or its sizes contradict each other.
        """
        kind = values.get("model_type")
        if kind not in ("musicgen", "musicgen_melody"):
            raise CheckpointError(f"config.json describes a {kind!r} model, not a MusicGen one.")
        parts: dict[str, Any] = {}
        for name in ("text_encoder", "audio_encoder", "decoder"):
            if not isinstance(values.get(name), Mapping):
                raise CheckpointError(f"config.json has no section {name!r}.")
            parts[name] = values[name]
        melody = kind == "musicgen_melody"
        decoder = _build(DecoderConfig, parts["decoder"], "decoder")
        return cls(
            text_encoder=_build(T5Config, parts["text_encoder"], "text_encoder"),
            audio_encoder=_build(EncodecConfig, parts["audio_encoder"], "audio_encoder"),
            decoder=dataclasses.replace(decoder, cross_attention=not melody),
            melody=_build(MelodyConfig, values, "config") if melody else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """The `config.json` that transformers' `MusicgenForConditionalGeneration` and its melody twin read too."""
        text, codec, decoder = (
            dataclasses.asdict(part) for part in (self.text_encoder, self.audio_encoder, self.decoder)
        )
        del decoder["cross_attention"]
        kind, name = ("musicgen_melody", "MusicgenMelody") if self.melody else ("musicgen", "Musicgen")
        return {
            "architectures": [f"{name}ForConditionalGeneration"],
            "model_type": kind,
            **(dataclasses.asdict(self.melody) if self.melody else {}),
            "is_encoder_decoder": True,
            "text_encoder": {**text, "model_type": "t5", "is_encoder_decoder": False},
            "audio_encoder": {**codec, "model_type": "encodec"},
            "decoder": {**decoder, "model_type": f"{kind}_decoder", "is_decoder": True},
        }

    @classmethod
    def tiny(cls) -> Self:
        """The smallest whole model, for tests."""
        return cls(
            text_encoder=T5Config.tiny(), audio_encoder=EncodecConfig.tiny(), decoder=DecoderConfig.tiny()
        )
