"""Options and output of `generate` for many clips: files of prompts, one bar for all, what failed at the end."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from audiolib.cli import output
from audiolib.cli.options import print_clip

if TYPE_CHECKING:
    from audiolib import AudioLibrary, BatchLine, BatchOutcome, Clip, ClipProgress, Destination

Command = TypeVar("Command", bound=Callable[..., Any])

_FEW_FAILURES = 20  # of which each is told
_OPTIONS = (
    click.option(
        "--count", type=click.IntRange(min=1), default=1, help="Clips for each prompt, seeds counting up."
    ),
    click.option(
        "--from-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
        help="Read prompts from a text file, one a line, or from JSON lines (.jsonl); - is standard input. Clips that "
        "are there already are not made again.",
    ),
    click.option("--again", is_flag=True, help="Make all of the file's clips, also those that are there."),
)


def batch_options(command: Command) -> Command:
    """Add the options that ask for many clips."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_lines(
    from_file: Path, *, count: int, seed: int | None, options: dict[str, Any]
) -> "list[BatchLine]":
    """Read a file of prompts; the options are for lines that say nothing else."""
    from audiolib import AudioLibrary

    source = sys.stdin.buffer.read() if str(from_file) == "-" else from_file
    return AudioLibrary.read_prompts(source, count=count, seed=seed, **options)


class BatchRun:
    """Makes clips and tells of each as soon as it is stored.

    Args:
        library: Where they go.
        lines: What is asked for.
        destination: Where copies go; `None` for none but those that lines ask for.
        index: Make them searchable; with a place to write to, `False` leaves the library out.
        as_json: Print a JSON object for each, at once.
        play: Play each.
    """

    def __init__(
        self,
        library: "AudioLibrary",
        lines: "Sequence[BatchLine]",
        *,
        destination: "Destination | None",
        index: bool,
        as_json: bool,
        play: bool,
    ) -> None:
        self._library = library
        self._lines = lines
        self._destination = destination
        self._index = index
        self._as_json = as_json
        self._play = play
        self._plain = not index and (destination is not None or any(line.output for line in lines))
        self._resumes = not self._plain and lines[0].number is not None
        self._counts: Counter[str] = Counter()
        self._failures: list[BatchOutcome] = []
        self._bar = output.ClipsBar(len(lines))

    def run(self, *, again: bool) -> None:
        """Make the clips.

        Args:
            again: Also those that are there.

        Raises:
            Exit: With code 1 when some could not be made.
        """
        start = time.perf_counter()
        self._resumes &= not again  # which would make all anew once more
        try:
            for outcome in self._outcomes(again):
                self._counts[outcome.status] += 1
                written = self._copied(outcome)
                with self._bar.aside():
                    self._tell(outcome, written)
                self._bar.show(self._counts.total(), done=self._counts.total())
                if self._play and outcome.status == "made" and outcome.clip is not None:
                    self._play = hear(self._library, outcome.clip)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._kept()) from None
        finally:
            self._bar.close()
            for failure in self._failures[:_FEW_FAILURES]:
                output.notice(_sentence(failure))
        self._finish(time.perf_counter() - start)

    def _outcomes(self, again: bool) -> "Iterator[BatchOutcome]":
        if self._plain:
            return self._library.render_batch(self._lines, self._destination, progress=self._show)
        self._library.check_batch(self._lines, self._destination)
        for place in self._places():
            place.check()
        return self._library.generate_batch(self._lines, index=self._index, again=again, progress=self._show)

    def _places(self) -> "list[Destination]":
        from audiolib import Destination

        places = [Destination(file=line.output) for line in self._lines if line.output is not None]
        return places if self._destination is None else [*places, self._destination]

    def _copied(self, outcome: "BatchOutcome") -> Path | None:
        """Copy a clip out where that is asked for; one that was there only to a file that does not hold it."""
        from audiolib import Destination

        own = outcome.line.output
        place = self._destination if own is None else Destination(file=own)
        if self._plain or outcome.clip is None or place is None:
            return None
        if outcome.status == "present" and (place.file is None or place.holds(outcome.clip.sha256)):
            return None
        return self._library.copy_out(outcome.clip, place)

    def _show(self, at: "ClipProgress") -> None:
        self._bar.show(at.number - 1 + at.together * at.done / max(1, at.total))

    def _tell(self, outcome: "BatchOutcome", written: Path | None) -> None:
        if outcome.clip is None:
            self._failures.append(outcome)
        if self._as_json:
            copied = {} if written is None else {"output": os.path.abspath(written)}
            if outcome.clip is not None and outcome.line.number is None:
                output.json_line({**outcome.clip.to_json(), **copied})
            elif outcome.line.number is not None:
                output.json_line({**outcome.to_json(), **copied})
        elif outcome.clip is not None and outcome.status == "made":
            print_clip(outcome.clip, details=_details(outcome.clip))
            if written is not None:
                output.result(f"  copied to {output.short_path(written)}")

    def _kept(self) -> str:
        stored = self._counts["made"] + self._counts["present"]
        if not stored:
            return "Nothing was stored."
        kept = f"{stored:,} of {output.clips(len(self._lines))} are {'written' if self._plain else 'stored'}."
        return f"{kept} The same command goes on where this one ended." if self._resumes else kept

    def _finish(self, took: float) -> None:
        made, present, failed = (self._counts[status] for status in ("made", "present", "failed"))
        if not self._as_json:
            said = [f"{output.clips(made)} in {output.seconds(took)}, {60 * made / took:.1f} a minute."] * (
                made > 0
            )
            said += [f"{output.clips(present)} {'was' if present == 1 else 'were'} there already."] * (
                present > 0
            )
            output.result(" ".join(said))
        if failed:
            how = f"{failed:,} of {output.clips(len(self._lines))} could not be made."
            which = "it" if failed == 1 else "them"
            output.error(f"{how} The same command tries only {which} again." if self._resumes else how)
            raise click.exceptions.Exit(1)


def hear(library: "AudioLibrary", clip: "Clip") -> bool:
    """Play a clip that is stored; where that fails, say so and return `False`: the others need not be tried."""
    from audiolib import AudioError, AudiolibError

    try:
        library.play(clip)
    except (AudiolibError, AudioError) as error:
        output.notice(f"The clip is stored, but could not be played: {error}")
        return False
    return True


def _details(clip: "Clip") -> str:
    return f"{output.seconds(clip.duration)} of music · seed {clip.seed} · {clip.model}"


def _sentence(failure: "BatchOutcome") -> str:
    request, number = failure.line.request, failure.line.number
    seed = "" if request.seed is None else f", seed {request.seed}"
    what = output.plain(request.prompt)
    where = f"{what}{seed}" if number is None else f"Line {number} ({what}{seed})"
    return f"{where}: {output.plain(failure.reason or '')}"
