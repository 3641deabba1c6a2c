"""Frozen dataclasses from JSON and back, strictly: a wrong type is an error that names the field."""

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from dataclasses import field as dataclass_field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class JsonValue:
    """Mixed into frozen dataclasses that go to JSON and come back."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return the value as a JSON object."""
        return to_document(self)

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> Self:
        """Read a value.

        Args:
            document: What `to_json` returned; unknown keys are ignored.

        Raises:
            ValueError: A field is missing or of the wrong kind.
        """
        return from_document(cls, document)


def sparse(default: Any) -> Any:
    """Return a dataclass field that is left out of JSON where it has its default, as if it had never been added.

    Args:
        default: Its default.
    """
    return dataclass_field(default=default, metadata={"sparse": True})


def is_finite(value: object) -> TypeGuard[int | float]:
    """Return whether a value of JSON is a number that a float can be; whole ones there may be of any length.

    Args:
        value: Any.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def to_document(value: object) -> dict[str, Any]:
    """Return a dataclass of plain fields as a JSON object; tuples become lists, paths strings.

    Args:
        value: A dataclass instance whose fields `from_document` can read.
    """
    document: dict[str, Any] = {}
    for field in fields(value):  # type: ignore[arg-type]  # any dataclass; there is no type for that
        item = getattr(value, field.name)
        if field.metadata.get("sparse") and item == field.default:
            continue
        if isinstance(item, tuple):
            item = list(item)
        elif isinstance(item, Path):
            item = str(item)
        elif is_dataclass(item):  # a part of its own, of which only what differs from the default is said
            parts = {part.name: (getattr(item, part.name), part.default) for part in fields(item)}
            item = {name: own for name, (own, default) in parts.items() if own != default}
        document[field.name] = item
    return document


def from_document(cls: type[T], document: Mapping[str, object]) -> T:
    """Build `cls` from a JSON object; keys that it does not know are left alone.

    Args:
        cls: A dataclass of str, int, float, bool, Path, tuple[str, ...], tuple[float, ...], Literal, a dataclass of
            these, or one of those or None.
        document: The parsed JSON object.

    Raises:
        ValueError: A field is missing or has the wrong type; the message names it.
    """
    if not isinstance(document, Mapping):
        raise ValueError("a JSON object was expected")
    values: dict[str, object] = {}
    hints = _hints(cls)  # type: ignore[arg-type]  # classes are hashable
    for field in fields(cls):  # type: ignore[arg-type]  # any dataclass
        if field.name in document:
            values[field.name] = _convert(field.name, document[field.name], hints[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{field.name!r} is missing")
    return cls(**values)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _convert(name: str, value: object, hint: Any) -> object:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(hint):
            return None
        (hint,) = (arg for arg in get_args(hint) if arg is not type(None))
        return _convert(name, value, hint)
    if origin is Literal:
        if value in get_args(hint):
            return value
    elif origin is tuple:
        if isinstance(value, list):
            return tuple(_convert(name, item, get_args(hint)[0]) for item in value)
    elif hint is float:
        if is_finite(value):
            return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif hint is Path:
        if isinstance(value, str):
            return Path(value)
    elif is_dataclass(hint):
        if isinstance(value, Mapping):
            return from_document(hint, value)  # type: ignore[arg-type]  # a field's hint is a class
    elif isinstance(value, hint):
        return value
    raise ValueError(f"{name!r} has a value of the wrong kind")
