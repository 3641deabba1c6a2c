"""`audiolib search`: clips by what they are like."""

from pathlib import Path

import click

from audiolib.cli import output
from audiolib.cli.options import json_option, library_option, open_library, read_prompt


@click.command("search", short_help="Find clips by meaning.")
@click.argument("query")
@click.option(
    "-k", "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Hits at most."
)
@click.option(
    "--mode",
    type=click.Choice(["semantic"]),
    default="semantic",
    show_default=True,
    help="How to search: by meaning.",
)
@library_option
@json_option
def search_command(query: str, limit: int, mode: str, library_path: Path | None, as_json: bool) -> None:
    """Find clips by meaning: QUERY need not share a word with their prompts."""
    del mode  # there is one so far
    hits = open_library(library_path).search(read_prompt(query), limit=limit, one_off=True)
    if as_json:
        for hit in hits:
            output.json_line(hit.to_json())
    elif hits:
        output.table(
            (
                output.Column(title="score", right=True, style={"fg": "green"}),
                output.Column(title="title", shrink=True, style={"bold": True}),
                output.Column(title="duration", right=True),
                output.Column(title="path"),
            ),
            [
                (
                    f"{hit.score:.2f}",
                    hit.clip.title,
                    output.seconds(hit.clip.duration),
                    output.short_path(hit.clip.path),
                )
                for hit in hits
            ],
        )
        best = hits[0].clip
        output.hint(
            f"Another like the first: audiolib regenerate {best.id[-6:]} --seed {(best.seed or 0) + 1}"
        )
    else:
        output.notice("Nothing was found.")
