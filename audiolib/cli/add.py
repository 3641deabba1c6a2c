"""`audiolib add`: audio of one's own into the library."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiolib.cli import output
from audiolib.cli.imports import Tally, quiet_libraries
from audiolib.cli.options import json_option, library_option, open_library
from audiolib.errors import describe

if TYPE_CHECKING:
    from audiolib import AudioLibrary

_FEW = 3  # of which each is told


@click.command("add", short_help="Import sound files and folders.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--reference", is_flag=True, help="Leave the files where they are; keep only their paths.")
@click.option("--prompt", help="Words for what they sound like.")
@click.option("--title", help="Instead of the titles inside the files, or their names.")
@click.option("--tag", "tags", metavar="WORD", multiple=True, help="A label; may be repeated.")
@click.option("--transcribe", is_flag=True, help="Run Whisper over what was added.")
@click.option("--whisper", metavar="NAME", help="The Whisper model; implies --transcribe.")
@library_option
@json_option
def add_command(
    paths: tuple[Path, ...],
    reference: bool,
    prompt: str | None,
    title: str | None,
    tags: tuple[str, ...],
    transcribe: bool,
    whisper: str | None,
    library_path: Path | None,
    as_json: bool,
) -> None:
    """Import sound files, and the sound files in folders: WAV, FLAC, OGG, MP3, AIFF.

    A sound that is there already is not added twice. After Ctrl+C the same command goes on where it was.
    """
    library = open_library(library_path)
    few = len(paths) <= _FEW and not any(path.is_dir() for path in paths)
    tally = Tally(as_json=as_json, clips=few, present=few)
    try:
        with quiet_libraries(), output.bar("adding", "file") as update:
            for outcome in library.add_all(
                paths, reference=reference, prompt=prompt, title=title, tags=tags, progress=update
            ):
                tally.tell(outcome)
    except KeyboardInterrupt:
        tally.notices()
        raise KeyboardInterrupt(
            "What was read so far is stored and can be found. The same command goes on where this one ended."
        ) from None
    if tally.added and (transcribe or whisper):  # not unasked: it takes seconds a clip
        _listen(library, tally.added, whisper)
    tally.finish()
    if not as_json and few and not tally.failed:
        output.hint("Hear it: audiolib play last")


def _listen(library: "AudioLibrary", added: list[str], whisper: str | None) -> None:
    """Transcribe what was added; what goes wrong here is told and leaves it added."""
    try:
        with quiet_libraries(), output.bar("listening", "clip") as update:
            heard = library.transcribe(whisper=whisper, ids=added, progress=update)
    except KeyboardInterrupt:
        later = "`audiolib index --transcribe` listens to the rest."
        raise KeyboardInterrupt(f"The files were added. {later}") from None
    except Exception as error:
        failure = describe(error)
        if failure is None:
            raise
        output.notice(f"The files were added, and not listened to: {failure.message}")
        return
    for sentence in heard.broken:
        output.notice(sentence)
    if heard.pending and heard.reason and heard.reason not in heard.broken:
        wait = output.counted(heard.pending, "of them waits", "of them wait")
        output.notice(f"{wait} for a transcript. {heard.reason}")
