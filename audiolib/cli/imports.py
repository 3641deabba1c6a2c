"""What `add` and `watch` share: what came of each file, told to people and programs."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from audiolib.cli import output
from audiolib.cli.options import print_clip

if TYPE_CHECKING:
    from audiolib import Clip, ImportOutcome

_WORDS = {"added": "added", "present": "already there", "skipped": "skipped", "failed": "failed"}


class Tally:
    """Counts outcomes and tells them.

    Args:
        as_json: Print a JSON object for each, at once.
        clips: Tell of each clip that was added, at once.
        present: Tell of each file that was there already.
    """

    def __init__(self, *, as_json: bool, clips: bool, present: bool) -> None:
        self._as_json = as_json
        self._clips = clips
        self._present = present
        self._counts: Counter[str] = Counter()
        self.added: list[str] = []
        """Ids of the new clips."""
        self._notices: list[str] = []

    @property
    def failed(self) -> bool:
        """Whether a file could not be taken in."""
        return self._counts["failed"] > 0

    @property
    def total(self) -> int:
        """How many files were told of."""
        return self._counts.total()

    def tell(self, outcome: "ImportOutcome") -> None:
        """Take an outcome in; as JSON its line is the word that the file is safe."""
        self._counts[outcome.status] += 1
        if outcome.clip is not None:
            self.added.append(outcome.clip.id)
        if self._as_json:
            output.json_line(outcome.to_json())
        elif outcome.clip is not None and self._clips:
            print_clip(outcome.clip, details=_details(outcome.clip))
        elif outcome.status == "present" and self._present:
            output.result(f"{_name(outcome)}: already there as {outcome.id}")
        if sentence := outcome.reason or outcome.note:
            self._notices.append(f"{_name(outcome)}: {output.plain(sentence)}")

    def notices(self) -> None:
        """Say what is to be said of single files; apart from `tell`, for a bar may be on the line meanwhile."""
        for sentence in self._notices:
            output.notice(sentence)
        self._notices.clear()

    def summary(self) -> str:
        """Return the counts as a sentence."""
        said = [f"{self._counts[status]:,} {word}" for status, word in _WORDS.items() if self._counts[status]]
        return f"{', '.join(said)}." if said else "No sound files were found."

    def finish(self) -> None:
        """Say the counts, and end with the exit code of a failure if there was one."""
        self.notices()
        if not self._as_json:
            output.result(self.summary())
        if self.failed:
            raise click.exceptions.Exit(1)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what C libraries write to stderr off the terminal: decoders comment on every odd byte there."""
    if os.environ.get("AUDIOLIB_DEBUG", "") not in ("", "0"):
        yield
        return
    ours = sys.stderr
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        if _is_stderr(ours):
            sys.stderr = os.fdopen(
                os.dup(saved), "w", encoding="utf-8", errors="backslashreplace", buffering=1
            )
        yield
    finally:
        if sys.stderr is not ours:
            sys.stderr.close()
            sys.stderr = ours
        os.dup2(saved, 2)
        os.close(saved)


def _is_stderr(stream: Any) -> bool:
    try:
        return bool(stream.fileno() == 2)
    except (AttributeError, OSError, ValueError):  # tests put other things there
        return False


def _name(outcome: "ImportOutcome") -> str:
    return output.plain(output.short_path(outcome.source))


def _details(clip: "Clip") -> str:
    parts = [output.seconds(clip.duration)]
    parts += [] if clip.tempo_bpm is None else [f"{clip.tempo_bpm:.0f} BPM"]
    parts += [clip.key] if clip.key else []
    parts += [] if clip.loudness_lufs is None else [f"{clip.loudness_lufs:.1f} LUFS"]
    return " · ".join([*parts, clip.kind])
