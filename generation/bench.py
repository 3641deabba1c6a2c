"""How fast and how large: a model of any published geometry with random weights, timed on this machine.

`python -m generation.bench --geometry small --batch 1 --seconds 10 --peer` prints a table, with `--json` one object a
line. Random weights take as long as trained ones, so nothing need be downloaded.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation import backend

backend.prepare()  # MLX binds its matrix library when it is imported, so the faster one must be there before

# ruff: noqa: E402
import mlx.core as mx
import numpy as np

from generation.config import DecoderConfig, EncodecConfig, MusicGenConfig, T5Config
from generation.musicgen import MusicGen
from generation.parts import Parts

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
        geometry: Name of the size.
        backend: `cpu`, `metal` or `cuda`.
        dtype: Number type of the decoder.
        blas: The CPU's matrix library.
        batch: Clips at once.
        guidance: Weight of the prompt; not 1 doubles the rows.
        step_ms: Median milliseconds of a decoder step.
        times_real_time: Seconds of music a second, all clips together, text, tokens and decoding counted.
        decode_share: Share of the time that the codec takes.
        first_sound_s: Seconds from the call to a stream's first chunk; None for peers.
        peak_mb: Largest resident size of the process so far, and on GPUs MLX's peak, in 10^6 bytes.
    """

    engine: str
    geometry: str
    backend: str
    dtype: str
    blas: str
    batch: int
    guidance: float
    step_ms: float
    times_real_time: float
    decode_share: float | None
    first_sound_s: float | None
    peak_mb: float


class _FixedTokenizer:
    """Twelve tokens for every prompt, as an average sentence has."""

    def __init__(self, vocabulary: int) -> None:
        self._tokens = [int(t) for t in np.random.default_rng(0).integers(3, vocabulary, 11)]

    def encode(self, text: str) -> list[int]:
        """The same for every text."""
        return [*self._tokens, 1]


def random_model(config: MusicGenConfig, dtype: str | None = None) -> MusicGen:
    """A model with random weights, ready to be timed.

    Args:
        config: Its geometry.
        dtype: Of the decoder; the backend's own by default.
    """
    chosen = backend.choose_dtype(dtype)
    mx.random.seed(0)
    parts = Parts(config)
    parts.eval()
    parts.decoder.set_dtype(getattr(mx, chosen))
    mx.eval(parts.parameters())
    tokenizer = _FixedTokenizer(config.text_encoder.vocab_size)
    return MusicGen(config, parts, tokenizer, model_id="random", folder=Path("random"), dtype=chosen)


def measure(model: MusicGen, geometry: str, *, batch: int, seconds: float, guidance: float = 3.0) -> Result:
    """Time whole clips after a warm-up.

    Args:
        model: Loaded or random.
        geometry: What its size is called in the result.
        batch: Clips at once.
        seconds: Length of each.
        guidance: Weight of the prompt.
    """
    prompts, seeds = [PROMPT] * batch, list(range(batch))
    options: dict[str, Any] = {"guidance": guidance, "batch_size": batch}
    model.compose(prompts, seeds=seeds, duration=min(0.5, seconds), **options)
    stamps = [time.perf_counter()]

    def stamp(_done: int, _total: int) -> None:
        stamps.append(time.perf_counter())

    clips = model.compose(prompts, seeds=seeds, duration=seconds, progress=stamp, **options)
    whole = time.perf_counter() - stamps[0]
    steps = np.diff(stamps[1:])
    stream = model.stream(PROMPT, seed=0, duration=min(3.0, seconds), guidance=guidance)
    start = time.perf_counter()
    next(stream)
    first = time.perf_counter() - start
    return Result(
        engine="audiolib",
        geometry=geometry,
        backend=model.backend,
        dtype=model.dtype,
        blas=backend.describe_backend().blas,
        batch=batch,
        guidance=guidance,
        step_ms=round(float(np.median(steps)) * 1e3, 3),
        times_real_time=round(sum(len(c.audio) for c in clips) / model.sampling_rate / whole, 3),
        decode_share=round(1 - (stamps[-1] - stamps[0]) / whole, 3),
        first_sound_s=round(first, 3),
        peak_mb=round(_peak_bytes() / 1e6, 1),
    )


def measure_transformers(geometry: str, *, batch: int, steps: int, guidance: float = 3.0) -> Result:
    """Time transformers' `MusicgenForConditionalGeneration` of the same geometry, in float32 on the CPU.

    Args:
        geometry: One of `geometries`.
        batch: Clips at once.
        steps: Decoder steps to time, after a warm-up of eight.
        guidance: Weight of the prompt.
    """
    import torch
    import transformers

    values = geometries()[geometry].to_dict()
    config = transformers.MusicgenConfig(
        **{name: values[name] for name in ("text_encoder", "audio_encoder", "decoder")}
    )
    model = transformers.MusicgenForConditionalGeneration(config).eval()
    tokens = torch.tensor([_FixedTokenizer(values["text_encoder"]["vocab_size"]).encode(PROMPT)] * batch)

    def run(count: int) -> float:
        start = time.perf_counter()
        with torch.no_grad():
            model.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                do_sample=True,
                guidance_scale=guidance,
                max_new_tokens=count,
            )
        return time.perf_counter() - start

    run(8)
    whole = run(steps)
    frames = steps - 3
    return Result(
        engine=f"transformers {transformers.__version__}",
        geometry=geometry,
        backend="cpu",
        dtype="float32",
        blas=f"torch {torch.__version__}",
        batch=batch,
        guidance=guidance,
        step_ms=round(whole / steps * 1e3, 3),
        times_real_time=round(batch * frames / 50 / whole, 3),
        decode_share=None,
        first_sound_s=None,
        peak_mb=round(_peak_bytes() / 1e6, 1),
    )


def _peak_bytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return float(max(resident, mx.get_peak_memory()))


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


def main(arguments: list[str] | None = None, *, say: Callable[[str], None] = print) -> int:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--geometry", choices=sorted(geometries()), default="starter")
    parser.add_argument("--model", type=Path, help="a checkpoint's folder instead of random weights")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--dtype", choices=backend.DTYPES)
    parser.add_argument("--peer", action="store_true", help="time transformers too, in the same run")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.model:
        model, name = MusicGen.from_pretrained(options.model, dtype=options.dtype), options.model.name
    else:
        model, name = random_model(geometries()[options.geometry], options.dtype), options.geometry
    results = [
        measure(model, name, batch=batch, seconds=options.seconds, guidance=options.guidance)
        for batch in options.batch
    ]
    if options.peer:
        steps = round(options.seconds * 50) + 3
        results += [
            measure_transformers(options.geometry, batch=batch, steps=steps, guidance=options.guidance)
            for batch in options.batch
        ]
    if options.json:
        for result in results:
            say(json.dumps(dataclasses.asdict(result)))
    else:
        say(table(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
