"""What is asked for when a clip is to be made, checked before any work is done."""

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypedDict

from audiolib.clip import Recipe
from audiolib.errors import InvalidInputError
from audiolib.prompts import clean_prompt, clean_tags

DEFAULT_DURATION: Final = 10.0
FORMATS: Final = ("wav", "flac", "ogg", "mp3")
Progress = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""

_FRAME_RATE: Final = 50  # decoder steps a second
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
    model: str | None
    dtype: str | None
    tags: Sequence[str]
    audio_format: str
    sample_rate: int | None


class VariationOptions(GenerationOptions, total=False):
    """What can be different in a variation."""

    prompt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One clip to be made; `None` leaves a choice to the checkpoint or to chance.

    Attributes:
        prompt: The words to make music from.
        duration: Length in seconds; 10 where neither it nor `max_steps` is given.
        max_steps: Decoder steps instead of a duration.
        seed: Where chance starts from; drawn fresh when `None`.
        temperature: Randomness of the choice of tokens; 0 always takes the likeliest.
        top_k: How many tokens are chosen among.
        top_p: Share of probability that is chosen among.
        guidance: How closely the prompt is followed.
        model: A checkpoint's name or folder.
        dtype: Number type of the weights.
        tags: Labels for the new clip.
        audio_format: One of `FORMATS`.
        sample_rate: In Hz, the model's own when `None`.
        batch_size: How many clips are decoded together; it matters to the last bits on 16-bit backends.
        parent_id: The clip that this is a variation of.
    """

    prompt: str
    duration: float | None = None
    max_steps: int | None = None
    seed: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    guidance: float | None = None
    model: str | None = None
    dtype: str | None = None
    tags: Sequence[str] = ()
    audio_format: str = "wav"
    sample_rate: int | None = None
    batch_size: int = 1
    parent_id: str | None = None

    def checked(self, *, max_duration: float) -> "GenerationRequest":
        """Return the request with clean words, a length and a seed.

        Args:
            max_duration: The longest clip allowed, in seconds.

        Raises:
            InvalidInputError: Something in it makes no sense.
        """
        duration, max_steps = self._checked_length(max_duration)
        seed = secrets.randbelow(_SEEDS) if self.seed is None else self.seed
        if not 0 <= seed <= _MAX_SEED:
            raise InvalidInputError(
                f"The seed {seed} is out of range. Use a whole number from 0 to 2^63 - 1."
            )
        self._check_sampling()
        self._check_format()
        return replace(
            self,
            prompt=clean_prompt(self.prompt),
            tags=clean_tags(self.tags),
            duration=duration,
            max_steps=max_steps,
            seed=seed,
        )

    def _checked_length(self, max_duration: float) -> tuple[float | None, int | None]:
        if self.max_steps is not None:
            if self.duration is not None:
                raise InvalidInputError("Give either a duration or a number of steps, not both.")
            if self.max_steps <= _DELAY_STEPS:
                raise InvalidInputError(
                    f"{self.max_steps} steps make no sound. Use {_DELAY_STEPS + 1} or more; 50 are one second."
                )
            _check_duration(seconds_of(self.max_steps), max_duration)
            return None, self.max_steps
        duration = DEFAULT_DURATION if self.duration is None else self.duration
        _check_duration(duration, max_duration)
        return float(duration), None

    def _check_sampling(self) -> None:
        for name, value in (("temperature", self.temperature), ("guidance", self.guidance)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InvalidInputError(f"The {name} {value:g} makes no sense. Use a number from 0 up.")
        if self.top_k is not None and self.top_k < 0:
            raise InvalidInputError(
                f"A top-k of {self.top_k} makes no sense. Use 1 or more, or 0 for all tokens."
            )
        if self.top_p is not None and not 0 <= self.top_p <= 1:
            raise InvalidInputError(f"A top-p of {self.top_p:g} makes no sense. Use a number from 0 to 1.")

    def _check_format(self) -> None:
        if self.audio_format not in FORMATS:
            raise InvalidInputError(
                f"{self.audio_format!r} is no format that can be written. Use one of {', '.join(FORMATS)}."
            )
        rate = self.sample_rate
        if rate is None:
            return
        if rate not in _SAMPLE_RATES:
            raise InvalidInputError(f"A sample rate of {rate} Hz makes no sense. Use 8000 to 192000.")
        if self.audio_format == "mp3" and rate not in _MP3_RATES:
            raise InvalidInputError(f"MP3 knows no sample rate of {rate} Hz. Use 32000, 44100 or 48000.")


def seconds_of(steps: int) -> float:
    """Return the length of what so many decoder steps make, in seconds.

    Args:
        steps: How many, more than the delay pattern takes.
    """
    return (steps - _DELAY_STEPS) / _FRAME_RATE


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
        model=recipe.model,
        dtype=recipe.dtype,
        batch_size=recipe.batch_size,
        parent_id=recipe.parent_id,
    )


def _check_duration(duration: float, max_duration: float) -> None:
    if not math.isfinite(duration) or duration <= 0:
        raise InvalidInputError(f"A duration of {duration:g} seconds makes no sense. Use a number above 0.")
    if duration > max_duration:
        raise InvalidInputError(
            f"{duration:,.10g} seconds is longer than the limit of {max_duration:g}. "
            f"Ask for at most {max_duration:g}, or raise max_duration in the settings."
        )
