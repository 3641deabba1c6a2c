"""Whole clips' codes of one decoder, as the tests want them: the loop of `MusicGen.compose` without text and sound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generation.compose import Voice
from generation.decoder import MusicGenDecoder, TextMemory
from generation.sampling import SamplingSettings
from generation.windows import Codes, Progress, plan_windows, stream_codes


def compose_codes(
    decoder: MusicGenDecoder,
    memories: list[TextMemory],
    *,
    frames: int,
    seeds: Sequence[int],
    settings: SamplingSettings,
    prompt: Codes | None = None,
    window: int | None = None,
    context: int | None = None,
    progress: Progress | None = None,
) -> Codes:
    """Generate them: codes `(B, K, frames)`, one clip for each seed.

    Args:
        decoder: The language model.
        memories: Of the clips' rows, from `compose.memories_for`.
        frames: Frames wanted in all, the prompt's included.
        seeds: One for each clip.
        settings: How tokens are chosen.
        prompt: Codes `(B, K, prompt frames)` to go on from; they are read in one pass.
        window: Frames that the model sees at once; all by default.
        context: Frames that a window takes over from the one before.
        progress: Called with the steps done and the steps in all.
    """
    given = 0 if prompt is None else prompt.shape[2]
    parts = [] if prompt is None else [prompt.astype(np.int32)]
    if given < frames:
        windows = plan_windows(frames, given=given, window=window or frames + 1, context=context or 1)
        voices = [Voice(decoder, memories)]
        parts += stream_codes(
            voices, windows=windows, seeds=seeds, settings=settings, given=prompt, progress=progress
        )
    return np.concatenate(parts, axis=2)
