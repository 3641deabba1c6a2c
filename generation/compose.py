"""The decoding loop: text states in, the tokens of each step out. It knows nothing of sound or of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation.decoder import MusicGenDecoder, TextMemory
from generation.delay import UNKNOWN
from generation.sampling import SamplingSettings, choose, clip_keys, guide, step_keys


def memories_for(
    decoder: MusicGenDecoder, states: Sequence[mx.array | None], *, apart: bool
) -> list[TextMemory]:
    """What each clip cross-attends to.

    Args:
        decoder: The decoder whose keys and values are made.
        states: Projected text states `(S, D)` of each clip; None for a clip without text.
        apart: A memory for each clip at its own length, so that none depends on another's; else one padded batch.
    """
    if apart:
        alone = [TextMemory((i, i + 1), s[None]) for i, s in enumerate(states) if s is not None]
        return [decoder.remember(memory) for memory in alone]
    if all(s is None for s in states):
        return []
    like = next(s for s in states if s is not None)
    longest = max(s.shape[0] for s in states if s is not None)
    rows, mask = [], np.zeros((len(states), longest), bool)
    for i, s in enumerate(states):
        length = 0 if s is None else s.shape[0]
        row = mx.zeros((1, like.shape[1]), like.dtype)[:0] if s is None else s
        rows.append(mx.pad(row, [(0, longest - length), (0, 0)]))
        # A row without text attends to zeros everywhere: their mean is zero, and nothing is divided by nothing.
        mask[i, :] = np.arange(longest) < length if s is not None else True
    memory = TextMemory((0, len(states)), mx.stack(rows), mx.array(mask)[:, None, None, :])
    return [decoder.remember(memory)]


def decode_steps(
    decoder: MusicGenDecoder,
    memories: list[TextMemory],
    *,
    known: npt.NDArray[np.int32],
    prefilled: int,
    seeds: Sequence[int],
    settings: SamplingSettings,
    first_step: int = 0,
    prefix: mx.array | None = None,
) -> Iterator[npt.NDArray[np.int32]]:
    """Yield the tokens `(B, K)` of each step that is not prefilled, as soon as they are computed.

    Args:
        decoder: The language model.
        memories: Of the clips' rows, from `memories_for`; with guidance the rows after them go without text.
        known: Tokens `(B, K, steps)` known beforehand, `UNKNOWN` where to choose.
        prefilled: Steps at the front that are read in one pass; all of them are known.
        seeds: One for each clip.
        settings: How tokens are chosen.
        first_step: What the first step counts as for the clips' random keys.
        prefix: States `(B, P, D)` before all tokens, with guidance `(2 B, P, D)`, for a decoder without
            cross-attention.
    """
    config = decoder.config
    batch, books, steps = known.shape
    guided = settings.guidance != 1
    first = mx.full((batch, books, 1), config.bos_token_id, mx.int32)
    inputs = mx.concatenate([first, mx.array(known[:, :, :prefilled])], axis=2)
    keys, cache = clip_keys(list(seeds)), decoder.new_cache()
    waiting: mx.array | None = None
    for step in range(prefilled, steps):
        rows = mx.concatenate([inputs, inputs]) if guided else inputs
        hidden = decoder.hidden(rows, memories, cache, prefix=prefix)[:, -1:]
        prefix = None
        logits = decoder.logits(hidden)[:, :, 0].astype(mx.float32)
        if guided:
            logits = guide(logits[:batch], logits[batch:], settings.guidance)
        tokens = choose(logits, settings, step_keys(keys, first_step + step))
        given = known[:, :, step]
        if (given != UNKNOWN).any():
            tokens = mx.where(mx.array(given == UNKNOWN), tokens, mx.array(given))
        mx.async_eval(tokens)
        inputs = tokens[:, :, None]
        if waiting is not None:
            # One step behind, so that the device always has work queued.
            mx.eval(waiting)
            yield np.array(waiting)
        waiting = tokens
    if waiting is not None:
        yield np.array(waiting)
