"""`audiolib duplicates`: what is there more than once, and which of it could go."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiolib.cli import output
from audiolib.cli.options import json_option, library_option, open_library

if TYPE_CHECKING:
    from audiolib import DuplicateGroup


@click.command("duplicates", short_help="Find clips that are there more than once.")
@click.option("--near", is_flag=True, help="Also what sounds the same: another format, rate or loudness.")
@click.option(
    "--similarity",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="COSINE",
    help="How near sounds must be, up to 1; implies --near.",
)
@click.option("--ids", is_flag=True, help="Print only the ids of those that could go, one a line.")
@library_option
@json_option
def duplicates_command(
    near: bool, similarity: float | None, ids: bool, library_path: Path | None, as_json: bool
) -> None:
    """Find clips with the same samples; nothing is removed.

    Of each group one is to keep: the best rated, then lossless, then of the highest rate, then with the most tags,
    then the oldest. To move the others to the trash: audiolib duplicates --ids | audiolib remove -
    """
    from audiolib import NEAR_SIMILARITY

    if ids and as_json:
        raise click.UsageError("--ids and --json exclude each other.")
    least = similarity if similarity is not None else NEAR_SIMILARITY if near else None
    with output.bar("comparing", "clip") as update:
        groups = open_library(library_path).duplicates(near=least, progress=update)
    for group in groups:
        if as_json:
            output.json_line(group.to_json())
        elif ids:
            for duplicate in group.duplicates:
                output.result(duplicate.clip.id)
    if not (as_json or ids):
        _show(groups)


def _show(groups: "list[DuplicateGroup]") -> None:
    if not groups:
        output.notice("No clip is there more than once.")
        return
    rows = []
    for group in groups:
        clips = [(group.keep, "keep")]
        clips += [
            (item.clip, "same" if item.same_samples else f"{item.similarity:.4f}")
            for item in group.duplicates
        ]
        for clip, how in clips:
            rows.append(
                (how, clip.id[-6:], clip.title, output.seconds(clip.duration), output.short_path(clip.path))
            )
    output.table(
        (
            output.Column(title="", style={"fg": "green"}),
            output.Column(title="id", style={"fg": "cyan"}),
            output.Column(title="title", shrink=True, style={"bold": True}),
            output.Column(title="duration", right=True),
            output.Column(title="path"),
        ),
        rows,
    )
    number = sum(len(group.duplicates) for group in groups)
    output.hint(f"{output.clips(number)} could go: audiolib duplicates --ids | audiolib remove -")
