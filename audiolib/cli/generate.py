"""`audiolib generate`: words in, clips out."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audiolib.cli import output
from audiolib.cli.batches import BatchRun, batch_options, read_lines
from audiolib.cli.best import Choice, best_options, make_best
from audiolib.cli.conditioning import conditioning_options
from audiolib.cli.filters import reuse_filter_options
from audiolib.cli.options import (
    bits_option,
    json_option,
    library_option,
    open_library,
    print_clip,
    read_prompt,
    sampling_options,
)
from audiolib.cli.sound import sound_options

if TYPE_CHECKING:
    from audiolib import (
        AudioLibrary,
        BatchLine,
        ClipProgress,
        Destination,
        Filters,
        GenerationRequest,
        OnProgress,
        ReusedOrMade,
    )


_DEFAULT_SCORE = "default"


def _score(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Read the score of --reuse, which may take the prompt for its own."""
    if value is None:
        return None
    from audiolib import REUSE_SCORE

    try:
        score = REUSE_SCORE if value == _DEFAULT_SCORE else float(value)
    except ValueError:
        raise click.UsageError(
            f"--reuse takes a number, not {value!r}. Put the prompt before it, or write --reuse={REUSE_SCORE:g}.",
            context,
        ) from None
    if not 0 <= score <= 1:
        raise click.BadParameter(f"{value} is no score from 0 to 1.", context, parameter)
    return score


@click.command("generate", short_help="Make music from words and store it.")
@click.argument("prompt", required=False)
@click.option("--duration", type=float, help="Length in seconds.  [default: 10]")
@click.option("--max-steps", type=int, help="Decoder steps instead of a duration; 50 are one second.")
@conditioning_options
@bits_option
@click.option("--seed", type=int, help="Where chance starts from; drawn fresh and recorded by default.")
@batch_options
@best_options
@sampling_options
@click.option(
    "--output", "file", type=click.Path(path_type=Path), help="Write the clip to this file as well."
)
@click.option(
    "--output-dir", type=click.Path(path_type=Path), help="Write numbered files to this folder as well."
)
@click.option("--prefix", help="What numbered files start with: lofi gives lofi_001.wav.")
@click.option(
    "--format", "audio_format", type=click.Choice(["wav", "flac", "ogg", "mp3"]), help="File format."
)
@sound_options
@click.option("--tag", "tags", multiple=True, help="Label for the new clips; may be repeated.")
@click.option(
    "--no-index", is_flag=True, help="Keep the clip out of the index; with --output, of the library."
)
@click.option("--play", is_flag=True, help="Play the clip while it is made; several when each is there.")
@click.option(
    "--reuse",
    is_flag=False,
    flag_value=_DEFAULT_SCORE,
    callback=_score,
    metavar="[SCORE]",
    help="Take a clip that is there if its prompt is this near (0.95 where no SCORE is given; 1 is the same words) "
    "and length, model and the options below fit; write --reuse=0.9 before a prompt.",
)
@reuse_filter_options
@library_option
@json_option
def generate_command(
    prompt: str | None,
    from_file: Path | None,
    count: int,
    again: bool,
    choice: Choice | None,
    seed: int | None,
    file: Path | None,
    output_dir: Path | None,
    prefix: str | None,
    audio_format: str | None,
    no_index: bool,
    play: bool,
    reuse: float | None,
    filters: "Filters",
    library_path: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make music from PROMPT and store it in the library; - reads the prompt from standard input."""
    destination = _destination(file, output_dir, prefix)
    wanted_format = destination.audio_format(audio_format) if destination else audio_format
    options["audio_format"] = wanted_format or "wav"
    lines = _lines(prompt, from_file, count, seed, options)
    _check_usage(
        clips=len(lines) if choice is None else choice.keep,
        from_file=from_file is not None,
        own_output=any(line.output is not None for line in lines),
        again=again,
        choice=choice,
        file=file,
        reuse=reuse,
        filters=filters,
        no_index=no_index,
    )
    library = open_library(library_path)
    if choice is not None:
        make_best(
            library,
            choice,
            prompt=lines[0].request.prompt,
            count=count,
            index=not no_index,
            destination=destination,
            as_json=as_json,
            play=play,
            options={**options, "seed": seed},
        )
        return
    if reuse is None and (from_file is not None or len(lines) > 1):
        run = BatchRun(
            library, lines, destination=destination, index=not no_index, as_json=as_json, play=play
        )
        run.run(again=again)
        return
    requests = [line.request for line in lines]
    formats = _formats(lines, destination, wanted_format)
    source = _Source(reuse=reuse, filters=filters, audio_formats=formats, index=not no_index, play=play)
    for found, written, took in _make(library, requests, destination, source):
        if as_json:
            # A numbered copy's name is known nowhere else.
            copied = {} if written is None else {"output": os.path.abspath(written)}
            document = found.clip.to_json() if reuse is None else found.to_json()
            output.json_line({**document, **copied})
        else:
            _print(found, written, took)
    if not as_json:
        _hint(requests[-1], stored=destination is None or not no_index)


def _check_usage(
    *,
    clips: int,
    from_file: bool,
    own_output: bool,
    again: bool,
    choice: Choice | None,
    file: Path | None,
    reuse: float | None,
    filters: "Filters",
    no_index: bool,
) -> None:
    """Refuse options that do not go together."""
    if choice is not None and (from_file or reuse is not None):
        raise click.UsageError(
            "--keep chooses among the clips of one prompt, without --from-file and --reuse."
        )
    if again and (not from_file or reuse is not None):
        raise click.UsageError("--again makes all clips of a file, so it goes with --from-file alone.")
    if file is not None and clips > 1:
        raise click.UsageError("--output takes one clip. Use --output-dir with --prefix for several.")
    if reuse is None and filters:
        raise click.UsageError(
            "--rating, --loudness and the like choose among clips, so they need --reuse. "
            "The loudness to normalize to is --lufs."
        )
    if reuse is not None and no_index:
        raise click.UsageError("--reuse looks into the library, so --no-index cannot be added.")
    if reuse is not None and own_output:
        raise click.UsageError(
            "--reuse copies no lines to an 'output' of their own. Use --output-dir, or leave it out."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where clips come from: made, or taken where there is one."""

    reuse: float | None
    filters: "Filters"
    audio_formats: "Sequence[str | None]"
    index: bool
    play: bool


def _destination(file: Path | None, output_dir: Path | None, prefix: str | None) -> "Destination | None":
    from audiolib import Destination

    if file is not None and (output_dir is not None or prefix is not None):
        raise click.UsageError("--output names the file, so --output-dir and --prefix cannot be added.")
    if file is not None:
        return Destination(file=file)
    if output_dir is not None or prefix is not None:
        return Destination(folder=output_dir or Path(), prefix=prefix)
    return None


def _formats(
    lines: "Sequence[BatchLine]", destination: "Destination | None", wanted: str | None
) -> list[str | None]:
    """The format that each line's clip must have, its own or the command's; `None` is any."""
    own = [line.audio_format or wanted for line in lines]
    return [destination.audio_format(each) if destination else each for each in own]


def _lines(
    prompt: str | None, from_file: Path | None, count: int, seed: int | None, options: dict[str, Any]
) -> "list[BatchLine]":
    from audiolib import BatchLine, GenerationRequest

    if (prompt is None) == (from_file is None):
        raise click.UsageError('Give a prompt, like "calm piano", or --from-file.')
    if from_file is not None:
        return read_lines(from_file, count=count, seed=seed, options=options)
    text = read_prompt(prompt or "")
    seeds = [None if seed is None else seed + number for number in range(count)]
    return [BatchLine(request=GenerationRequest(prompt=text, seed=each, **options)) for each in seeds]


def _make(
    library: "AudioLibrary",
    requests: "Sequence[GenerationRequest]",
    destination: "Destination | None",
    source: _Source,
) -> "Iterator[tuple[ReusedOrMade, Path | None, float]]":
    """Clips as they are safely stored, with the file written besides and the seconds that it took."""
    bars = _Bars()
    stored = 0
    copy = destination is not None and source.index
    try:
        start = time.perf_counter()
        for found in _clips(library, requests, destination, source, bars.show):
            written = library.copy_out(found.clip, destination) if destination is not None and copy else None
            bars.close()
            stored += 1
            yield found, written, time.perf_counter() - start
            start = time.perf_counter()
    except KeyboardInterrupt:
        kept = "Nothing was stored." if not stored else f"{stored} of {len(requests)} clips are stored."
        raise KeyboardInterrupt(kept) from None
    finally:
        bars.close()


def _clips(
    library: "AudioLibrary",
    requests: "Sequence[GenerationRequest]",
    destination: "Destination | None",
    source: _Source,
    progress: "OnProgress",
) -> "Iterator[ReusedOrMade]":
    from audiolib import ReusedOrMade

    if destination is not None and not source.index:
        made = library.render_all(requests, destination, play=source.play, progress=progress)
        yield from (ReusedOrMade(clip=clip, score=None) for clip in made)
        return
    if destination is not None:
        library.check_requests(requests)
        destination.check()
    if source.reuse is None:
        made = library.generate_all(requests, index=source.index, play=source.play, progress=progress)
        yield from (ReusedOrMade(clip=clip, score=None) for clip in made)
        return
    yield from library.reuse_or_generate(
        requests,
        min_score=source.reuse,
        filters=source.filters,
        audio_format=source.audio_formats,
        play=source.play,
        progress=progress,
    )


class _Bars:
    """A bar for each clip."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._number = 0
        self._update: Any = None

    def show(self, at: "ClipProgress") -> None:
        if at.number != self._number:
            self.close()
            self._number = at.number
            label = at.prompt if at.clips == 1 else f"{at.number}/{at.clips} {at.prompt}"
            self._update = self._stack.enter_context(output.bar(label, "step"))
        self._update(at.done, at.total)

    def close(self) -> None:
        self._stack.close()


def _print(found: "ReusedOrMade", written: Path | None, took: float) -> None:
    clip = found.clip
    how = f"in {took:.1f} s" if found.score is None else f"that was there (prompt {found.score:.2f})"
    details = f"{output.seconds(clip.duration)} of music {how} · seed {clip.seed} · {clip.model}"
    print_clip(clip, details=details)
    if written is not None:
        output.result(f"  copied to {output.short_path(written)}")


def _hint(request: "GenerationRequest", *, stored: bool) -> None:
    if stored:
        words = " ".join(output.plain(request.prompt).replace('"', "").split()[:4])
        output.hint(f'Hear it: audiolib play last   Find it: audiolib search "{words}"')
