"""`audiolib play`: a clip to the ears."""

from pathlib import Path

import click

from audiolib.cli import output
from audiolib.cli.options import clip_argument, json_option, library_option, open_library


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
