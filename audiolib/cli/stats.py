"""`audiolib stats`: the library in numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from audiolib.cli import output
from audiolib.cli.filters import filter_options
from audiolib.cli.options import json_option, library_option, open_library

if TYPE_CHECKING:
    from audiolib import Filters, LibraryStats

_SHOWN: Final = 10  # the most frequent of each kind
_BAR: Final = 24


@click.command("stats", short_help="Show the library in numbers.")
@click.option("--all", "everything", is_flag=True, help=f"Every tag and model, not the first {_SHOWN}.")
@filter_options
@library_option
@json_option
def stats_command(everything: bool, filters: "Filters", library_path: Path | None, as_json: bool) -> None:
    """Count the clips by model, tag, key, tempo and rating; add up their time and their space on the disk."""
    stats = open_library(library_path).stats(filters=filters or None)
    if as_json:
        output.json_line(stats.to_json())
        return
    output.fields(_summary(stats))
    limit = None if everything else _SHOWN
    for title, counts, all_of_them in (
        ("model", stats.models, False),
        ("tag", stats.tags, False),
        ("key", stats.keys, False),
        ("tempo (BPM)", stats.tempos, True),
        ("rating", {output.stars(int(rating)): count for rating, count in stats.ratings.items()}, True),
        ("words", {} if set(stats.speech) == {"not transcribed"} else stats.speech, True),
    ):
        _show_counts(title, counts, of=stats.clips, limit=None if all_of_them else limit)


def _summary(stats: "LibraryStats") -> list[tuple[str, str]]:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in stats.kinds.items())
    pairs = [("clips", f"{stats.clips:,}" + (f" ({kinds})" if len(stats.kinds) > 1 else ""))]
    if stats.shortest is not None and stats.longest is not None:
        mean = output.seconds(stats.seconds / stats.clips)
        lengths = f"{output.seconds(stats.shortest)} to {output.seconds(stats.longest)}, {mean} on average"
        pairs += [("time", _time(stats.seconds)), ("length", lengths)]
    if stats.first is not None and stats.last is not None:
        pairs.append(("made", f"{output.local_time(stats.first)} to {output.local_time(stats.last)}"))
    if stats.disk is not None:
        disk = stats.disk
        parts = f"clips {output.size(disk.audio)}, index {output.size(disk.index)}"
        parts += f", trash {output.size(disk.trash)}" if disk.trash else ""
        pairs.append(("disk", f"{output.size(disk.total)} ({parts})"))
    if stats.not_indexed:
        pairs.append(("not indexed", f"{output.clips(stats.not_indexed)}; `audiolib index` catches up"))
    if stats.not_embedded:
        pairs.append(("not embedded", output.clips(stats.not_embedded)))
    return pairs


def _show_counts(title: str, counts: Mapping[str, int], *, of: int, limit: int | None) -> None:
    if not counts:
        return
    shown = list(counts.items())[:limit]
    most = max(count for _, count in shown)
    output.result()
    output.table(
        (
            output.Column(title=title, shrink=True, style={"bold": True}),
            output.Column(title="clips", right=True),
            output.Column(title="", style={"fg": "cyan"}),
        ),
        [(name, f"{count:,}", "#" * max(1, round(_BAR * count / most))) for name, count in shown],
    )
    if len(shown) < len(counts):
        output.result(output.style(f"and {len(counts) - len(shown):,} more; --all shows them", dim=True))


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02d}:{rest:02d} hours" if hours else f"{minutes}:{rest:02d} minutes"
