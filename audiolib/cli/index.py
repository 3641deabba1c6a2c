"""`audiolib index`: the search index brought up to date, and transcripts."""

from dataclasses import asdict
from pathlib import Path

import click

from audiolib.cli import output
from audiolib.cli.options import json_option, library_option, open_library


@click.command("index", short_help="Make every clip searchable; transcribe.")
@click.option("--rebuild", is_flag=True, help="Make the index again from the files.")
@click.option("--embedder", metavar="NAME", help="The embedder from now on; a change needs --rebuild.")
@click.option("--transcribe", is_flag=True, help="Run Whisper over clips that have no transcript.")
@click.option("--whisper", metavar="NAME", help="The Whisper model; implies --transcribe.")
@click.option("--again", is_flag=True, help="Listen again to what another Whisper model listened to.")
@click.option("--space", metavar="NAME", help="Let a CLAP model hear the clips: clap is the best one here.")
@library_option
@json_option
def index_command(
    rebuild: bool,
    embedder: str | None,
    transcribe: bool,
    whisper: str | None,
    again: bool,
    space: str | None,
    library_path: Path | None,
    as_json: bool,
) -> None:
    """Make every clip searchable: catch up with the files, or rebuild the index from them."""
    library = open_library(library_path)
    heard = None
    if transcribe or whisper or again:
        with output.bar("listening", "clip") as update:
            heard = library.transcribe(whisper=whisper, again=again, progress=update)
    with output.bar("indexing", "clip") as update:
        report = library.index(rebuild=rebuild, embedder=embedder, progress=update)
    spaced = None
    if space is not None:  # last, because its vectors go beside rows that are there
        with output.bar(f"listening for {space}", "clip") as update:
            spaced = library.index_space(space, progress=update)
    parts = (part.broken for part in (report, heard, spaced) if part)
    broken = dict.fromkeys(sentence for sentences in parts for sentence in sentences)
    for sentence in broken:
        output.notice(sentence)
    if as_json:
        output.json_line(
            {
                **asdict(report),
                "transcripts": asdict(heard) if heard else None,
                "space": asdict(spaced) if spaced else None,
            }
        )
    else:
        output.result(f"{output.clips(report.clips)} in the library, {report.embedded} newly embedded.")
        if report.completed:
            output.result(f"{output.clips(report.completed)} that a crash had cut off can be found again.")
        if report.measured:
            output.result(f"{output.clips(report.measured)} measured.")
        if report.removed:
            were = output.counted(report.removed, "whose files are gone was", "whose files are gone were")
            output.result(f"{were} taken out of the index.")
        if report.pending:
            wait = output.counted(report.pending, "waits", "wait")
            output.result(f"{wait} for an embedder. {report.reason or ''}".rstrip())
        if heard:
            by = f" by {heard.model}" if heard.model else ""
            output.result(f"{output.clips(heard.transcribed)} transcribed{by}.")
            if heard.rejected:
                output.result(
                    f"{heard.rejected} with words that are more likely invented; those are not searched."
                )
            if heard.pending:
                wait = output.counted(heard.pending, "waits", "wait")
                output.result(f"{wait} for a transcript. {heard.reason}")
        if spaced:
            output.result(f"{output.clips(spaced.added)} heard by {spaced.model}, {spaced.clips} in all.")
    if broken:
        raise click.exceptions.Exit(1)
