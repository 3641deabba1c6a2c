"""The peer of the benchmark: transformers on a model of the same geometry, in a process of its own."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generation import backend, memory
from generation.bench_values import PROMPT, Benchmark, FixedTokenizer, Result
from generation.config import MusicGenConfig
from generation.errors import GenerationError


def measure_transformers(
    config: MusicGenConfig, geometry: str, *, batch: int, steps: int, guidance: float = 3.0
) -> Result:
    """Time transformers on a model of the same geometry with random weights, in float32.

    Args:
        config: The geometry.
        geometry: What it is called in the result.
        batch: Clips at once.
        steps: Decoder steps to time, after a warm-up of eight.
        guidance: Weight of the prompt.
    """
    import torch
    import transformers

    memory.forget_peak()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = _their_model(config).to(device)
    prompt = FixedTokenizer(config.text_encoder.vocab_size).encode(PROMPT)
    tokens = torch.tensor([prompt] * batch, device=device)

    def run(count: int) -> float:
        start = time.perf_counter()
        with torch.no_grad():
            made = model.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                do_sample=True,
                guidance_scale=guidance,
                max_new_tokens=count,
            )
        made.cpu()  # waits until the device is done
        return time.perf_counter() - start

    run(8)
    whole = run(steps)
    return Result(
        engine=f"transformers {transformers.__version__}",
        geometry=geometry,
        backend=device,
        dtype="float32",
        blas=f"torch {torch.__version__}",
        batch=batch,
        guidance=guidance,
        step_ms=round(whole / steps * 1e3, 3),
        times_real_time=round(batch * (steps - 3) / config.audio_encoder.frame_rate / whole, 3),
        decode_share=None,
        first_sound_s=None,
        peak_mb=round(memory.peak_bytes() / 1e6, 1),
    )


def _their_model(config: MusicGenConfig) -> Any:
    import transformers

    kind = "Musicgen" if config.melody is None else "MusicgenMelody"
    theirs = getattr(transformers, f"{kind}Config")(**config.to_dict())
    return getattr(transformers, f"{kind}ForConditionalGeneration")(theirs).eval()


def missing_peer() -> str | None:
    """How to get transformers where it cannot be imported; None where it can."""
    missing = [name for name in ("transformers", "torch") if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return f"The peer cannot be timed without {' and '.join(missing)}: pip install {' '.join(missing)}"


def measure_peer(config: MusicGenConfig, name: str, benchmark: Benchmark) -> Iterator[Result]:
    """Time transformers in a process of its own, so that neither's memory or threads count for the other.

    On the CPU twice: as it is, and with our settings for waiting threads, which help it on some machines.

    Args:
        config: The geometry.
        name: What it is called in the results.
        benchmark: What to measure.

    Raises:
        GenerationError: transformers failed; its last line is told.
    """
    task = {
        "config": config.to_dict(),
        "geometry": name,
        "batches": list(benchmark.batches),
        "steps": round(benchmark.seconds * config.audio_encoder.frame_rate) + 3,
        "guidance": benchmark.guidance,
    }
    plain = backend.environment_of_others()
    results = _run(task, plain)
    yield from results
    if results[0].backend == "cpu" and plain != os.environ:
        for result in _run(task, dict(os.environ)):
            yield dataclasses.replace(result, engine=f"{result.engine}, our threads' settings")


def _run(task: dict[str, object], environment: dict[str, str]) -> list[Result]:
    # This very package, wherever the current folder is: `-P` keeps that folder out of the search path.
    path = {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    done = subprocess.run(  # noqa: S603  # ourselves
        [sys.executable, "-P", "-m", __name__],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
        env={**environment, **path},
    )
    results = [Result(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not results:
        last = (done.stderr.strip().splitlines() or ["it gave no message"])[-1]
        raise GenerationError(f"transformers could not be timed: {last}")
    return results


def main() -> None:
    """Time the peer as standard input says, and write a result a line to standard output."""
    task = json.loads(sys.stdin.read())
    config, batches = MusicGenConfig.from_dict(task.pop("config")), task.pop("batches")
    for batch in batches:
        result = measure_transformers(
            config, task["geometry"], batch=batch, steps=task["steps"], guidance=task["guidance"]
        )
        sys.stdout.write(json.dumps(dataclasses.asdict(result)) + "\n")


if __name__ == "__main__":
    main()
