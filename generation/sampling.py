"""From logits to tokens: pure functions, with randomness as a key that is passed in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation.errors import InvalidRequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSettings:
    """How tokens are chosen; the defaults are audiocraft's.

    Attributes:
        temperature: Divides the logits; 0 is greedy.
        top_k: Only the k likeliest tokens; 0 is all of them.
        top_p: Only the likeliest tokens that together reach this probability; 0 or 1 is all of them.
        guidance: Weight of the prompt over no prompt (classifier-free guidance); 1 is no guidance.
    """

    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 0.0
    guidance: float = 3.0

    def __post_init__(self) -> None:
        checks = (
            (
                math.isfinite(self.temperature) and self.temperature >= 0,
                "temperature must be 0 (greedy) or more",
            ),
            (self.top_k >= 0, "top-k must be 0 (off) or more"),
            (0 <= self.top_p <= 1, "top-p must be between 0 (off) and 1"),
            (math.isfinite(self.guidance) and self.guidance >= 0, "guidance must be a number of 0 or more"),
        )
        for good, message in checks:
            if not good:
                raise InvalidRequestError(f"{message[0].upper()}{message[1:]}.")


def guide(conditional: mx.array, unconditional: mx.array, weight: float) -> mx.array:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598): elementwise on logits of one shape."""
    return unconditional + weight * (conditional - unconditional)


def keep_top_k(logits: mx.array, k: int) -> mx.array:
    """Set all but the `k` largest of `(..., V)` to minus infinity; ties with the k-th stay."""
    if k <= 0 or k >= logits.shape[-1]:
        return logits
    threshold = mx.min(mx.topk(logits, k, axis=-1), axis=-1, keepdims=True)
    return mx.where(logits >= threshold, logits, -mx.inf)


def keep_top_p(logits: mx.array, p: float) -> mx.array:
    """Keep the smallest set of tokens of `(..., V)` whose probability reaches `p`; the likeliest always stays.

    Holtzman et al. 2020 (arXiv:1904.09751).
    """
    if p <= 0 or p >= 1:
        return logits
    order = mx.argsort(-logits, axis=-1)
    probabilities = mx.softmax(mx.take_along_axis(logits, order, axis=-1), axis=-1, precise=True)
    before = mx.cumsum(probabilities, axis=-1) - probabilities
    kept_in_order = before < p
    kept = mx.take_along_axis(kept_in_order, mx.argsort(order, axis=-1), axis=-1)
    return mx.where(kept, logits, -mx.inf)


def clip_keys(seeds: list[int]) -> npt.NDArray[np.uint32]:
    """One base key for each clip's seed, `(B, 2)`; seeds next to each other give unrelated keys."""
    bits = [mx.random.split(mx.random.key(seed))[0] for seed in seeds]
    return np.stack([np.array(b, dtype=np.uint32) for b in bits])


def step_keys(keys: npt.NDArray[np.uint32], step: int) -> mx.array:
    """The keys `(B, 2)` for one step: they depend on the seed and the step alone, never on the length or the batch."""
    folded = keys.copy()
    folded[:, 1] ^= np.uint32(step)
    return mx.array(folded)


def choose(logits: mx.array, settings: SamplingSettings, keys: mx.array) -> mx.array:
    """Choose a token for each codebook: logits `(B, K, V)`, keys `(B, 2)` -> int32 `(B, K)`.

    A clip's tokens depend on its own logits and key only (Gumbel-max trick, so no normalisation is needed).
    """
    if settings.temperature == 0:
        return mx.argmax(logits, axis=-1).astype(mx.int32)
    scaled = logits.astype(mx.float32) / settings.temperature
    scaled = keep_top_p(keep_top_k(scaled, settings.top_k), settings.top_p)
    return mx.argmax(scaled + gumbel_noise(keys, logits.shape[1:]), axis=-1).astype(mx.int32)


def gumbel_noise(keys: mx.array, shape: Sequence[int]) -> mx.array:
    """Gumbel noise `(N, *shape)` for keys `(N, 2)`; each key's is the same in any company."""
    noise: mx.array = mx.vmap(lambda key: mx.random.gumbel(shape, key=key))(keys)
    return noise
