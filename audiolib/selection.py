"""Conditions as people type them, the orders clips can come in, and clips that are selected but not read yet."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from audiolib.errors import InvalidInputError

if TYPE_CHECKING:
    from audiolib.clip import Clip
    from indexing.filters import Filters

Condition = Literal["bpm", "key", "loudness", "since", "until"]

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


def read_condition(name: Condition, text: str) -> Any:
    """Return the value of a condition that people type in many ways, as `80-120` or `f# MAJ`.

    Args:
        name: Which.
        text: What was typed.

    Raises:
        InvalidInputError: It makes no sense.
    """
    from indexing import filters, moments
    from indexing.errors import InvalidQueryError

    readers = {
        "bpm": filters.parse_bpm,
        "key": filters.parse_key,
        "loudness": filters.parse_loudness,
        "since": moments.parse_since,
        "until": moments.parse_until,
    }
    try:
        return readers[name](text)
    except InvalidQueryError as error:
        raise InvalidInputError(str(error)) from error


def filters_of(**values: Any) -> "Filters":
    """Return the conditions as one value.

    Args:
        **values: Those of `Filters`.

    Raises:
        InvalidInputError: One of them makes no sense.
    """
    from indexing.errors import InvalidQueryError
    from indexing.filters import Filters

    try:
        return Filters(**values)
    except InvalidQueryError as error:
        raise InvalidInputError(str(error)) from error
