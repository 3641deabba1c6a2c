"""Files of prompts: text with one a line, or JSON lines with options of their own."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from audiolib.errors import InvalidInputError
from audiolib.jsonfields import is_finite
from audiolib.outputs import Destination
from audiolib.requests import GenerationRequest
from generation.finish import SoundFinish

JSON_SUFFIXES: Final = (".jsonl", ".ndjson")
_COMMENT: Final = "#"
_MOST_BYTES: Final = 64 << 20
_MOST_COUNT: Final = 100_000

_NUMBER, _WHOLE, _TEXT, _FLAG = "a number", "a whole number", "text", "true or false"
_TEXTS, _NUMBERS = "text or a list of texts", "a list of numbers"
_REQUEST: Final[Mapping[str, str]] = {
    "prompt": _TEXT,
    "duration": _NUMBER,
    "max_steps": _WHOLE,
    "seed": _WHOLE,
    "temperature": _NUMBER,
    "top_k": _WHOLE,
    "top_p": _NUMBER,
    "guidance": _NUMBER,
    "model": _TEXTS,
    "model_weights": _NUMBERS,
    "continue_from": _TEXT,
    "continue_seconds": _NUMBER,
    "melody": _TEXT,
    "context": _NUMBER,
    "dtype": _TEXT,
    "bits": _WHOLE,
    "tags": _TEXTS,
    "audio_format": _TEXT,
    "sample_rate": _WHOLE,
    "sample_format": _TEXT,
}
_FINISH: Final[Mapping[str, str]] = {
    "normalize": _TEXT,
    "headroom_db": _NUMBER,
    "loudness_lufs": _NUMBER,
    "fade_in": _NUMBER,
    "fade_out": _NUMBER,
    "dither": _FLAG,
}
_LINE: Final[Mapping[str, str]] = {"count": _WHOLE, "output": _TEXT}
KEYS: Final[Mapping[str, str]] = {**_REQUEST, **_FINISH, **_LINE}
"""What a JSON line may hold, and what kind of value each is: the options of `GenerationRequest`, those of
`SoundFinish`, and `count` and `output`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """One clip that is asked for in a batch; a line with a count is several of them.

    Attributes:
        request: What is wanted; not checked yet.
        number: The line in the file, from 1; `None` for a prompt from elsewhere, which no later run recognises.
        output: Where a copy goes.
        audio_format: The format that the line itself asks for; the request's may be the command's, or the default.
    """

    request: GenerationRequest
    number: int | None = None
    output: Path | None = None
    audio_format: str | None = None


def read_prompt_file(
    source: Path | bytes,
    *,
    count: int = 1,
    seed: int | None = None,
    json_lines: bool | None = None,
    **options: Any,
) -> list[BatchLine]:
    """Read the prompts of a file.

    In text every line is a prompt, without the space around it; blank lines and those that begin with `#` are left
    out. In JSON lines every line is an object with a `prompt` and any of `KEYS`, which win over `options`.

    Args:
        source: The file, or its content.
        count: Clips of each line that says nothing else, their seeds counting up.
        seed: Of the first clip; the others count up from it. A line's own seed wins.
        json_lines: Whether it is JSON lines; by the name's ending when `None`, by the first character of content.
        **options: Of `GenerationRequest`, for lines that say nothing else.

    Raises:
        InvalidInputError: It holds no prompts, or a line makes no sense; the line is named.
        OSError: It cannot be read.
    """
    data = source if isinstance(source, bytes) else _content(source)
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    if json_lines is None:
        by_name = None if isinstance(source, bytes) else source.suffix.lower() in JSON_SUFFIXES
        json_lines = text.lstrip().startswith("{") if by_name is None else by_name
    defaults = {"count": count, **options}
    lines: list[BatchLine] = []
    # Not `splitlines`: a form feed or U+2028 within a JSON string, or a prompt, ends no line.
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith(_COMMENT):
            try:
                values = _parsed(stripped) if json_lines else {"prompt": stripped}
                lines += _clips(number, values, defaults, None if seed is None else seed + len(lines))
            except ValueError as error:
                raise InvalidInputError(f"Line {number}: {error}") from error
    if not lines:
        raise InvalidInputError("The file holds no prompts. Write one a line.")
    return lines


def _content(path: Path) -> bytes:
    if path.stat().st_size > _MOST_BYTES:
        raise InvalidInputError(f"{path} is larger than {_MOST_BYTES >> 20} MB. Split it into several files.")
    return path.read_bytes()


def _parsed(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f'this is no JSON ({error}). Write {{"prompt": "calm piano"}}.') from error
    if not isinstance(values, dict):
        raise InvalidInputError('this is no JSON object. Write {"prompt": "calm piano"}.')
    for name, value in values.items():
        if name not in KEYS:
            raise InvalidInputError(f"{name!r} is no option. Known are {', '.join(KEYS)}.")
        if not _fits(value, KEYS[name]):
            raise InvalidInputError(f"{name!r} must be {KEYS[name]}, not {_shown(value)}.")
    if values.get("prompt") is None:
        raise InvalidInputError("there is no 'prompt'.")
    return values


def _clips(
    number: int, values: dict[str, Any], defaults: Mapping[str, Any], seed: int | None
) -> Iterator[BatchLine]:
    """The clips of a line, its values over the defaults."""
    values = {name: value for name, value in values.items() if value is not None}
    mine = {name: values.pop(name) for name in tuple(values) if name in _FINISH}
    if {"duration", "max_steps"} & values.keys():  # one length takes the place of the other
        defaults = {name: v for name, v in defaults.items() if name not in ("duration", "max_steps")}
    if "model" in values:  # weights are those of the models beside them
        defaults = {name: v for name, v in defaults.items() if name != "model_weights"}
    merged = {**defaults, **values}
    if mine:
        finish: SoundFinish = merged.get("finish") or SoundFinish()
        merged["finish"] = finish.changed(**mine)
    count, output = merged.pop("count"), merged.pop("output", None)
    if not 1 <= count <= _MOST_COUNT:
        raise InvalidInputError(f"'count' must be from 1 to {_MOST_COUNT:,}, not {count}.")
    if output is not None:
        if count > 1:
            raise InvalidInputError("'output' names one file, so it takes a 'count' of 1.")
        merged["audio_format"] = Destination(file=Path(output)).audio_format(values.get("audio_format"))
    own_format = values.get("audio_format") if output is None else merged["audio_format"]
    path = None if output is None else Path(output)
    first = merged.pop("seed", seed)
    for nth in range(count):
        request = GenerationRequest(seed=None if first is None else first + nth, **merged)
        yield BatchLine(number=number, request=request, output=path, audio_format=own_format)


def _fits(value: object, kind: str) -> bool:
    number = is_finite(value)
    if value is None:
        return True  # as if it were not there
    if kind == _NUMBER:
        return number
    if kind == _WHOLE:
        return number and isinstance(value, int)
    if kind == _FLAG:
        return isinstance(value, bool)
    if kind == _NUMBERS:
        return isinstance(value, list) and all(_fits(item, _NUMBER) and item is not None for item in value)
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str) or (kind == _TEXTS and texts)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
