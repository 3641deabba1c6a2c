"""What is asked for when a clip is to be made, checked before any work is done."""

import math
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypedDict

from audiolib.clip import Recipe
from audiolib.errors import InvalidInputError
from audiolib.prompts import clean_prompt, clean_tags
from generation.errors import AudioError
from generation.finish import AS_IT_IS, SoundFinish
from generation.formats import container_of

DEFAULT_DURATION: Final = 10.0
FORMATS: Final = ("wav", "flac", "ogg", "mp3")
Progress = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""

FRAME_RATE: Final = 50
"""Codec frames, and decoder steps, a second: of every published MusicGen."""
WINDOW_SECONDS: Final = 30.0
"""What a model sees at once; longer clips are made window by window."""

_DELAY_STEPS: Final = 3  # steps that the delay pattern of four codebooks adds
_SEEDS: Final = 1 << 32
_MAX_SEED: Final = (1 << 63) - 1  # the largest that fits a signed column
_SAMPLE_RATES: Final = range(8_000, 192_001)
_MP3_RATES: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


class GenerationOptions(TypedDict, total=False):
    """The fields of `GenerationRequest` besides the prompt, as keyword arguments."""

    duration: float | None
    max_steps: int | None
    seed: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    guidance: float | None
    model: str | Sequence[str] | None
    model_weights: Sequence[float] | None
    continue_from: str | os.PathLike[str] | None
    continue_seconds: float | None
    melody: str | os.PathLike[str] | None
    context: float | None
    dtype: str | None
    bits: int | None
    tags: Sequence[str]
    audio_format: str
    sample_rate: int | None
    sample_format: str | None
    finish: SoundFinish


class VariationOptions(GenerationOptions, total=False):
    """What can be different in a variation."""

    prompt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One clip to be made; `None` leaves a choice to the checkpoint or to chance.

    Attributes:
        prompt: The words to make music from.
        duration: Length in seconds, the given music included; 10 where neither it nor `max_steps` is given, after the
            given music.
        max_steps: Decoder steps instead of a duration.
        seed: Where chance starts from; drawn fresh when `None`.
        temperature: Randomness of the choice of tokens; 0 always takes the likeliest.
        top_k: How many tokens are chosen among.
        top_p: Share of probability that is chosen among.
        guidance: How closely the prompt is followed.
        model: A checkpoint's name or folder; of several, the logits are mixed.
        model_weights: How much each of several counts, above 0; all the same when `None`.
        dtype: Number type of the weights.
        continue_from: A clip, named as everywhere, or a sound file, that the new clip begins with and goes on from.
        continue_seconds: How much of its end is given; all of it, at most 20 seconds, when `None`.
        melody: A clip or a sound file whose melody is followed, by melody models.
        context: Seconds that each window of a clip longer than 30 s takes over from the one before; 12 when `None`.
        bits: 8 or 4 to quantise the decoder's weights; they stay as they are when `None`.
        tags: Labels for the new clip.
        audio_format: One of `FORMATS`.
        sample_rate: In Hz, the model's own when `None`.
        sample_format: `pcm16`, `pcm24` or `float`, as the format can hold; 16 bit when `None`.
        finish: Fades, normalizing and dither.
        batch_size: How many clips are decoded together; it matters to the last bits on 16-bit backends.
        parent_id: The clip that this is a variation of, or goes on from.
        conditioned_as: The id of a clip whose given music and melody are used again, where the fields above name none.
    """

    prompt: str
    duration: float | None = None
    max_steps: int | None = None
    seed: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    guidance: float | None = None
    model: str | Sequence[str] | None = None
    model_weights: Sequence[float] | None = None
    dtype: str | None = None
    bits: int | None = None
    continue_from: str | os.PathLike[str] | None = None
    continue_seconds: float | None = None
    melody: str | os.PathLike[str] | None = None
    context: float | None = None
    tags: Sequence[str] = ()
    audio_format: str = "wav"
    sample_rate: int | None = None
    sample_format: str | None = None
    finish: SoundFinish = AS_IT_IS
    batch_size: int = 1
    parent_id: str | None = None
    conditioned_as: str | None = None

    @property
    def conditioned(self) -> bool:
        """Whether sound is given besides words: such clips share no batch with others."""
        return any(source is not None for source in (self.continue_from, self.melody, self.conditioned_as))

    def checked(self, *, max_duration: float) -> "GenerationRequest":
        """Return the request with clean words, a length and a seed.

        Args:
            max_duration: The longest clip allowed, in seconds.

        Raises:
            InvalidInputError: Something in it makes no sense.
        """
        duration, max_steps = self._checked_length(max_duration)
        seed = fresh_seed() if self.seed is None else self.seed
        if not 0 <= seed <= _MAX_SEED:
            raise InvalidInputError(
                f"The seed {seed} is out of range. Use a whole number from 0 to 2^63 - 1."
            )
        self._check_sampling()
        self._check_conditions()
        self._check_format()
        if duration is not None or max_steps is not None:
            self.finish.check_length(seconds_of(max_steps) if max_steps is not None else duration or 0.0)
        models, weights = _checked_models(self.model, self.model_weights)
        return replace(
            self,
            prompt=clean_prompt(self.prompt),
            tags=clean_tags(self.tags),
            model=models,
            model_weights=weights,
            duration=duration,
            max_steps=max_steps,
            seed=seed,
            finish=self.finish.resolved(),
        )

    def _checked_length(self, max_duration: float) -> tuple[float | None, int | None]:
        if self.max_steps is not None:
            if self.duration is not None:
                raise InvalidInputError("Give either a duration or a number of steps, not both.")
            if self.max_steps <= _DELAY_STEPS:
                raise InvalidInputError(
                    f"{self.max_steps} steps make no sound. Use {_DELAY_STEPS + 1} or more; 50 are one second."
                )
            check_duration(seconds_of(self.max_steps), max_duration)
            return None, self.max_steps
        if self.duration is None and (self.continue_from is not None or self.conditioned_as is not None):
            return None, None  # the given music's length decides
        duration = DEFAULT_DURATION if self.duration is None else self.duration
        check_duration(duration, max_duration)
        return float(duration), None

    def _check_sampling(self) -> None:
        for name, value in (("temperature", self.temperature), ("guidance", self.guidance)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InvalidInputError(f"The {name} {value:g} makes no sense. Use a number from 0 up.")
        if self.top_k is not None and self.top_k < 0:
            raise InvalidInputError(
                f"A top-k of {self.top_k} makes no sense. Use 1 or more, or 0 for all tokens."
            )
        if self.bits not in (None, 8, 4):
            raise InvalidInputError(f"Weights of {self.bits} bits are not known. Use 8 or 4.")
        if self.top_p is not None and not 0 <= self.top_p <= 1:
            raise InvalidInputError(f"A top-p of {self.top_p:g} makes no sense. Use a number from 0 to 1.")

    def _check_conditions(self) -> None:
        if self.continue_seconds is not None:
            if self.continue_from is None:
                raise InvalidInputError(
                    "There is a length of music to go on from, but no music. Name it with --continue."
                )
            if not (math.isfinite(self.continue_seconds) and self.continue_seconds >= 1 / FRAME_RATE):
                raise InvalidInputError(
                    f"{self.continue_seconds:g} seconds are nothing to go on from. Use 0.02 or more."
                )
        if self.context is not None and not 1 / FRAME_RATE <= self.context < WINDOW_SECONDS:
            raise InvalidInputError(
                f"A context of {self.context:g} seconds makes no sense. Use 0.02 to less than {WINDOW_SECONDS:g}."
            )

    def _check_format(self) -> None:
        if self.audio_format not in FORMATS:
            raise InvalidInputError(
                f"{self.audio_format!r} is no format that can be written. Use one of {', '.join(FORMATS)}."
            )
        try:
            container_of(f".{self.audio_format}", self.sample_format)
        except AudioError as error:
            raise InvalidInputError(str(error)) from error
        rate = self.sample_rate
        if rate is None:
            return
        if rate not in _SAMPLE_RATES:
            raise InvalidInputError(f"A sample rate of {rate} Hz makes no sense. Use 8000 to 192000.")
        if self.audio_format == "mp3" and rate not in _MP3_RATES:
            raise InvalidInputError(f"MP3 knows no sample rate of {rate} Hz. Use 32000, 44100 or 48000.")


def fresh_seed() -> int:
    """Return a seed that was drawn by chance, short enough to read out."""
    return secrets.randbelow(_SEEDS)


def seconds_of(steps: int) -> float:
    """Return the length of what so many decoder steps make, in seconds.

    Args:
        steps: How many, more than the delay pattern takes.
    """
    return (steps - _DELAY_STEPS) / FRAME_RATE


def request_of(recipe: Recipe) -> GenerationRequest:
    """Return the request that makes a clip with this recipe.

    Args:
        recipe: How the clip was made.
    """
    return GenerationRequest(
        prompt=recipe.prompt,
        duration=recipe.duration,
        max_steps=None if recipe.duration is not None else recipe.steps,
        seed=recipe.seed,
        temperature=recipe.temperature,
        top_k=recipe.top_k,
        top_p=recipe.top_p,
        guidance=recipe.guidance,
        model=recipe.models or recipe.model,
        model_weights=recipe.model_weights or None,
        dtype=recipe.dtype,
        context=recipe.context,
        bits=recipe.bits,
        finish=recipe.finish,
        sample_format=recipe.sample_format,
        batch_size=recipe.batch_size,
        parent_id=recipe.parent_id,
    )


def _checked_models(
    models: str | Sequence[str] | None, weights: Sequence[float] | None
) -> tuple[str | tuple[str, ...] | None, tuple[float, ...] | None]:
    """One name as a text, several as a tuple with as many weights or none."""
    names = (models,) if models is None or isinstance(models, str) else tuple(models)
    if weights and len(weights) != len(names):
        raise InvalidInputError(
            f"{len(weights)} weights do not fit {len(names)} {'model' if len(names) == 1 else 'models'}. "
            "Give one for each, in the same order."
        )
    if not all(math.isfinite(weight) and weight > 0 for weight in weights or ()):
        raise InvalidInputError("The weight of a model is a number above 0.")
    if len(names) < 2:
        return (names[0] if names else None), None
    return tuple(str(name) for name in names), tuple(float(weight) for weight in weights or ()) or None


def check_duration(duration: float, max_duration: float) -> None:
    """Raise `InvalidInputError` for a length that makes no sense or is over the limit, both in seconds."""
    if not math.isfinite(duration) or duration <= 0:
        raise InvalidInputError(f"A duration of {duration:g} seconds makes no sense. Use a number above 0.")
    if duration > max_duration:
        raise InvalidInputError(
            f"{duration:,.10g} seconds is longer than the limit of {max_duration:g}. "
            f"Ask for at most {max_duration:g}, or raise max_duration in the settings."
        )
