"""The figures of a whole checkpoint: does it do what prompts say, how fast, and is it ever silent or clipped?

`python -m generation.training.starter.judge --model mlx-models/starter --out FOLDER` prints them as JSON and draws
rendered music, the codec's copy of it and the model's own answer to the same words side by side (`starter.png`).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from generation.checkpoints import weight_files
from generation.composition import Waveform
from generation.musicgen import MusicGen
from generation.training.language_model import named_arrays
from generation.training.report_codec import melody_errors, through
from generation.training.starter.evaluate import evaluate, render_prompt
from generation.training.starter.prompts import PAIRS

_QUIET = 10 ** (-50 / 20)  # RMS under -50 dBFS counts as silence
_LOUD = 0.999


def faults(clips: list[Waveform]) -> dict[str, int]:
    """How many clips are silent (RMS under -50 dBFS), clipped (over 0.1 % of samples at the limit) or not finite."""
    silent = sum(float(np.sqrt(np.mean(clip**2))) < _QUIET for clip in clips)
    clipped = sum(float(np.mean(np.abs(clip) >= _LOUD)) > 0.001 for clip in clips)
    broken = sum(not np.isfinite(clip).all() for clip in clips)
    return {"silent": silent, "clipped": clipped, "not_finite": broken}


def speed(model: MusicGen, seconds: float = 10.0) -> float:
    """Seconds of music a second of work, decoding included, for one clip after a warm-up."""
    model.generate("calm piano", duration=0.5, seed=0)
    start = time.perf_counter()
    model.generate("calm piano", duration=seconds, seed=0)
    return seconds / (time.perf_counter() - start)


def judge(
    model: MusicGen, *, seconds: float, seed: int, guidance: float | None
) -> tuple[dict[str, object], dict[str, Waveform]]:
    """All figures of a model, and the clips that they were measured on by prompt."""
    prompts = list(dict.fromkeys(prompt.text for pair in PAIRS for prompt in (pair.higher, pair.lower)))
    answers = model.generate(prompts, duration=seconds, seed=seed, guidance=guidance)
    clips = dict(zip(prompts, answers, strict=True))
    ordered = evaluate(clips.__getitem__, sampling_rate=model.sampling_rate)
    figures: dict[str, object] = {
        "parameters": sum(value.size for _, value in named_arrays(model.parts)),
        "megabytes": round(sum(path.stat().st_size for path in weight_files(model.folder)) / 1e6, 2),
        "ordered_rightly": ordered.shares,
        "clips": len(clips),
        **faults(list(clips.values())),
        "times_real_time": round(speed(model), 2),
        "pitch_cents": melody_errors(model.parts.codec, 8),
    }
    return figures, clips


def picture(model: MusicGen, clips: dict[str, Waveform], path: Path) -> None:
    """Rendered music, the codec's copy and the model's answer for a few prompts."""
    from generation.training.starter.pictures import render_pictures

    rows = []
    for text in list(clips)[:: max(1, len(clips) // 5)]:
        wanted = render_prompt(text, 1, seconds=len(clips[text]) / model.sampling_rate)
        copy = through(model.parts.codec, wanted[None])[0]
        rows += [(f"{text}: rendered", wanted), (f"{text}: codec", copy), (f"{text}: starter", clips[text])]
    render_pictures(path, rows, sampling_rate=model.sampling_rate, columns=3)


def main(arguments: list[str] | None = None) -> int:
    """Judge a checkpoint from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for judge.json and starter.png")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--guidance", type=float, help="instead of the checkpoint's own")
    parser.add_argument("--bits", type=int, help="8 or 4 to judge it with quantised weights")
    options = parser.parse_args(arguments)
    model = MusicGen.from_pretrained(options.model, bits=options.bits)
    figures, clips = judge(model, seconds=options.seconds, seed=options.seed, guidance=options.guidance)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "judge.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1), flush=True)
    picture(model, clips, options.out / "starter.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
