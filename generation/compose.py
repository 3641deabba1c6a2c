"""The decoding loop: text states in, tokens out. It knows nothing of prompts as text, of sound or of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation.decoder import MusicGenDecoder, TextMemory
from generation.delay import UNKNOWN, DelayPattern
from generation.sampling import SamplingSettings, choose, clip_keys, guide, step_keys

Progress = Callable[[int, int], None]


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


def compose_codes(
    decoder: MusicGenDecoder,
    memories: list[TextMemory],
    *,
    frames: int,
    seeds: Sequence[int],
    settings: SamplingSettings,
    prompt: npt.NDArray[np.integer] | None = None,
    progress: Progress | None = None,
) -> npt.NDArray[np.int32]:
    """Generate codes `(B, K, frames)`, one clip for each seed.

    Args:
        decoder: The language model.
        memories: Of the clips' rows, from `memories_for`; with guidance the rows after them go without text.
        frames: Frames wanted in all, the prompt's included.
        seeds: One for each clip.
        settings: How tokens are chosen.
        prompt: Codes `(B, K, prompt frames)` to go on from; they are read in one pass.
        progress: Called with the steps done and the steps in all.
    """
    config = decoder.config
    pattern = DelayPattern.of(config.num_codebooks, config.audio_channels)
    batch, guided = len(seeds), settings.guidance != 1
    known = np.stack(
        [
            pattern.plan(frames, config.pad_token_id, None if prompt is None else prompt[b])
            for b in range(batch)
        ]
    )
    start = 0 if prompt is None else prompt.shape[2]
    steps = known.shape[2]
    columns = [
        mx.full((batch, config.num_codebooks, 1), config.bos_token_id, mx.int32),
        mx.array(known[:, :, :start]),
    ]
    inputs = mx.concatenate(columns, axis=2)
    keys, cache = clip_keys(list(seeds)), decoder.new_cache()
    chosen: list[mx.array] = []
    for step in range(start, steps):
        rows = mx.concatenate([inputs, inputs]) if guided else inputs
        hidden = decoder.hidden(rows, memories, cache)[:, -1:]
        logits = decoder.logits(hidden)[:, :, 0].astype(mx.float32)
        if guided:
            logits = guide(logits[:batch], logits[batch:], settings.guidance)
        tokens = choose(logits, settings, step_keys(keys, step))
        given = mx.array(known[:, :, step])
        tokens = mx.where(given == UNKNOWN, tokens, given)
        mx.async_eval(tokens)
        chosen.append(tokens)
        inputs = tokens[:, :, None]
        if len(chosen) > 1:
            # One step behind, so that the device always has work queued.
            mx.eval(chosen[-2])
        if progress is not None:
            progress(step + 1, steps)
    made = (
        np.array(mx.stack(chosen, axis=2)) if chosen else np.zeros((batch, config.num_codebooks, 0), np.int32)
    )
    tokens_in_all = np.concatenate([known[:, :, :start], made], axis=2)
    return np.stack([pattern.revert(clip) for clip in tokens_in_all])
