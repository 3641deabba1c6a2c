"""`audiolib search`: clips by words."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiolib.cli import output
from audiolib.cli.filters import filter_options
from audiolib.cli.hits import limit_option, print_hits, space_option
from audiolib.cli.options import json_option, library_option, open_library, read_prompt

if TYPE_CHECKING:
    from audiolib import Filters


@click.command("search", short_help="Find clips by words.")
@click.argument("query")
@limit_option
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "semantic", "keyword"]),
    help="By meaning, by the words themselves, or both, which is the default.",
)
@click.option("--explain", is_flag=True, help="Say of each hit why it is there.")
@space_option
@filter_options
@library_option
@json_option
def search_command(
    query: str,
    limit: int,
    mode: str | None,
    explain: bool,
    space: str | None,
    filters: "Filters",
    library_path: Path | None,
    as_json: bool,
) -> None:
    """Find clips by words: QUERY need not share one with them. In quotes they are a phrase.

    The score is the similarity in meaning, 1 is closest; words that match can put a clip before one that scores more.
    """
    library = open_library(library_path)
    hits = library.search(
        read_prompt(query),
        limit=limit,
        mode=mode,
        filters=filters,
        explain=explain,
        space=space,
        one_off=True,
    )
    print_hits(hits, as_json=as_json, none="No clip is like that." if filters else "Nothing was found.")
    if hits and not as_json:
        best = hits[0].clip
        if best.kind == "generated":
            output.hint(
                f"Another like the first: audiolib regenerate {best.id[-6:]} --seed {(best.seed or 0) + 1}"
            )
