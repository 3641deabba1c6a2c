"""What a clip must be like to be found: values to compare with, as a LanceDB expression and on plain fields."""

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_
from typing import Any, Final

from indexing import conditions, facets, lance
from indexing.conditions import Condition
from indexing.errors import InvalidQueryError
from indexing.moments import parse_since, parse_until

Range = tuple[float, float]

# Measured tempos lie within 2 % of the true one, loudness within half a unit: "120" is to find 119.4.
_BPM_TOLERANCE: Final = 0.02
_LOUDNESS_TOLERANCE: Final = 0.5
_INT32: Final = 2**31 - 1

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_UNSIGNED_RANGE = re.compile(rf"({_NUMBER})?(?:\s*(-|\.\.|to)\s*({_NUMBER})?)?")
_SIGNED_RANGE = re.compile(rf"(-?(?:{_NUMBER}))?(?:\s*(-|\.\.|to)\s*(-?(?:{_NUMBER}))?)?")
_KEY = re.compile(r"([A-G])\s*(#|♯|b|♭|sharp|flat)?\s*(m|M|[a-z]{3,})?")
_SEMITONE = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_MODES = {
    "major": ("M", "maj", "major", "dur", "ionian"),
    "minor": ("m", "min", "minor", "moll", "aeolian"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Conditions that a clip must all meet; one that is None or empty lets every clip through.

    A clip whose value is unknown meets no condition on it. Ranges include their ends, which may be infinite.

    Attributes:
        min_duration: Seconds; `max_duration` likewise.
        bpm: Lowest and highest tempo.
        key: Like "A minor"; whatever `parse_key` reads is brought into that form.
        loudness: Lowest and highest loudness in LUFS.
        tags: Labels that the clip must all have; upper and lower case are the same.
        rating: The least rating.
        model: The model's name, or its last part: `musicgen-small` for `facebook/musicgen-small`.
        kind: `generated` or `imported`.
        parent: Id of the clip it is a variation of.
        since: The first moment; whatever `parse_since` reads is brought into ISO 8601 in UTC.
        until: The last moment; whatever `parse_until` reads likewise.
        has_speech: Whether Whisper heard speech; a clip that was not transcribed is neither.

    Raises:
        InvalidQueryError: A value makes no sense.
    """

    min_duration: float | None = None
    max_duration: float | None = None
    bpm: Range | None = None
    key: str | None = None
    loudness: Range | None = None
    tags: tuple[str, ...] = ()
    rating: int | None = None
    model: str | None = None
    kind: str | None = None
    parent: str | None = None
    since: str | None = None
    until: str | None = None
    has_speech: bool | None = None

    def __post_init__(self) -> None:
        tags = (self.tags,) if isinstance(self.tags, str) else tuple(self.tags)
        object.__setattr__(self, "tags", tags)
        for name in ("model", "kind", "parent"):
            _check_text(getattr(self, name), name)
        for tag in tags:
            _check_text(tag, "tag")
        for name, read in (("key", parse_key), ("since", parse_since), ("until", parse_until)):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, read(value))
        for name in ("bpm", "loudness"):
            _check_range(getattr(self, name), name)
        _check_range(self._duration(), "duration")
        if self.rating is not None and not math.isfinite(_number(self.rating, "rating")):
            raise InvalidQueryError(f"The rating {self.rating} is no number.")

    def __bool__(self) -> bool:
        """Whether there is any condition."""
        return any(getattr(self, item.name) not in (None, ()) for item in fields(self))

    def expression(self) -> Condition | None:
        """The conditions over the table's columns; None without a condition."""
        lance.prepare()
        from lancedb.expr import col, lit

        terms = [
            col(name) == (conditions.text(value) if isinstance(value, str) else lit(value))
            for name, value in self._equals().items()
        ]
        if self.rating is not None:
            # The column's numbers end here, and SQL refuses greater ones.
            terms.append(col("rating") >= lit(max(-_INT32, min(_INT32, math.ceil(self.rating)))))
        faceted = [conditions.has_tag(tag) for tag in self.tags]
        faceted += [] if self.model is None else [conditions.has_model(self.model)]
        faceted += [conditions.within(name, low, high) for name, (low, high) in self._ranges().items()]
        if self.since is not None or self.until is not None:
            since, before = self.since and self.since.rstrip("Z"), self.until and _after(self.until)
            faceted.append(conditions.made(since, before))
        plain = reduce(and_, terms) if terms else None
        return Condition(plain=plain, faceted=tuple(faceted)) if terms or faceted else None

    def matches(self, found: Mapping[str, Any]) -> bool:
        """Whether a clip meets the conditions, by the fields of its JSON; the same meaning as `expression`."""
        ranges, equals = self._ranges(), self._equals()
        if not all(_within(found.get(name), bounds) for name, bounds in ranges.items()):
            return False
        if not all(found.get(name) == value for name, value in equals.items()):
            return False
        if not {facets.of_tag(tag) for tag in self.tags} <= set(map(facets.of_tag, found.get("tags") or ())):
            return False
        if self.model is not None and self.model not in facets.model_names(found.get("model")):
            return False
        if self.rating is not None and not _within(found.get("rating"), (self.rating, math.inf)):
            return False
        created = found.get("created_at")
        if self.since is not None and (created is None or created < self.since.rstrip("Z")):
            return False
        return self.until is None or (created is not None and created < _after(self.until))

    def _duration(self) -> Range | None:
        if self.min_duration is None and self.max_duration is None:
            return None
        low, high = self.min_duration, self.max_duration
        return (-math.inf if low is None else low, math.inf if high is None else high)

    def _ranges(self) -> dict[str, Range]:
        asked = {"duration": self._duration(), "tempo_bpm": self.bpm, "loudness_lufs": self.loudness}
        return {name: (float(r[0]), float(r[1])) for name, r in asked.items() if r is not None}

    def _equals(self) -> dict[str, str | bool]:
        asked = {"key": self.key, "kind": self.kind, "parent_id": self.parent, "has_speech": self.has_speech}
        return {name: value for name, value in asked.items() if value is not None}


def parse_range(text: str, *, signed: bool = False, tolerance: float = 0.0) -> Range:
    """Reads `80-120`, `80..120`, `80 to 120`, `80-` (from), `-120` (up to), `120`.

    Args:
        text: What the user typed.
        signed: A leading minus is a sign, as in `-20..-14` or `-20--14`; up to is then `..-14`.
        tolerance: How far a single number reaches to either side.

    Returns:
        Lowest and highest value; infinite where the range is open.

    Raises:
        InvalidQueryError: It is no range.
    """
    plain = unicodedata.normalize("NFKC", text).strip().casefold()
    plain = re.sub("[\u2010-\u2015\u2212]", "-", plain)  # typographic dashes and the minus sign
    found = (_SIGNED_RANGE if signed else _UNSIGNED_RANGE).fullmatch(plain)
    low, dash, high = found.groups() if found else (None, None, None)
    if low is None and high is None:
        examples = "-20..-14, -14, -20.. or ..-14" if signed else "80-120, 120, 80- or -120"
        raise InvalidQueryError(f"'{_shown(text)}' is no range. Write it like {examples}.")
    if dash is None and low is not None:
        return float(low) - tolerance, float(low) + tolerance
    bounds = (float(low) if low else -math.inf, float(high) if high else math.inf)
    if bounds[0] > bounds[1]:
        raise InvalidQueryError(
            f"The range '{_shown(text)}' ends below its beginning. Write the lower number first."
        )
    return bounds


def parse_bpm(text: str) -> Range:
    """Reads a range of tempos; a single one reaches 2 % to either side.

    Raises:
        InvalidQueryError: It is no range.
    """
    low, high = parse_range(text)
    return (low * (1 - _BPM_TOLERANCE), high * (1 + _BPM_TOLERANCE)) if low == high else (low, high)


def parse_loudness(text: str) -> Range:
    """Reads a range of LUFS, which are negative; a single one reaches half a unit to either side.

    Raises:
        InvalidQueryError: It is no range.
    """
    return parse_range(text, signed=True, tolerance=_LOUDNESS_TOLERANCE)


def parse_key(text: str) -> str:
    """Reads `A minor`, `Am`, `f# MAJ`, `Bb`, `E♭ major`, `F sharp minor`; a note alone is major.

    Returns:
        The key as descriptors spell it: `A# major` for B flat.

    Raises:
        InvalidQueryError: It is no key.
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).replace("-", " ").split())
    # "M" is major and "m" minor; every other word may be in any case.
    words = plain[:1].upper() + (
        plain[1:] if plain[-1:] == "M" and plain[-2:-1] not in "iI" else plain[1:].lower()
    )
    found = _KEY.fullmatch(words)
    note, accidental, mode = found.groups() if found else ("", None, None)
    named = next((name for name, spellings in _MODES.items() if (mode or "M") in spellings), None)
    if not found or named is None:
        raise InvalidQueryError(f"'{_shown(text)}' is no key. Write it like 'A minor', 'F# major' or 'Bbm'.")
    step = {"#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1}.get(accidental or "", 0)
    return f"{_NOTES[(_SEMITONE[note] + step) % 12]} {named}"


def _after(until: str) -> str:
    """The millisecond after a moment, without its zone, so that moments of any precision sort against it."""
    moment = datetime.fromisoformat(until).astimezone(UTC) + timedelta(milliseconds=1)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00")


def _within(value: object, bounds: Range) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bounds[0] <= value <= bounds[1]


def _check_text(value: str | None, name: str) -> None:
    if value is None:
        return
    if not value.strip():
        raise InvalidQueryError(f"The {name} to look for is empty. Name one or leave the condition out.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidQueryError(
            f"The {name} to look for is not valid Unicode text. Type it again in UTF-8."
        ) from error


def _check_range(bounds: Range | None, name: str) -> None:
    if bounds is None:
        return
    low, high = (_number(bound, name) for bound in bounds)
    if math.isnan(low) or math.isnan(high):
        raise InvalidQueryError(f"The {name} to look for is no number. Give one, like 10.")
    if not low <= high:
        raise InvalidQueryError(
            f"The {name} from {low:g} to {high:g} is no range: put the lower number first."
        )


def _number(value: float, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidQueryError(
            f"The {name} to look for is no number that fits. Give one, like 10."
        ) from error


def _shown(text: str) -> str:
    """Typed text in an error: printable and not endless."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return line if len(line) <= 60 else line[:59] + "…"
