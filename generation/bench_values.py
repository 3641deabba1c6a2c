"""What is measured, and with what: the published sizes, a benchmark, its results as lines of a table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generation.config import DecoderConfig, EncodecConfig, MusicGenConfig, T5Config
from generation.errors import InvalidRequestError

PROMPT = "an energetic rock song with drums and guitars"


def geometries() -> dict[str, MusicGenConfig]:
    """The published sizes (model cards of `facebook/musicgen-*`), the starter's and a tiny one."""
    from generation.training.starter.config import STARTER

    def published(hidden: int, layers: int, heads: int) -> MusicGenConfig:
        decoder = DecoderConfig(
            hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, ffn_dim=4 * hidden
        )
        return MusicGenConfig(text_encoder=T5Config(), audio_encoder=EncodecConfig(), decoder=decoder)

    return {
        "tiny": MusicGenConfig.tiny(),
        "starter": STARTER,
        "small": published(1024, 24, 16),
        "medium": published(1536, 48, 24),
        "large": published(2048, 48, 32),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured of one engine.

    Attributes:
        engine: `audiolib` or the peer's name.
        geometry: Name of the size, or of the checkpoint.
        backend: `cpu`, `metal` or `cuda`.
        dtype: Number type of the decoder.
        bits: 8 or 4 where its weights are quantised.
        blas: The CPU's matrix library.
        batch: Clips at once.
        guidance: Weight of the prompt; not 1 doubles the rows.
        step_ms: Median milliseconds of a decoder step.
        times_real_time: Seconds of music a second, all clips together, text, tokens and decoding counted.
        decode_share: Share of the time that the codec takes.
        first_sound_s: Seconds from the call to a stream's first chunk; None for peers.
        load_s: Seconds that loading took, or making random weights; None for peers.
        peak_mb: Largest resident size meanwhile (on macOS: so far), and on GPUs MLX's peak, in 10^6 bytes.
    """

    engine: str
    geometry: str
    backend: str
    dtype: str
    bits: int | None = None
    blas: str
    batch: int
    guidance: float
    step_ms: float
    times_real_time: float
    decode_share: float | None
    first_sound_s: float | None
    load_s: float | None = None
    peak_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What to measure.

    Attributes:
        geometry: One of `geometries`, with random weights.
        model: Without a geometry: a checkpoint's name or folder, the usual one when None.
        batches: Clips at once, one measurement each.
        seconds: Length of each clip.
        guidance: Weight of the prompt.
        dtype: Number type of the decoder; the backend's own when None.
        bits: 8 or 4 to quantise its weights.
        peer: Time transformers too, in a process of its own.
    """

    geometry: str | None = None
    model: str | Path | None = None
    batches: Sequence[int] = (1,)
    seconds: float = 10.0
    guidance: float = 3.0
    dtype: str | None = None
    bits: int | None = None
    peer: bool = False

    def checked(self) -> Benchmark:
        """The same, if it can be measured.

        Raises:
            InvalidRequestError: A number makes no sense, or there is no such geometry.
        """
        if self.geometry is not None and self.geometry not in geometries():
            raise InvalidRequestError(
                f"There is no geometry {self.geometry!r}; choose one of {', '.join(geometries())}."
            )
        if not self.batches or min(self.batches) < 1:
            raise InvalidRequestError("A batch has one clip or more.")
        if not (math.isfinite(self.seconds) and self.seconds >= 0.1):
            raise InvalidRequestError("Clips to measure with are 0.1 seconds long or longer.")
        return self


class FixedTokenizer:
    """Twelve tokens for every prompt, as an average sentence has."""

    def __init__(self, vocabulary: int) -> None:
        self._tokens = [int(t) for t in np.random.default_rng(0).integers(3, vocabulary, 11)]

    def encode(self, text: str) -> list[int]:
        """The same for every text."""
        return [*self._tokens, 1]


def table(results: Sequence[Result]) -> str:
    """The results as lines of a table.

    Args:
        results: At least one.
    """
    names = [field.name for field in dataclasses.fields(Result)]
    rows = [names, *[["" if v is None else str(v) for v in dataclasses.astuple(r)] for r in results]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
    )
