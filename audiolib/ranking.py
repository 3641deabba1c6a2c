"""The best of several takes: how near a sound is to what was asked for, by its descriptors or as CLAP hears it."""

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from audiolib.clip import Clip
from audiolib.composer import MadeAudio
from audiolib.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from indexing.clap import ClapEncoder
    from indexing.describe import Descriptors

RankBy = Literal["clap", "descriptor"]
Wishes = str | Mapping[str, float | str]
"""Like `bpm=120, key=C major`, or the same as a mapping."""

_FIELDS: Final = {
    "bpm": "tempo_bpm",
    "key": "key",
    "loudness": "loudness_lufs",
    "brightness": "brightness_hz",
    "energy": "energy",
    "onsets": "onset_density",
    "percussive": "percussive_share",
}
_RANGES: Final = {  # what can be wished for
    "bpm": (20.0, 400.0),
    "loudness": (-70.0, 0.0),
    "brightness": (20.0, 20_000.0),
    "energy": (0.0, 1.0),
    "onsets": (0.0, 50.0),
    "percussive": (0.0, 1.0),
}
_OCTAVE_OFF: Final = 0.5  # how right half or double the tempo is
_HALF: Final = {  # the distance at which a value is half right
    "bpm": 0.1,  # octaves: 7 %
    "loudness": 3.0,  # LU
    "brightness": 0.5,  # octaves
    "energy": 0.15,
    "onsets": 0.5,  # octaves
    "percussive": 0.15,
}
_FIFTH, _RELATIVE, _PARALLEL = 0.5, 0.3, 0.2  # MIREX's score for audio key detection


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How near a take is to what was asked for.

    Attributes:
        value: From 0 to 1, the nearest.
        parts: What each wish contributes, from 0 to 1, by its name; empty for CLAP.
    """

    value: float
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One of several clips that were made for a prompt.

    Attributes:
        prompt: The prompt.
        seed: Its seed.
        score: How near it is.
        clip: The stored clip, if it was kept.
    """

    prompt: str
    seed: int
    score: Score
    clip: Clip | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the clip's JSON object, of one that was dropped the prompt and the seed, with `score` and `kept`."""
        what = {"prompt": self.prompt, "seed": self.seed} if self.clip is None else self.clip.to_json()
        parts = {"near": dict(self.score.parts)} if self.score.parts else {}
        return {**what, "kept": self.clip is not None, "score": self.score.value, **parts}


class Judge(Protocol):
    """Says how near a sound is to what was asked for."""

    def score(self, audio: "np.ndarray", sampling_rate: int) -> Score:
        """Score `(samples,)` or `(samples, channels)` float32."""


class DescriptorJudge:
    """Compares measured descriptors with wished ones.

    Args:
        wishes: What is wished for.

    Raises:
        InvalidInputError: A wish makes no sense, or there is none.
    """

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = read_wishes(wishes)

    def score(self, audio: "np.ndarray", sampling_rate: int) -> Score:
        """Measure a sound and compare; see `nearness`."""
        from indexing.analysis import analyse

        return nearness(analyse(audio, sampling_rate).descriptors, self.wishes)


class ClapJudge:
    """Compares a sound with the words of the prompt, as a CLAP model hears them.

    Args:
        encoder: The model.
        prompt: The words.
    """

    def __init__(self, encoder: "ClapEncoder", prompt: str) -> None:
        self._encoder = encoder
        self._words = encoder.embed_texts([prompt])[0]

    def score(self, audio: "np.ndarray", sampling_rate: int) -> Score:
        """Return max(0, cosine similarity) of the sound and the words."""
        cosine = float(self._encoder.embed_audio(audio, sampling_rate) @ self._words)
        return Score(value=round(min(1.0, max(0.0, cosine)), 4))


class Shortlist:
    """The best takes so far; what does not get in is not kept in memory.

    Args:
        keep: How many.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._best: list[tuple[float, int, MadeAudio]] = []

    def offer(self, number: int, score: float, made: MadeAudio) -> None:
        """Take a take in, if it is among the best; of equal ones the earlier counts.

        Args:
            number: Which it is.
            score: How near it is.
            made: Its sound.
        """
        entry = (score, -number, made)
        if len(self._best) < self._keep:
            heapq.heappush(self._best, entry)
        else:
            heapq.heappushpop(self._best, entry)

    def ranked(self) -> list[tuple[int, MadeAudio]]:
        """Return the numbers and sounds of the best takes, the best first."""
        return [(-number, made) for _, number, made in sorted(self._best, key=lambda e: (-e[0], -e[1]))]


def read_wishes(wishes: Wishes) -> dict[str, float | str]:
    """Return wishes by their names, checked.

    Args:
        wishes: Like `bpm=120, key=C major, loudness=-14`, or a mapping.

    Raises:
        InvalidInputError: One makes no sense, or there is none.
    """
    pairs = _split(wishes) if isinstance(wishes, str) else list(wishes.items())
    read: dict[str, float | str] = {}
    for name, value in pairs:
        if name not in _FIELDS:
            raise InvalidInputError(f"{name!r} cannot be wished for. Known are {', '.join(_FIELDS)}.")
        if name in read:
            raise InvalidInputError(f"{name!r} is wished for twice.")
        read[name] = _key(str(value)) if name == "key" else _number(name, value)
    if not read:
        raise InvalidInputError("Nothing is wished for. Write it like 'bpm=120, key=C major'.")
    return read


def nearness(found: "Descriptors", wishes: Mapping[str, float | str]) -> Score:
    """Return how near descriptors are to wished ones: the mean over the wishes of rightness times confidence.

    What is unknown of a sound, or not sure, counts as little: a sure hit is worth more than a lucky guess. Rightness
    is 1 at the wish and halves with every 7 % of tempo, 3 LU of loudness, half an octave of brightness or of onset
    density, and 0.15 of energy or of the percussive share. Half and double the tempo are half right. Keys are right by
    their relation as MIREX scores them: the same 1, a fifth away 0.5, relative 0.3, parallel 0.2.

    Args:
        found: What was measured.
        wishes: From `read_wishes`.
    """
    parts = {}
    for name, wished in wishes.items():
        value = getattr(found, _FIELDS[name])
        right = 0.0 if value is None else _rightness(name, value, wished)
        parts[name] = round(right * found.confidence.get(_FIELDS[name], 0.0), 4)
    return Score(value=round(sum(parts.values()) / len(parts), 4), parts=parts)


def _rightness(name: str, value: float | str, wished: float | str) -> float:
    if isinstance(value, str) or isinstance(wished, str):
        return _related(str(value), str(wished))
    half = _HALF[name]
    if name == "bpm":
        off = abs(math.log2(value / wished))
        return max(_halving(off / half), _OCTAVE_OFF * _halving(abs(off - 1) / half))
    if name in ("brightness", "onsets"):
        # Half an onset a second is as little as none; silence has no brightness.
        least = 0.5 if name == "onsets" else 1.0
        return _halving(math.log2((value + least) / (wished + least)) / half)
    return _halving((value - wished) / half)


def _halving(distance: float) -> float:
    return math.exp2(-abs(distance))


def _related(key: str, wished: str) -> float:
    from indexing.describe import NOTES

    (tonic, mode), (wanted, wanted_mode) = key.split(), wished.split()
    steps = (NOTES.index(tonic) - NOTES.index(wanted)) % 12
    if mode == wanted_mode:
        return {0: 1.0, 5: _FIFTH, 7: _FIFTH}.get(steps, 0.0)
    if steps == 0:
        return _PARALLEL
    return _RELATIVE if steps == (9 if wanted_mode == "major" else 3) else 0.0


def _split(text: str) -> list[tuple[str, str]]:
    pairs = []
    for part in text.split(","):
        if part.strip():
            name, equals, value = part.partition("=")
            if not equals:
                raise InvalidInputError(f"{part.strip()!r} is no wish. Write it like 'bpm=120, key=C major'.")
            pairs.append((name.strip().lower(), value.strip()))
    return pairs


def _key(text: str) -> str:
    from indexing.errors import InvalidQueryError
    from indexing.filters import parse_key

    try:
        return parse_key(text)
    except InvalidQueryError as error:
        raise InvalidInputError(str(error)) from error


def _number(name: str, value: float | str) -> float:
    low, high = _RANGES[name]
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not low <= number <= high:  # NaN is not either
        raise InvalidInputError(f"{name}={value} makes no sense. Use a number from {low:g} to {high:g}.")
    return number
