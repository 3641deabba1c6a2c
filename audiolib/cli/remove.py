"""`audiolib remove`: clips into the trash."""

from pathlib import Path

import click

from audiolib.cli import output
from audiolib.cli.naming import clips_argument, read_names
from audiolib.cli.options import json_option, library_option, open_library


@click.command("remove", short_help="Move clips to the trash.")
@clips_argument
@library_option
@json_option
def remove_command(clips: tuple[str, ...], library_path: Path | None, as_json: bool) -> None:
    """Move one CLIP or several to the trash: ids, ends of ids, paths or `last`; - reads ids from standard input.

    `audiolib trash restore` brings them back. Audio that was added with --reference stays where it is.
    """
    names = read_names(clips)
    if not names:
        return
    removed = open_library(library_path).remove(names)
    for entry in removed:
        if as_json:
            output.json_line(entry.to_json())
        else:
            output.result(f"in the trash: {output.plain(entry.title or entry.id)}")
    if removed and not as_json:
        ids = " ".join(entry.id[-6:] for entry in removed[:5])
        output.hint(f"Bring back: audiolib trash restore {ids}" + (" …" if len(removed) > 5 else ""))
