"""`audiolib export`: clips for other programs."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiolib.cli import output
from audiolib.cli.filters import filter_options, nothing_found, sort_options
from audiolib.cli.options import json_option, library_option, open_library

if TYPE_CHECKING:
    from audiolib import Filters


@click.command("export", short_help="Copy clips out, as a data set or a playlist.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--parquet", is_flag=True, help="Parquet files with the sound inside, in place of audio files.")
@click.option("--csv", is_flag=True, help="Add clips.csv.")
@click.option("--m3u8", "playlist", is_flag=True, help="Add the playlist clips.m3u8.")
@click.option("--update", is_flag=True, help="Add what is missing to an earlier export in DIR.")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="So many clips at most.")
@sort_options
@filter_options
@library_option
@json_option
def export_command(
    folder: Path,
    parquet: bool,
    csv: bool,
    playlist: bool,
    update: bool,
    limit: int | None,
    sort: str | None,
    reverse: bool,
    filters: "Filters",
    library_path: Path | None,
    as_json: bool,
) -> None:
    """Copy clips into DIR, which is new or empty: audio files under readable names, with metadata.jsonl.

    `datasets.load_dataset(DIR)` reads it with and without --parquet.
    """
    library = open_library(library_path)
    with output.bar("exporting", "clip") as update_bar:
        report = library.export(
            folder,
            filters=filters,
            sort=sort,
            reverse=reverse,
            limit=limit,
            parquet=parquet,
            csv=csv,
            playlist=playlist,
            update=update,
            progress=update_bar,
        )
    for sentence in report.left_out:
        output.notice(sentence)
    if as_json:
        output.json_line({**asdict(report), "folder": str(report.folder)})
    elif report.clips == 0:
        if not report.left_out:
            none = "None of the clips can be exported."
            output.notice(nothing_found(library, filters, otherwise=none))
        output.notice("Nothing was exported.")
    else:
        added = f"{report.added:,} copied ({output.size(report.bytes)})"
        output.result(f"{output.clips(report.clips)} in {output.short_path(report.folder)}, {added}.")
    if report.left_out:
        raise click.exceptions.Exit(1)
