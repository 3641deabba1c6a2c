"""From logits to tokens: pure functions, with randomness as a key that is passed in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation.errors import CheckpointError, InvalidRequestError

_LEAST_TEMPERATURE = 1e-20  # guided logits that are divided by less may pass what float32 holds
_MOST_GUIDANCE = 1e6


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
        if not all(isinstance(value, Real) for value in (self.temperature, self.top_p, self.guidance)):
            raise InvalidRequestError("Temperature, top-p and guidance must be numbers.")
        checks = (
            (
                self.temperature == 0 or _LEAST_TEMPERATURE <= self.temperature < math.inf,
                f"temperature must be 0 (greedy), or {_LEAST_TEMPERATURE:g} or more",
            ),
            (
                isinstance(self.top_k, Integral) and self.top_k >= 0,
                "top-k must be a whole number, 0 (off) or more",
            ),
            (0 <= self.top_p <= 1, "top-p must be between 0 (off) and 1"),
            (0 <= self.guidance <= _MOST_GUIDANCE, f"guidance must be a number from 0 to {_MOST_GUIDANCE:g}"),
        )
        for good, message in checks:
            if not good:
                raise InvalidRequestError(f"{message[0].upper()}{message[1:]}.")


def sampling_defaults(values: Mapping[str, Any]) -> SamplingSettings:
    """The checkpoint's `generation_config.json` over audiocraft's defaults.

    Raises:
        CheckpointError: a value is of another kind or makes no sense.
    """
    base = SamplingSettings()
    given = {name: value for name, value in values.items() if value is not None}  # a written 0 means 0
    greedy = given.get("do_sample") is False
    try:
        return SamplingSettings(
            temperature=0.0 if greedy else float(given.get("temperature", base.temperature)),
            top_k=int(given.get("top_k", base.top_k)),
            top_p=float(given.get("top_p", base.top_p)),
            guidance=float(given.get("guidance_scale", base.guidance)),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"generation_config.json: {str(error).rstrip('.')}.") from error


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
