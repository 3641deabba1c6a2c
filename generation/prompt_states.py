"""What the text encoder makes of prompts, one by one or several at once."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from generation.parts import Parts
from generation.text import Tokenizer


def encode_alone(parts: Parts, tokenizer: Tokenizer, prompt: str, *, dtype: str) -> mx.array | None:
    """Projected states `(S, D)` of a prompt in a number type; None for an empty one."""
    if not prompt.strip():
        return None
    states = parts.text_encoder(mx.array([tokenizer.encode(prompt)])).astype(getattr(mx, dtype))
    return parts.decoder.project_text(states)[0]


def encode_together(
    parts: Parts, tokenizer: Tokenizer, prompts: Sequence[str], *, dtype: str, block: int
) -> list[mx.array | None]:
    """Projected states `(S, D)` of each prompt, None for an empty one, from one pass of the text encoder.

    Args:
        parts: The networks.
        tokenizer: The checkpoint's.
        prompts: Any number.
        dtype: Of the states.
        block: The texts are filled up to a multiple of so many tokens, so that what one becomes hardly depends on the
            others' lengths.
    """
    tokens = [tokenizer.encode(prompt) if prompt.strip() else [] for prompt in prompts]
    longest = max(map(len, tokens), default=0)
    if not longest:
        return [None] * len(prompts)
    filled = np.zeros((len(tokens), -(-longest // block) * block), np.int32)
    for row, own in zip(filled, tokens, strict=True):
        row[: len(own)] = own
    lengths = np.array([len(own) for own in tokens])
    mask = np.arange(filled.shape[1]) < lengths[:, None]
    states = parts.text_encoder(mx.array(filled), mx.array(mask)).astype(getattr(mx, dtype))
    projected = parts.decoder.project_text(states)
    return [projected[i, : len(own)] if own else None for i, own in enumerate(tokens)]
