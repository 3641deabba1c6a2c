"""`audiolib list`, `show` and `play`: the clips that are there."""

from datetime import datetime
from pathlib import Path

import click

from audiolib.cli import output
from audiolib.cli.options import clip_argument, json_option, library_option, open_library, recipe_pairs


@click.command("list")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Only this many of the newest.")
@library_option
@json_option
def list_command(limit: int | None, library_path: Path | None, as_json: bool) -> None:
    """List the clips, newest first."""
    clips = open_library(library_path).list(limit=limit)
    if as_json:
        for clip in clips:
            output.json_line(clip.to_json())
        return
    rows = [
        (
            clip.id[-6:],
            clip.title,
            output.seconds(clip.duration),
            _local_time(clip.created_at),
            clip.model or clip.kind,
        )
        for clip in clips
    ]
    if not rows:
        output.notice("The library is empty.")
        return
    output.table(
        (
            output.Column(title="id", style={"fg": "cyan"}),
            output.Column(title="title", shrink=True, style={"bold": True}),
            output.Column(title="duration", right=True),
            output.Column(title="made"),
            output.Column(title="model", shrink=True),
        ),
        rows,
    )
    output.hint(f"All about one: audiolib show {rows[0][0]}")


@click.command("show", short_help="Show all that is known of a clip.")
@clip_argument
@library_option
@json_option
def show_command(clip: str, library_path: Path | None, as_json: bool) -> None:
    """Show all that is known of CLIP: its id, the end of its id, a path, or `last`."""
    library = open_library(library_path)
    found = library.get(clip)
    recipe = library.recipe(found.id)
    if as_json:
        output.json_line({**found.to_json(), "recipe": recipe.to_json() if recipe else None})
        return
    pairs = [
        ("title", found.title),
        ("prompt", found.prompt if found.prompt != found.title else None),
        ("id", found.id),
        ("path", output.short_path(found.path)),
        ("audio", f"{output.seconds(found.duration)}, {found.sample_rate} Hz, {_channels(found.channels)}"),
        ("made", _local_time(found.created_at)),
        ("kind", found.kind),
        ("parent", found.parent_id),
        ("tags", ", ".join(found.tags)),
        ("rating", None if found.rating is None else str(found.rating)),
        ("words", found.transcript),
        ("language", found.language),
        ("tempo", None if found.tempo_bpm is None else f"{found.tempo_bpm:.0f} BPM"),
        ("key", found.key),
        ("loudness", None if found.loudness_lufs is None else f"{found.loudness_lufs:.1f} LUFS"),
        ("license", found.license),
        *(recipe_pairs(recipe) if recipe else ()),
    ]
    output.fields([(name, value) for name, value in pairs if value])


@click.command("play", short_help="Play a clip.")
@clip_argument
@library_option
@json_option
def play_command(clip: str, library_path: Path | None, as_json: bool) -> None:
    """Play CLIP: its id, the end of its id, a path, or `last`."""
    library = open_library(library_path)
    found = library.get(clip)
    if as_json:
        output.json_line(found.to_json())
    else:
        output.result(f"{output.plain(found.title)}  {output.seconds(found.duration)}")
    library.play(found)


def _local_time(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return text


def _channels(number: int) -> str:
    return {1: "mono", 2: "stereo"}.get(number, f"{number} channels")
