"""`audiolib watch`: a folder that is kept imported."""

from pathlib import Path

import click

from audiolib.cli import output
from audiolib.cli.imports import Tally, quiet_libraries
from audiolib.cli.options import json_option, library_option, open_library


@click.command("watch", short_help="Keep a folder imported.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--once", is_flag=True, help="End when all that is there now was taken in.")
@click.option(
    "--interval", metavar="S", type=float, default=2.0, show_default=True, help="Seconds between looks."
)
@click.option("--reference", is_flag=True, help="Leave the files where they are; keep only their paths.")
@click.option("--tag", "tags", metavar="WORD", multiple=True, help="A label; may be repeated.")
@library_option
@json_option
def watch_command(
    folder: Path,
    once: bool,
    interval: float,
    reference: bool,
    tags: tuple[str, ...],
    library_path: Path | None,
    as_json: bool,
) -> None:
    """Import what is in DIR and what comes, until Ctrl+C. A file is taken when it has stopped changing."""
    library = open_library(library_path)
    tally = Tally(as_json=as_json, clips=True, present=False)
    outcomes = library.watch(folder, once=once, interval=interval, reference=reference, tags=tags)
    if not once:
        output.hint(f"Watching {output.plain(output.short_path(folder))}. Ctrl+C ends it.")
    try:
        with quiet_libraries():
            for outcome in outcomes:
                tally.tell(outcome)
                tally.notices()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("" if tally.total == 0 else tally.summary()) from None
    tally.finish()
