"""The decoding loop of the float32 CPU path: NumPy from one token to the next, noise drawn beside it by MLX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation.cpu_steps import CpuSteps
from generation.delay import UNKNOWN
from generation.errors import GenerationError
from generation.sampling import SamplingSettings, clip_keys, gumbel_noise, keep_top_p, step_keys

Array = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int32]

_BLOCK = 16
"""Steps whose noise is drawn at once, while the steps before them are made."""


def run_steps(
    voices: Sequence[tuple[CpuSteps, float]],
    tokens: Tokens,
    *,
    known: Tokens,
    step: int,
    seeds: Sequence[int],
    settings: SamplingSettings,
    first: int,
) -> Iterator[Tokens]:
    """Yield the tokens `(B, K)` of each step: those that `generation.compose.decode_steps` would choose with MLX.

    Args:
        voices: Steps of one decoder or several, and how much the logits of each count.
        tokens: `(B, K)`, of the step before the first.
        known: Tokens `(B, K, steps)`, `UNKNOWN` where to choose.
        step: The first step that is to be chosen here.
        seeds: One for each clip.
        settings: How tokens are chosen.
        first: Frame of the clip that step 0 counts as, for its random keys.
    """
    shape = known.shape[1], voices[0][0].vocabulary
    noise = _noise(seeds, shape, range(first + step, first + known.shape[2]), settings)
    for number in range(step, known.shape[2]):
        with np.errstate(invalid="ignore", over="ignore"):  # `choose` tells it in words
            logits = _mixed(voices, tokens, settings.guidance)
        chosen = choose(logits, settings, next(noise))
        given = known[:, :, number]
        tokens = np.where(given == UNKNOWN, chosen, given)
        yield tokens


def choose(logits: Array, settings: SamplingSettings, noise: Array | None) -> Tokens:
    """`generation.sampling.choose` with NumPy: logits and noise `(B, K, V)` -> `(B, K)`.

    Raises:
        GenerationError: Logits are no numbers.
    """
    if not np.isfinite(logits).all():
        raise GenerationError("The model's logits are no numbers; its weights are damaged.")
    if noise is None:
        return _likeliest(logits)
    scaled = logits / np.float32(settings.temperature)
    kept, k = scaled, settings.top_k
    if 0 < k < scaled.shape[-1]:
        threshold = np.partition(scaled, -k, axis=-1)[..., -k, None]
        kept = np.where(scaled >= threshold, scaled, -np.inf)
    if 0 < settings.top_p < 1:
        kept = np.array(keep_top_p(mx.array(kept), settings.top_p))
    return _likeliest(kept + noise)


def _likeliest(logits: Array) -> Tokens:
    tokens: Tokens = np.argmax(logits, axis=-1).astype(np.int32)
    return tokens


def _mixed(voices: Sequence[tuple[CpuSteps, float]], tokens: Tokens, guidance: float) -> Array:
    """Logits `(B, K, V)` after tokens `(B, K)`, guided, weighted by voice."""
    total: Array | None = None
    for steps, weight in voices:
        logits = steps(tokens)
        told = logits[0]
        if len(logits) == 2:
            told = logits[1] + np.float32(guidance) * (told - logits[1])
        if len(voices) > 1:
            told = told * np.float32(weight)
        total = told if total is None else total + told
    if total is None:
        raise ValueError("Nobody chooses the tokens.")
    return total


def _noise(
    seeds: Sequence[int], shape: tuple[int, int], places: range, settings: SamplingSettings
) -> Iterator[Array | None]:
    """Noise `(B, K, V)` for each place in a clip, drawn a block ahead; None for greedy choice."""
    if settings.temperature == 0:
        for _ in places:
            yield None
        return
    keys = clip_keys(list(seeds))

    def drawn(start: int) -> mx.array:
        block = [step_keys(keys, place) for place in places[start : start + _BLOCK]]
        noise = gumbel_noise(mx.concatenate(block), shape)
        mx.async_eval(noise)
        return noise

    ahead = drawn(0) if places else None
    for start in range(0, len(places), _BLOCK):
        now = np.array(ahead).reshape(-1, len(keys), *shape)
        if start + _BLOCK < len(places):
            ahead = drawn(start + _BLOCK)
        yield from now
