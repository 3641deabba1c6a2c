"""How fast and how large: a model of any published geometry with random weights, timed on this machine.

`python -m generation.bench --geometry small --batch 1 --seconds 10 --peer` prints a table, with `--json` one object a
line. Random weights take as long as trained ones, so nothing need be downloaded.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from generation import backend

backend.prepare()  # MLX binds its matrix library when it is imported, so the faster one must be there before

# ruff: noqa: E402
import mlx.core as mx
import numpy as np

from generation import memory
from generation.bench_peer import measure_peer, missing_peer
from generation.bench_values import PROMPT, Benchmark, FixedTokenizer, Result, geometries, table
from generation.config import MusicGenConfig
from generation.musicgen import MusicGen
from generation.parts import Parts
from generation.quantise import BITS, quantise


def random_model(config: MusicGenConfig, dtype: str | None = None, bits: int | None = None) -> MusicGen:
    """A model with random weights, ready to be timed.

    Args:
        config: Its geometry.
        dtype: Of the decoder; the backend's own by default.
        bits: 8 or 4 to quantise its weights.
    """
    chosen = backend.choose_dtype(dtype)
    mx.random.seed(0)
    parts = Parts(config)
    parts.eval()
    parts.decoder.set_dtype(getattr(mx, chosen))
    if bits is not None:
        quantise(parts.decoder, bits)
    mx.eval(parts.parameters())
    tokenizer = FixedTokenizer(config.text_encoder.vocab_size)
    return MusicGen(
        config, parts, tokenizer, model_id="random", folder=Path("random"), dtype=chosen, bits=bits
    )


def measure(model: MusicGen, geometry: str, *, batch: int, seconds: float, guidance: float = 3.0) -> Result:
    """Time whole clips after a warm-up.

    Args:
        model: Loaded or random.
        geometry: What its size is called in the result.
        batch: Clips at once.
        seconds: Length of each.
        guidance: Weight of the prompt.
    """
    memory.forget_peak()
    prompts, seeds = [PROMPT] * batch, list(range(batch))
    options: dict[str, Any] = {"guidance": guidance, "batch_size": batch, "clip": False}
    # GPUs' libraries choose how to convolve for each shape anew, so there the very same work goes first.
    warm_up = min(0.5, seconds) if model.backend == "cpu" else seconds
    model.compose(prompts, seeds=seeds, duration=warm_up, **options)
    stamps = [(time.perf_counter(), 0)]

    def stamp(done: int, _total: int) -> None:
        stamps.append((time.perf_counter(), done))

    clips = model.compose(prompts, seeds=seeds, duration=seconds, progress=stamp, **options)
    whole = time.perf_counter() - stamps[0][0]
    # Several steps may be reported at once.
    steps = [(b - a) / (n - m) for (a, m), (b, n) in itertools.pairwise(stamps[1:]) if n > m]
    stream = model.stream(PROMPT, seed=0, duration=min(3.0, seconds), guidance=guidance, clip=False)
    start = time.perf_counter()
    next(stream)
    first = time.perf_counter() - start
    return Result(
        engine="audiolib",
        geometry=geometry,
        backend=model.backend,
        dtype=model.dtype,
        bits=model.bits,
        blas=backend.describe_backend().blas,
        batch=batch,
        guidance=guidance,
        step_ms=round(float(np.median(steps)) * 1e3, 3),
        times_real_time=round(sum(len(c.audio) for c in clips) / model.sampling_rate / whole, 3),
        decode_share=round(1 - (stamps[-1][0] - stamps[0][0]) / whole, 3),
        first_sound_s=round(first, 3),
        peak_mb=round(memory.peak_bytes() / 1e6, 1),
    )


def bench_generation(benchmark: Benchmark) -> Iterator[Result]:
    """Measure, and yield each result as soon as it is there; a peer that is not installed is left out.

    Args:
        benchmark: What to measure.

    Raises:
        InvalidRequestError: It makes no sense.
        ModelNotFoundError: The checkpoint is not on this machine.
        GenerationError: The peer failed.
    """
    benchmark.checked()
    start = time.perf_counter()
    if benchmark.geometry is None:
        model = MusicGen.from_pretrained(benchmark.model, dtype=benchmark.dtype, bits=benchmark.bits)
        name = model.model_id
    else:
        model = random_model(geometries()[benchmark.geometry], benchmark.dtype, benchmark.bits)
        name = benchmark.geometry
    took = round(time.perf_counter() - start, 3)
    for batch in benchmark.batches:
        result = measure(model, name, batch=batch, seconds=benchmark.seconds, guidance=benchmark.guidance)
        yield dataclasses.replace(result, load_s=took)
    if benchmark.peer and missing_peer() is None:
        config = model.config
        del model  # two models need not fit into memory together
        yield from measure_peer(config, name, benchmark)


def main(arguments: list[str] | None = None, *, say: Callable[[str], None] = print) -> int:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--geometry", choices=sorted(geometries()), default="starter")
    parser.add_argument("--model", help="a checkpoint's name or folder instead of random weights")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--dtype", choices=backend.DTYPES)
    parser.add_argument("--bits", type=int, choices=BITS)
    parser.add_argument("--peer", action="store_true", help="time transformers too, in the same run")
    parser.add_argument("--json", action="store_true")
    options = vars(parser.parse_args(arguments))
    as_json = options.pop("json")
    if options["model"]:
        options["geometry"] = None
    benchmark = Benchmark(batches=options.pop("batch"), **options)
    results = bench_generation(benchmark)
    if as_json:
        for result in results:
            say(json.dumps(dataclasses.asdict(result)))
    else:
        say(table(list(results)))
    if benchmark.peer and (missing := missing_peer()):
        say(missing)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
