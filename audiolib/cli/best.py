"""Options and output of `generate` for the best of several clips."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from audiolib.cli import output
from audiolib.cli.batches import hear
from audiolib.cli.options import print_clip

if TYPE_CHECKING:
    from audiolib import AudioLibrary, ClipProgress, Destination, Take

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--keep", type=click.IntRange(min=1), help="Of the --count clips store only so many, the best."
    ),
    click.option(
        "--rank-by",
        type=click.Choice(["clap", "descriptor"]),
        help="What is best: the sound that fits the prompt as a CLAP model hears it, or what --want asks for.",
    ),
    click.option(
        "--want",
        multiple=True,
        metavar="WISHES",
        help="'bpm=120, key=C major'; also loudness, brightness, energy, onsets, percussive.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How many of several clips are kept, ranked by what, and what is wanted."""

    keep: int
    rank_by: Any
    want: str | None


def best_options(command: Command) -> Command:
    """Add the options that choose among clips to a command, which gets them as one value, `choice`."""

    @wraps(command)
    def run(*args: Any, keep: int | None, rank_by: str | None, want: tuple[str, ...], **values: Any) -> Any:
        choice = None if keep is None else Choice(keep=keep, rank_by=rank_by, want=", ".join(want) or None)
        if choice is None and (rank_by is not None or want):
            raise click.UsageError("--rank-by and --want choose among clips, so they need --keep.")
        return command(*args, choice=choice, **values)

    wrapped: Any = run
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]  # click's decorators give back what they got


def make_best(
    library: "AudioLibrary",
    choice: Choice,
    *,
    prompt: str,
    count: int,
    index: bool,
    destination: "Destination | None",
    as_json: bool,
    play: bool,
    options: dict[str, Any],
) -> None:
    """Make clips, keep the best and tell of all."""
    bar = output.ClipsBar(count)
    plain = destination if destination is not None and not index else None
    if destination is not None:
        destination.check()

    def show(at: "ClipProgress") -> None:
        bar.show(at.number - 1 + at.together * at.done / max(1, at.total))

    try:
        takes = library.generate_best(
            prompt,
            count=count,
            keep=choice.keep,
            rank_by=choice.rank_by,
            want=choice.want,
            index=index,
            destination=plain,
            progress=show,
            **options,
        )
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(str(error) or "Nothing was stored.") from None
    finally:
        bar.close()
    for take in takes:
        written = None
        if take.clip is not None and destination is not None and plain is None:
            written = library.copy_out(take.clip, destination)
        if as_json:
            copied = {} if written is None else {"output": os.path.abspath(written)}
            output.json_line({**take.to_json(), **copied})
        elif take.clip is not None:
            print_clip(take.clip, details=_details(take))
            if written is not None:
                output.result(f"  copied to {output.short_path(written)}")
        if play and take.clip is not None:
            play = hear(library, take.clip)
    if not as_json:
        output.result(_summary(takes))


def _details(take: "Take") -> str:
    parts = [
        f"score {take.score.value:.2f}",
        *(f"{name} {near:.2f}" for name, near in take.score.parts.items()),
    ]
    length = [] if take.clip is None else [f"{output.seconds(take.clip.duration)} of music"]
    return " · ".join([*length, f"seed {take.seed}", *parts])


def _summary(takes: "Sequence[Take]") -> str:
    dropped = [take.score.value for take in takes if take.clip is None]
    kept = f"{len(takes) - len(dropped)} of {output.clips(len(takes))} kept."
    return (
        f"{kept} Scores of the others: {', '.join(f'{value:.2f}' for value in dropped)}." if dropped else kept
    )
