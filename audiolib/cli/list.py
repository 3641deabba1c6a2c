"""`audiolib list`: the clips that are there."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from audiolib.cli import output
from audiolib.cli.filters import filter_options, nothing_found, sort_options
from audiolib.cli.options import json_option, library_option, open_library

if TYPE_CHECKING:
    from audiolib import Clip, Filters


@click.command("list", short_help="List the clips, newest first.")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="So many at most.")
@sort_options
@filter_options
@library_option
@json_option
def list_command(
    limit: int | None,
    sort: str | None,
    reverse: bool,
    filters: "Filters",
    library_path: Path | None,
    as_json: bool,
) -> None:
    """List the clips, newest first, or those that meet every condition."""
    library = open_library(library_path)
    clips = library.list(filters=filters, sort=sort, reverse=reverse, limit=limit)
    if as_json:
        for clip in clips:
            output.json_line(clip.to_json())
        return
    extra = [
        name for name in _EXTRA if name == sort or (filters and getattr(filters, name, None) is not None)
    ]
    rows = [
        (
            clip.id[-6:],
            clip.title,
            output.seconds(clip.duration),
            *(_EXTRA[name](clip) for name in extra),
            output.local_time(clip.created_at),
            clip.model or clip.kind,
        )
        for clip in clips
    ]
    if not rows:
        output.notice(nothing_found(library, filters, otherwise="None of the clips can be listed."))
        return
    output.table(
        (
            output.Column(title="id", style={"fg": "cyan"}),
            output.Column(title="title", shrink=True, style={"bold": True}),
            output.Column(title="duration", right=True),
            *(output.Column(title=name, right=name not in ("key", "rating")) for name in extra),
            output.Column(title="made"),
            output.Column(title="model", shrink=True),
        ),
        rows,
    )
    output.hint(f"All about one: audiolib show {rows[0][0]}")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


_EXTRA: Final[Mapping[str, Callable[["Clip"], str]]] = {  # shown when sorted or filtered by
    "rating": lambda clip: output.stars(clip.rating),
    "bpm": lambda clip: _number(clip.tempo_bpm, ".0f"),
    "key": lambda clip: clip.key or "",
    "loudness": lambda clip: _number(clip.loudness_lufs, ".1f"),
    "brightness": lambda clip: _number(clip.brightness_hz, ".0f"),
    "energy": lambda clip: _number(clip.energy, ".2f"),
}
