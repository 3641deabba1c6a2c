"""`audiolib similar`: clips by their sound."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiolib.cli.filters import filter_options, nothing_found
from audiolib.cli.hits import limit_option, print_hits, space_option
from audiolib.cli.options import json_option, library_option, open_library

if TYPE_CHECKING:
    from audiolib import Filters


@click.command("similar", short_help="Find clips that sound alike.")
@click.argument("clip", metavar="[CLIP]", required=False)
@click.option("--file", type=click.Path(path_type=Path), help="An audio file in place of a clip.")
@limit_option
@space_option
@filter_options
@library_option
@json_option
def similar_command(
    clip: str | None,
    file: Path | None,
    limit: int,
    space: str | None,
    filters: "Filters",
    library_path: Path | None,
    as_json: bool,
) -> None:
    """Find the clips that sound most like CLIP, or like any audio file, which is not added."""
    if (clip is None) == (file is None):
        raise click.UsageError("Give either a CLIP or --file, to find what sounds like it.")
    library = open_library(library_path)
    hits = library.similar(clip, file=file, limit=limit, filters=filters, space=space)
    none = ""
    if not hits:
        alone = clip is not None and library.count() == 1
        no_other = "There is no other clip to compare it with."
        otherwise = no_other if alone else "None of the other clips can be compared with it."
        none = nothing_found(library, filters, otherwise=otherwise)
    print_hits(hits, as_json=as_json, none=none)
