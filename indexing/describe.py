"""What a clip's sound says in numbers, each with how sure it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

# Raised when a number would come out differently, so that stored ones can be made again.
DESCRIPTORS_VERSION = 1

NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
KEYS = tuple(f"{note} {mode}" for mode in ("major", "minor") for note in NOTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """Numbers of a clip's sound; None is unknown, and its confidence is 0.

    Attributes:
        tempo_bpm: Beats a minute, 40 to 240.
        key: One of `KEYS`, like `A minor` or `F# major`.
        loudness_lufs: Integrated loudness in LUFS (ITU-R BS.1770-4).
        brightness_hz: Spectral centroid in Hz, up to 12 kHz.
        energy: 0 (still) to 1 (loud, busy and bright).
        onset_density: Onsets a second.
        percussive_share: Share of the sound that is percussive, 0 to 1.
        confidence: 0 to 1 for each field above, by its name.
    """

    tempo_bpm: float | None = None
    key: str | None = None
    loudness_lufs: float | None = None
    brightness_hz: float | None = None
    energy: float | None = None
    onset_density: float | None = None
    percussive_share: float | None = None
    confidence: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Completes the confidences and refuses values that mean nothing.

        Raises:
            ValueError: A number is not finite, a key is not one of `KEYS`, or a confidence is not in 0 to 1.
        """
        confidence = {}
        for name in NAMES:
            value = getattr(self, name)
            if name == "key":
                if value is not None and value not in KEYS:
                    raise ValueError(f"{value!r} is not a key such as 'A minor' or 'F# major'.")
            elif value is not None and not math.isfinite(value):
                raise ValueError(f"{name} is not finite.")
            sure = float(self.confidence.get(name, 0.0)) if value is not None else 0.0
            if not 0.0 <= sure <= 1.0:
                raise ValueError(f"The confidence of {name} is not between 0 and 1.")
            confidence[name] = sure
        object.__setattr__(self, "confidence", confidence)

    def to_json(self) -> dict[str, Any]:
        """Every value and confidence, with `version`; ready for `json.dumps`."""
        return {
            "version": DESCRIPTORS_VERSION,
            **{name: getattr(self, name) for name in NAMES},
            "confidence": dict(self.confidence),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `to_json` gave; fields that are unknown here are left out.

        Raises:
            ValueError: A value has another type or means nothing.
        """
        values: dict[str, Any] = {}
        for name in NAMES:
            value = stored.get(name)
            if value is not None:
                values[name] = _text(name, value) if name == "key" else _number(name, value)
        confidence = stored.get("confidence", {})
        if not isinstance(confidence, Mapping):
            raise ValueError("The confidences of descriptors are not an object.")
        sure = {name: _number(f"The confidence of {name}", value) for name, value in confidence.items()}
        return cls(**values, confidence=sure)


NAMES = tuple(each.name for each in fields(Descriptors) if each.name != "confidence")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is not a number.")
    return float(value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is not text.")
    return value
