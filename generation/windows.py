"""Codes of any length: one window of the model after another, each going on from the end of the one before.

As audiocraft's `extend_stride` does (Copet et al. 2023; `MusicGen.generate` there): a window is as long as what the
model was trained on, and its front is context that was made before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from generation.compose import Voice, decode_steps
from generation.delay import DelayPattern
from generation.errors import InvalidRequestError
from generation.sampling import SamplingSettings

Progress = Callable[[int, int], None]
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Window:
    """Frames `start` to `end` of a clip, of which the ones before `new` are context.

    Attributes:
        start: First frame.
        new: First frame that is made in this window.
        end: The frame after the last.
    """

    start: int
    new: int
    end: int


def plan_windows(frames: int, *, given: int = 0, window: int, context: int) -> list[Window]:
    """Cut a clip of `frames` frames, of which `given` are there already, into windows.

    Args:
        frames: In all.
        given: Frames at the front that need not be made.
        window: Frames that the model sees at once.
        context: Frames that a window takes over from the one before.

    Raises:
        InvalidRequestError: Nothing is left to be made, or the context leaves no room.
    """
    if not 0 <= given < frames:
        raise InvalidRequestError("The music to go on from is as long as what was asked for: ask for more.")
    if not 0 < context < window:
        raise InvalidRequestError("The context that is kept must be shorter than the model's window.")
    windows: list[Window] = []
    new = given
    while new < frames:
        start = 0 if new < window and not windows else new - context
        end = min(frames, start + window)
        windows.append(Window(start, new, end))
        new = end
    return windows


def stream_codes(
    voices: Sequence[Voice],
    *,
    windows: Sequence[Window],
    seeds: Sequence[int],
    settings: SamplingSettings,
    given: Codes | None = None,
    progress: Progress | None = None,
) -> Iterator[Codes]:
    """Yield new codes `(B, K, n)` as their frames become complete.

    Args:
        voices: One decoder, or several with the same codebooks, whose logits are mixed.
        windows: From `plan_windows`.
        seeds: One for each clip. A step's random key depends on the seed and on its place in the whole clip.
        settings: How tokens are chosen.
        given: Codes `(B, K, frames)` to go on from.
        progress: Called with the steps done and the steps in all.
    """
    config = voices[0].decoder.config
    pattern = DelayPattern.of(config.num_codebooks, config.audio_channels)
    total = sum(pattern.steps(w.end - w.start) - (w.new - w.start) for w in windows)
    done = 0
    # Only what later windows may look back at is kept.
    tail = given if given is not None else np.zeros((len(seeds), config.num_codebooks, 0), np.int32)
    tail_start = 0
    for window in windows:
        context = tail[:, :, window.start - tail_start : window.new - tail_start]
        known = np.stack(
            [pattern.plan(window.end - window.start, config.pad_token_id, clip) for clip in context]
        )
        prefilled = window.new - window.start
        columns = [known[:, :, i] for i in range(prefilled)]
        made: list[Codes] = []
        for tokens in decode_steps(
            voices, known=known, prefilled=prefilled, seeds=seeds, settings=settings, first=window.start
        ):
            columns.append(tokens)
            done += 1
            if progress is not None:
                progress(done, total)
            frame = len(columns) - 1 - pattern.longest
            if frame >= prefilled:
                rows = [columns[frame + delay][:, k] for k, delay in enumerate(pattern.delays)]
                made.append(np.stack(rows, axis=1)[:, :, None])
                yield made[-1]
        tail, tail_start = np.concatenate([context, *made], axis=2), window.start
