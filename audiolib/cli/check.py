"""`audiolib check`: what is wrong with the library, and mending it."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from audiolib.cli import output
from audiolib.cli.options import json_option, library_option, open_library

if TYPE_CHECKING:
    from audiolib import Finding

_SHOWN_OF_A_KIND: Final = 10
_COLOURS: Final = {"error": "red", "warning": "yellow", "note": "blue"}


@click.command("check", short_help="Look for damage, and mend it.")
@click.option("--repair", is_flag=True, help="Mend what can be mended. Nothing of yours is deleted.")
@click.option("--quick", is_flag=True, help="Do not read every audio file to compare its checksum.")
@library_option
@json_option
def check_command(repair: bool, quick: bool, library_path: Path | None, as_json: bool) -> None:
    """Hold the library's files, their descriptions and the index against each other.

    The exit code is 0 when nothing is wrong or everything was mended, and 1 otherwise.
    """
    library = open_library(library_path)
    with output.bar("checking", "clip") as update:
        report = library.check(repair=repair, quick=quick, progress=update)
    if as_json:
        for finding in report.findings:
            output.json_line(finding.to_json())
    else:
        _print(report.findings, repair=repair)
        output.result(_summary(report.clips, report.findings, repair=repair))
    if not report.clean:
        raise click.exceptions.Exit(1)


def _print(findings: "tuple[Finding, ...]", *, repair: bool) -> None:
    shown: Counter[str] = Counter()
    for finding in findings:
        shown[finding.kind] += 1
        if shown[finding.kind] > _SHOWN_OF_A_KIND:
            continue
        word = "mended" if finding.repaired else finding.severity
        colour = "green" if finding.repaired else _COLOURS[finding.severity]
        output.result(f"{output.style(word.ljust(8), fg=colour)}{output.plain(finding.sentence)}")
        way_out = finding.by_hand if repair or not finding.repair else f"--repair: {finding.repair}"
        if way_out and not finding.repaired:
            output.result(f"        {output.style(output.plain(way_out), dim=True)}")
    for kind, number in shown.items():
        if number > _SHOWN_OF_A_KIND:
            output.result(
                f"        and {number - _SHOWN_OF_A_KIND:,} more like that ({kind}); --json names all."
            )


def _summary(clips: int, findings: "tuple[Finding, ...]", *, repair: bool) -> str:
    mended = sum(finding.repaired for finding in findings)
    left = [finding for finding in findings if not finding.repaired and finding.severity != "note"]
    parts = [f"{output.clips(clips)} checked"]
    if mended:
        parts.append(f"{mended:,} mended")
    parts.append(
        f"{len(left):,} to look at" if left else "nothing is wrong" if not mended else "nothing is left"
    )
    mendable = sum(finding.repair is not None for finding in left)
    mends = "it" if len(left) == 1 else f"{mendable:,} of them"
    hint = f" `audiolib check --repair` mends {mends}." if mendable and not repair else ""
    return ", ".join(parts) + "." + hint
