"""A recipe inside a file that audiolib made: text from elsewhere, so it is checked, shown, and never acted upon."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from audiolib.clip import Recipe
from audiolib.errors import InvalidInputError
from audiolib.ids import ID_PATTERN, time_of
from audiolib.prompts import clean_prompt, clean_tags

_MAX_SEED: Final = (1 << 63) - 1  # the largest that fits the index
_MAX_NUMBER: Final = 1 << 31
_MOST_MODELS: Final = 16
_MAX_NAME: Final = 300  # characters of a model's or a backend's name
_EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a file of ours says of the clip that it was.

    Attributes:
        id: Its id, `None` where that cannot be one.
        recipe: What made it.
        tags: Its labels.
        license: Of the model.
    """

    id: str | None
    recipe: Recipe
    tags: tuple[str, ...]
    license: str | None


def origin_in(comment: str | None) -> Origin | None:
    """Return the origin that a file's comment tells of, `None` where it tells of none that makes sense.

    Args:
        comment: The comment inside the file.
    """
    try:
        document = json.loads(comment or "null")
        if not isinstance(document, dict) or "audiolib" not in document:
            return None
        recipe = _checked(Recipe.from_json(document.get("recipe") or {}))
        license_name = document.get("license")
        return Origin(
            id=_usable(document.get("id")),
            recipe=recipe,
            tags=clean_tags([tag for tag in document.get("tags") or () if isinstance(tag, str)]),
            license=None if license_name is None else _name(license_name),
        )
    except (ValueError, TypeError, RecursionError, InvalidInputError):
        return None


def _checked(recipe: Recipe) -> Recipe:
    clean_prompt(recipe.prompt)
    values: dict[str, Any] = asdict(recipe)
    for name, value in values.items():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, str) and name != "prompt":
                _name(item)
            if isinstance(item, int) and name != "seed" and abs(item) > _MAX_NUMBER:
                raise ValueError(f"{name!r} is out of range")
    if len({len(recipe.models), len(recipe.model_weights), len(recipe.model_digests)}) != 1:
        raise ValueError("not every model has a weight and a digest")
    if len(recipe.models) > _MOST_MODELS or recipe.given_frames < 0:
        raise ValueError("a number is out of range")
    if not 0 <= recipe.seed <= _MAX_SEED:
        raise ValueError("'seed' is out of range")
    if recipe.parent_id is not None and not ID_PATTERN.fullmatch(recipe.parent_id):
        raise ValueError("'parent_id' is no id")
    return recipe


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_NAME or not value.isprintable():
        raise ValueError("a name is no plain text")
    return value


def _usable(clip_id: object) -> str | None:
    """Ids sort by their time: one from the far future would be `last` for ever."""
    try:
        made = time_of(clip_id) if isinstance(clip_id, str) else None
    except (ValueError, OverflowError):
        return None
    in_range = made is not None and _EARLIEST <= made <= datetime.now(UTC) + timedelta(days=1)
    return str(clip_id) if in_range else None
