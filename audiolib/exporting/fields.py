"""What an export says of each clip: the clip's JSON fields without the path on this machine."""

from functools import cache
from types import UnionType
from typing import Any, Final, get_args, get_type_hints

from audiolib.clip import Clip

FILE_NAME: Final = "file_name"
_KINDS: Final = {str: "string", int: "int64", float: "float64", tuple[str, ...]: "strings"}


def document_of(clip: Clip, file_name: str) -> dict[str, Any]:
    """Return a clip's line of `metadata.jsonl`.

    Args:
        clip: The clip.
        file_name: Its exported file, relative to the export's folder with forward slashes.
    """
    document = {FILE_NAME: file_name, **clip.to_json()}
    del document["path"]
    return document


@cache
def field_kinds() -> dict[str, str]:
    """Return the kind of each field but the file's name: `string`, `int64`, `float64` or `strings`."""
    hints = get_type_hints(Clip)
    return {name: _kind(hint) for name, hint in hints.items() if name != "path"}


def _kind(hint: Any) -> str:
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    # A `Literal` is a string as well.
    return next((_KINDS[option] for option in options if option in _KINDS), "string")
