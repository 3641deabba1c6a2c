"""Clips that are named on the command line or on standard input, as `search --json` prints them."""

import json
import sys
from collections.abc import Sequence

import click

from audiolib.cli import output

_STDIN = "-"

clips_argument = click.argument("clips", nargs=-1, required=True, metavar="CLIP...")


def read_names(given: Sequence[str]) -> list[str]:
    """Return the names of clips; `-` stands for those on standard input, one a line: an id or a JSON object with one.

    Args:
        given: What was typed.

    Raises:
        click.UsageError: A line names no clip.
    """
    names: list[str] = []
    for name in given:
        names.extend(_read_stdin() if name == _STDIN else [name])
    if not names:
        output.notice("No clip was named.")
    return names


def _read_stdin() -> list[str]:
    text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    # Not `splitlines`: U+2028 within a JSON string ends no line.
    return [_name_in(line) for line in text.split("\n") if line.strip()]


def _name_in(line: str) -> str:
    if not line.lstrip().startswith("{"):
        return line.strip()
    try:
        clip_id = json.loads(line)["id"]
    except (ValueError, KeyError, RecursionError) as error:
        raise click.UsageError("A line of the input is a JSON object without an 'id'.") from error
    if not isinstance(clip_id, str):
        raise click.UsageError("A line of the input is a JSON object whose 'id' is no text.")
    return clip_id
