"""What 8 and 4 bits cost: how far a quantised decoder's logits are from the whole one's, on the same tokens.

`python -m generation.training.quantisation --model mlx-models/starter` lets the whole model make clips, reads them with
each decoder, and prints a table. What it does to the music: `generation.training.starter.judge --bits 8`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from generation import backend

backend.prepare()  # MLX binds its matrix library when it is imported, so the faster one must be there before

# ruff: noqa: E402
import mlx.core as mx

from generation.compose import memories_for
from generation.composition import Composition
from generation.delay import DelayPattern
from generation.musicgen import MusicGen
from generation.quantise import BITS
from generation.sampling import guide

PROMPTS = (
    "calm piano",
    "happy rock guitar with loud drums",
    "slow sad strings",
    "fast electronic music with a bass",
    "dark ambient drone",
    "bright flute melody, no drums",
)

Logits = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitError:
    """How far a decoder is from another, over all tokens that it was given to predict.

    Attributes:
        largest: Largest absolute difference of a logit.
        mean: Mean absolute difference.
        spread: Standard deviation of the reference's logits, to compare with.
        divergence: Kullback-Leibler divergence from the reference at temperature 1, in nats a token.
        guided_divergence: The same after guidance.
        same_choice: Share of tokens whose likeliest value is the same.
    """

    largest: float
    mean: float
    spread: float
    divergence: float
    guided_divergence: float
    same_choice: float


def read_clip(model: MusicGen, clip: Composition) -> tuple[Logits, Logits]:
    """Logits with the prompt and after guidance, each `(K, frames, V)`, for the tokens of a clip.

    Args:
        model: Its decoder reads the clip's tokens.
        clip: Its codes, prompt and guidance.
    """
    pattern = DelayPattern.of(model.num_codebooks, model.channels)
    decoder, pad = model.parts.decoder, model.config.decoder.pad_token_id
    steps = pattern.apply(clip.codes, pad)
    inputs = np.concatenate([np.full((len(steps), 1), pad, np.int32), steps[:, :-1]], axis=1)[None]
    states = model.encode_text(clip.prompt)
    told = decoder(mx.array(inputs), memories_for(decoder, [states], apart=True))[0]
    untold = decoder(mx.array(inputs), [])[0]
    guided = guide(told, untold, clip.settings.guidance)
    frames = clip.codes.shape[1]
    rows = [[array[k, d : d + frames] for k, d in enumerate(pattern.delays)] for array in (told, guided)]
    first, second = (np.array(mx.stack(row).astype(mx.float32), dtype=np.float64) for row in rows)
    return first, second


def compare(reference: MusicGen, other: MusicGen, clips: Sequence[Composition]) -> LogitError:
    """How far `other` is from `reference`, teacher-forced on clips of the latter.

    Args:
        reference: With whole weights.
        other: Of the same checkpoint.
        clips: What the reference made.
    """
    differences, spreads, plain, guided, same = [], [], [], [], []
    for clip in clips:
        ours, theirs = read_clip(reference, clip), read_clip(other, clip)
        differences.append(np.abs(ours[0] - theirs[0]))
        spreads.append(ours[0].std())
        plain.append(_divergence(ours[0], theirs[0]))
        guided.append(_divergence(ours[1], theirs[1]))
        same.append((ours[0].argmax(axis=-1) == theirs[0].argmax(axis=-1)).mean())
    return LogitError(
        largest=float(max(d.max() for d in differences)),
        mean=float(np.mean([d.mean() for d in differences])),
        spread=float(np.mean(spreads)),
        divergence=float(np.mean(plain)),
        guided_divergence=float(np.mean(guided)),
        same_choice=float(np.mean(same)),
    )


def _divergence(p: Logits, q: Logits) -> float:
    first, second = _log_softmax(p), _log_softmax(q)
    return float((np.exp(first) * (first - second)).sum(axis=-1).mean())


def _log_softmax(x: Logits) -> Logits:
    shifted: Logits = x - x.max(axis=-1, keepdims=True)
    normalised: Logits = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised


def main(arguments: list[str] | None = None) -> int:
    """Compare from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=100)
    options = parser.parse_args(arguments)
    whole = MusicGen.from_pretrained(options.model)
    seeds = [options.seed + i for i in range(len(PROMPTS))]
    clips = whole.compose(PROMPTS, seeds=seeds, duration=options.seconds, clip=False)
    print("bits  largest  mean  spread  KL (nats)  KL guided  same choice")
    for bits in BITS:
        error = compare(whole, MusicGen.from_pretrained(options.model, bits=bits), clips)
        print(
            f"{bits:4}  {error.largest:7.3f}  {error.mean:.4f}  {error.spread:.3f}  {error.divergence:.6f}  "
            f"{error.guided_divergence:.6f}  {error.same_choice:.4f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
