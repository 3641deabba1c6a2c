"""`musicgen-cli`: the flags of the first sketch; it writes files and knows no library."""

import time
from pathlib import Path
from typing import Any

import click

from audiolib.cli import output
from audiolib.cli.app import QuietCommand, version_option
from audiolib.cli.options import model_option, open_library, read_prompt, sampling_options
from audiolib.cli.sound import sound_options


@click.command(
    "musicgen-cli",
    cls=QuietCommand,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--prompt", required=True, help="The words to make music from; - reads them from standard input."
)
@click.option(
    "--output", "file", type=click.Path(path_type=Path), help="The file to write: .wav, .flac, .ogg, .mp3."
)
@click.option("--output-dir", type=click.Path(path_type=Path), help="Folder for a numbered file instead.")
@click.option("--prefix", help="What numbered files start with: lofi gives lofi_001.wav.")
@click.option("--max-steps", type=int, help="Decoder steps instead of a duration; 50 are one second.")
@click.option("--duration", type=float, help="Length in seconds.  [default: 10]")
@model_option
@click.option("--seed", type=int, help="Where chance starts from; drawn fresh by default.")
@sampling_options
@sound_options
@version_option
def command(
    prompt: str, file: Path | None, output_dir: Path | None, prefix: str | None, **options: Any
) -> None:
    """Make a music file from a sentence."""
    from audiolib import Destination, GenerationRequest

    if file is not None and (output_dir is not None or prefix is not None):
        raise click.UsageError("--output names the file, so --output-dir and --prefix cannot be added.")
    if file is None and output_dir is None and prefix is None:
        raise click.UsageError("Say where to write: --output FILE, or --output-dir DIR with --prefix NAME.")
    destination = Destination(file=file) if file else Destination(folder=output_dir or Path(), prefix=prefix)
    options["audio_format"] = destination.audio_format(None)
    request = GenerationRequest(prompt=read_prompt(prompt), **options)
    start = time.perf_counter()
    with output.bar(request.prompt, "step") as update:
        (clip,) = open_library(None).render_all(
            [request], destination, progress=lambda at: update(at.done, at.total)
        )
    took = time.perf_counter() - start
    output.result(output.short_path(clip.path))
    output.hint(
        f"{output.seconds(clip.duration)} of music in {took:.1f} s, seed {clip.seed}, model {clip.model}"
    )


def main() -> None:
    """Run the command and exit with its code."""
    command.main()
