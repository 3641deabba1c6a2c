"""`audiolib rate`: how good a clip is."""

from pathlib import Path

import click

from audiolib.cli import output
from audiolib.cli.naming import clips_argument, read_names
from audiolib.cli.options import json_option, library_option, open_library

_RATINGS = {**{str(number): number for number in range(1, 6)}, "0": None, "none": None}


@click.command("rate", short_help="Give clips a rating from 1 to 5.")
@clips_argument
@click.argument("rating", type=click.Choice(list(_RATINGS), case_sensitive=False), metavar="RATING")
@library_option
@json_option
def rate_command(clips: tuple[str, ...], rating: str, library_path: Path | None, as_json: bool) -> None:
    """Give one CLIP or several a RATING from 1 to 5, the best; 0 or none takes it away.

    A clip is named by its id, the end of its id, a path or `last`; - reads ids from standard input.
    """
    names = read_names(clips)
    if not names:
        return
    for clip in open_library(library_path).rate(names, _RATINGS[rating]):
        if as_json:
            output.json_line(clip.to_json())
        else:
            output.result(f"{output.stars(clip.rating)}  {output.plain(clip.title)}")
