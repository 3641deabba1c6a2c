"""What a clip is filtered by, as a list of facets that one index finds rows by.

Its tags, the names of its model, and the buckets in which its length, tempo, loudness and time of making lie.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final

from indexing import buckets

COLUMN: Final = "facets"
SOURCES: Final = ("tags", "model", buckets.MOMENT, *buckets.SCALES)
"""The columns that facets are made of."""

_TAG: Final = "tag:"
_MODEL: Final = "model:"
_TAG_EDGE: Final = "\n"  # no tag holds one


def sql() -> str:
    """The facets of rows that were written before there was this column, from what has always been stored."""
    of_scales = (expression for scale in buckets.SCALES.values() for expression in scale.sql())
    in_buckets = ", ".join(f"coalesce({part}, '{_TAG}')" for part in (*buckets.MOMENT_SQL, *of_scales))
    return (
        f"array_remove_all(array_distinct(array_concat("
        f"string_to_array('{_TAG}' || replace(btrim(coalesce(tag_text, ''), chr(10)), chr(10), "
        f"chr(10) || '{_TAG}'), chr(10)), make_array(coalesce('{_MODEL}' || nullif(model, ''), '{_TAG}'), "
        f"CASE WHEN model > '' AND strpos(model, chr(10)) = 0 THEN '{_MODEL}' || split_part(model, '/', -1) "
        f"ELSE '{_TAG}' END, {in_buckets}))), '{_TAG}')"
    )


def of_row(row: Mapping[str, Any]) -> list[str]:
    """All facets of a row, none twice.

    Args:
        row: Its values by the names in `SOURCES`.
    """
    found = [of_tag(tag) for tag in row["tags"] or () if _fold(tag)]
    found += [of_model(name) for name in model_names(row["model"])]
    found += buckets.of_moment(row[buckets.MOMENT])
    for name, scale in buckets.SCALES.items():
        found += scale.of(row[name])
    return list(dict.fromkeys(found))


def of_tag(tag: str) -> str:
    """The facet of the clips that have a tag, in upper or lower case."""
    return _TAG + _fold(tag)


def of_model(name: str) -> str:
    """The facet of the clips whose model has a name."""
    return _MODEL + name


def model_names(model: str | None) -> tuple[str, ...]:
    """What a model may be called: its whole name, and its last part unless it has several lines."""
    if not model:
        return ()
    return (model,) if "\n" in model else (model, model.rpartition("/")[2])


def tag_text(tags: Iterable[str]) -> str:
    """All tags as one text, in which `tag_needle(tag)` is found exactly when the tag is among them."""
    folded = [_fold(tag) for tag in tags]
    return _TAG_EDGE + "".join(tag + _TAG_EDGE for tag in folded) if folded else ""


def tag_needle(tag: str) -> str:
    """What `tag_text` contains when a clip has this tag, in upper or lower case."""
    return _TAG_EDGE + _fold(tag) + _TAG_EDGE


def _fold(tag: str) -> str:
    return " ".join(unicodedata.normalize("NFC", tag).casefold().split())
