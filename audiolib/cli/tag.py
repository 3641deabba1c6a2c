"""`audiolib tag`: labels on clips, and off."""

from pathlib import Path

import click

from audiolib.cli import output
from audiolib.cli.naming import clips_argument, read_names
from audiolib.cli.options import json_option, library_option, open_library


@click.command("tag", short_help="Change the tags of clips.")
@clips_argument
@click.option("--add", multiple=True, metavar="TAG", help="A tag to add; may be repeated.")
@click.option("--remove", multiple=True, metavar="TAG", help="A tag to take away; may be repeated.")
@click.option(
    "--set", "replace", multiple=True, metavar="TAG", help="All tags, in place of those there are; repeat it."
)
@click.option("--clear", is_flag=True, help="Take all tags away.")
@library_option
@json_option
def tag_command(
    clips: tuple[str, ...],
    add: tuple[str, ...],
    remove: tuple[str, ...],
    replace: tuple[str, ...],
    clear: bool,
    library_path: Path | None,
    as_json: bool,
) -> None:
    """Change the tags of one CLIP or several: ids, ends of ids, paths or `last`; - reads ids from standard input.

    audiolib tag last --add lofi --add rain
    """
    if not (add or remove or replace or clear):
        raise click.UsageError("Say what to change, for instance `audiolib tag last --add lofi`.")
    if clear and replace:
        raise click.UsageError("--set and --clear exclude each other.")
    names = read_names(clips)
    if not names:
        return
    base = replace or (() if clear else None)
    changed = open_library(library_path).tag(names, add=add, remove=remove, replace=base)
    if as_json:
        for clip in changed:
            output.json_line(clip.to_json())
        return
    output.table(
        (
            output.Column(title="id", style={"fg": "cyan"}),
            output.Column(title="title", shrink=True, style={"bold": True}),
            output.Column(title="tags"),
        ),
        [(clip.id[-6:], clip.title, ", ".join(clip.tags)) for clip in changed],
    )
