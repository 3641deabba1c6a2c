"""What can be asked of a model and what comes of it: lengths, seeds, a finished clip."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from generation.config import MusicGenConfig
from generation.delay import DelayPattern
from generation.errors import InvalidRequestError
from generation.sampling import SamplingSettings
from generation.windows import Window, plan_windows

Waveform = npt.NDArray[np.float32]

WINDOW_SECONDS = 30.0
"""What the published models were trained on; positions beyond it were never seen."""
CONTEXT_SECONDS = 12.0
"""What each window of a longer clip takes over from the one before (audiocraft's stride of 18 seconds)."""
DEFAULT_SECONDS = 10.0
LIMIT_SECONDS = 600.0
"""Longer clips are refused unless the limit is raised."""
MAX_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """One generated clip and all that made it.

    Attributes:
        prompt: The text.
        seed: The clip's own seed.
        settings: How tokens were chosen, every default resolved.
        steps: Decoder steps of the whole clip; the ones over given music were not computed.
        batch_size: Rows that were computed together (without guidance's second half).
        given_frames: Frames at the front that were given to go on from.
        codes: `(K, frames)` int16, the given ones included.
        audio: `(samples,)`, stereo `(samples, 2)`, float32 in [-1, 1]; beyond that where `clip` was off.
    """

    prompt: str
    seed: int
    settings: SamplingSettings
    steps: int
    batch_size: int
    given_frames: int = 0
    codes: npt.NDArray[np.int16]
    audio: Waveform


class ComposeOptions(TypedDict, total=False):
    """What `MusicGen.compose` and `stream` can be asked for.

    Attributes:
        duration: Seconds in all, the given music included; without it and `max_steps` 10 seconds are made. The clip has
            exactly `duration * sampling_rate` samples. What is longer than the window of 30 seconds is made window by
            window.
        max_steps: Decoder passes instead; the delay pattern leaves `max_steps - 3` frames of them.
        temperature: None takes the checkpoint's, as for the next three; 0 is greedy.
        top_k: Only the k likeliest tokens; 0 is all.
        top_p: Only the likeliest tokens that reach this probability together; 0 or 1 is all.
        guidance: Weight of the prompt; 1 is none.
        given: Codes `(K, frames)` that every clip begins with, from `MusicGen.encode`, to go on from.
        prompt_audio: Sound `(samples,)` or `(samples, channels)` in place of `given`; it is encoded first.
        prompt_sample_rate: Its rate in Hz; the model's own by default.
        melody: Chroma `(frames, 12)` of a melody to follow, from `MusicGen.hear_melody`; for melody models only.
        context: Seconds that each window takes over from the one before; 12 by default.
        limit: Seconds; longer clips are refused. 600 by default.
        clip: False leaves what is over full scale in the clip that is done, for whoever finishes it.
    """

    duration: float | None
    max_steps: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    guidance: float | None
    given: npt.NDArray[np.integer] | None
    prompt_audio: npt.ArrayLike | None
    prompt_sample_rate: int | None
    melody: Waveform | None
    context: float
    limit: float
    clip: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How clips are made, every default resolved.

    Attributes:
        settings: How tokens are chosen.
        samples: Of each clip.
        windows: What is made after what.
        given: Codes `(K, frames)` to go on from.
        melody: Chroma `(frames, 12)` to follow.
        clip: What is over full scale is cut off.
    """

    settings: SamplingSettings
    samples: int
    windows: list[Window]
    given: npt.NDArray[np.int32] | None
    melody: Waveform | None
    clip: bool


def plan_clips(config: MusicGenConfig, own: SamplingSettings, options: ComposeOptions) -> Plan:
    """Resolve what was asked for.

    Args:
        config: The model's geometry.
        own: The checkpoint's sampling settings.
        options: What was asked for.

    Raises:
        InvalidRequestError: It cannot be done.
    """
    codec = config.audio_encoder
    limit = options.get("limit", LIMIT_SECONDS)
    duration, max_steps = options.get("duration"), options.get("max_steps")
    given = options.get("given")
    given = None if given is None else checked_codes(config, given)
    if given is not None and duration is None and max_steps is None:
        duration = given.shape[1] / codec.frame_rate + DEFAULT_SECONDS
    frames, samples = length_of(config, duration, max_steps, limit)
    melody = options.get("melody")
    if melody is not None:
        _check_melody(config, melody)
    context = options.get("context", CONTEXT_SECONDS)
    if not _is_number(context):
        raise InvalidRequestError("The context that is kept must be a number of seconds.")
    windows = plan_windows(
        frames,
        given=0 if given is None else given.shape[1],
        window=round(WINDOW_SECONDS * codec.frame_rate),
        context=round(context * codec.frame_rate),
    )
    named = ("temperature", "top_k", "top_p", "guidance")
    asked = {name: options[name] for name in named if options.get(name) is not None}  # type: ignore[literal-required]
    return Plan(
        settings=replace(own, **asked),
        samples=samples,
        windows=windows,
        given=given,
        melody=melody,
        clip=options.get("clip", True),
    )


def checked_codes(config: MusicGenConfig, codes: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Codes `(K, frames)` as int32.

    Raises:
        InvalidRequestError: They have another shape, or are no whole numbers of the codebooks.
    """
    found, books, entries = np.asarray(codes), config.decoder.num_codebooks, config.decoder.vocab_size
    if found.ndim != 2 or found.shape[0] != books:
        raise InvalidRequestError(f"Codes are (K, frames) with K = {books}.")
    # MLX looks up a code beyond its book without a word, or ends the process.
    inside = np.issubdtype(found.dtype, np.integer) and (
        not found.size or 0 <= found.min() <= found.max() < entries
    )
    if not inside:
        raise InvalidRequestError(f"Codes are whole numbers from 0 to {entries - 1}.")
    return found.astype(np.int32)


def _check_melody(config: MusicGenConfig, chroma: Waveform) -> None:
    if config.melody is None:
        raise InvalidRequestError(
            "This model follows no melody. Use a melody model, such as facebook/musicgen-melody."
        )
    if chroma.ndim != 2 or not len(chroma) or chroma.shape[1] != config.melody.num_chroma:
        raise InvalidRequestError(
            f"A melody's chroma is (frames, {config.melody.num_chroma}), frame by frame."
        )


def length_of(
    config: MusicGenConfig, duration: float | None, max_steps: int | None, limit_seconds: float
) -> tuple[int, int]:
    """Frames to make and samples to keep for a duration in seconds or a number of decoder steps.

    Raises:
        InvalidRequestError: Both are given, or the length makes no sense or is over the limit.
    """
    codec, decoder = config.audio_encoder, config.decoder
    if not isinstance(limit_seconds, Real) or not limit_seconds > 0:
        raise InvalidRequestError("The limit must be a number of seconds above 0.")
    if max_steps is not None:
        if duration is not None:
            raise InvalidRequestError("Give a duration or a number of steps, not both.")
        if not isinstance(max_steps, Integral):
            raise InvalidRequestError(f"The number of steps must be a whole one, not {max_steps}.")
        frames = DelayPattern.of(decoder.num_codebooks, decoder.audio_channels).frames(max_steps)
        samples = frames * codec.hop_length
    else:
        seconds = DEFAULT_SECONDS if duration is None else duration
        if not _is_number(seconds) or seconds <= 0:
            raise InvalidRequestError("The duration must be a number of seconds above 0.")
        samples = max(1, round(seconds * codec.sampling_rate))
        frames = math.ceil(samples / codec.hop_length)
    if frames > limit_seconds * codec.frame_rate:
        raise InvalidRequestError(
            f"{frames / codec.frame_rate:g} s are over the limit of {limit_seconds:g} s; raise it if you mean it."
        )
    return frames, samples


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def checked_seeds(prompts: Sequence[str], seeds: Sequence[int] | None) -> list[int]:
    """The seeds of some prompts, fresh ones where none are given.

    Raises:
        InvalidRequestError: There are no prompts, one is no text, or the seeds are too few, too many, out of range or
            no whole numbers.
    """
    if isinstance(prompts, str) or not prompts:
        raise InvalidRequestError("Give a list of at least one prompt.")
    for prompt in prompts:
        _check_prompt(prompt)
    if seeds is None:
        # 32 bits are enough for chance and short enough to read out.
        return [secrets.randbelow(2**32) for _ in prompts]
    count = 1 if isinstance(seeds, Real) else len(seeds)
    if count != len(prompts):
        raise InvalidRequestError(f"{len(prompts)} prompts need as many seeds, not {count}.")
    for seed in [seeds] if isinstance(seeds, Real) else seeds:
        if not isinstance(seed, Integral) or not 0 <= seed <= MAX_SEED:
            raise InvalidRequestError(f"A seed is a whole number from 0 to {MAX_SEED}, not {seed}.")
    return [int(seed) for seed in seeds]


def _check_prompt(prompt: object) -> None:
    if not isinstance(prompt, str):
        raise InvalidRequestError(f"A prompt is a text, not {type(prompt).__name__}.")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError("A prompt with lone surrogates (broken Unicode) cannot be read.") from error
