"""Clips that are selected but not read yet, and the orders they can come in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from audiolib.clip import Clip

SORTS: Final = {  # the column, and whether it begins with the highest
    "created": ("created_at", True),
    "title": ("title", False),
    "duration": ("duration", False),
    "rating": ("rating", True),
    "bpm": ("tempo_bpm", False),
    "key": ("key", False),
    "loudness": ("loudness_lufs", False),
    "brightness": ("brightness_hz", False),
    "energy": ("energy", False),
    "model": ("model", False),
}
"""What clips can be sorted by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Clips that were selected and are not read yet.

    Attributes:
        total: How many there are at most; some may be gone or damaged.
        clips: The clips, each read when it is asked for.
    """

    total: int
    clips: "Iterator[Clip]"
