"""Many clips at once: the lines of a file, each made once, whatever happens on the way."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Unpack

from audiolib.batches import by_batch, reason_of
from audiolib.clip import Clip
from audiolib.errors import ClipNotFoundError, InvalidInputError
from audiolib.facade.base import LibraryBase
from audiolib.folder import LAST
from audiolib.lines import BatchOutcome, clips_of_lines, line_keys
from audiolib.outputs import Destination
from audiolib.progress import OnProgress, shifted
from audiolib.promptfiles import BatchLine, read_prompt_file
from audiolib.requests import GenerationOptions, GenerationRequest
from audiolib.sidecars import Sidecar


class Batching(LibraryBase):
    """Files of prompts in, clips out."""

    @staticmethod
    def read_prompts(
        source: Path | bytes, *, count: int = 1, **options: Unpack[GenerationOptions]
    ) -> list[BatchLine]:
        """Read a file of prompts for `generate_batch`; see `audiolib.promptfiles.read_prompt_file`.

        Args:
            source: The file, or its content.
            count: Clips of each line that says nothing else.
            **options: For lines that say nothing else; seeds count up from the one that is given.

        Raises:
            InvalidInputError: It holds no prompts, or a line makes no sense; the line is named.
            OSError: It cannot be read.
        """
        return read_prompt_file(source, count=count, **options)

    def generate_from_file(
        self,
        path: Path,
        *,
        count: int = 1,
        index: bool = True,
        again: bool = False,
        progress: OnProgress | None = None,
        **options: Unpack[GenerationOptions],
    ) -> Iterator[BatchOutcome]:
        """Make the clips that a file asks for and that are not there yet; see `generate_batch`.

        Args:
            path: Text with a prompt a line, or JSON lines.
            count: Clips of each line that says nothing else.
            index: Make each searchable at once.
            again: Make them all anew, also those that are there.
            progress: Called after every step.
            **options: For lines that say nothing else.

        Raises:
            InvalidInputError: A line makes no sense; nothing was made.
        """
        lines = self.read_prompts(path, count=count, **options)
        return self.generate_batch(lines, index=index, again=again, progress=progress)

    def generate_batch(
        self,
        lines: Sequence[BatchLine],
        *,
        index: bool = True,
        again: bool = False,
        progress: OnProgress | None = None,
    ) -> Iterator[BatchOutcome]:
        """Make clips, as many together as memory allows, and store each as soon as it is done.

        A line of a file that this library has a clip of is not made again: one with the same prompt, options and
        weights, and the same seed where one was asked for. So a run that was cut off, in whatever way, goes on where it
        was. A clip that fails does not stop the others. Outcomes come in the order in which they are there: those that
        were there first, the others by batch.

        Args:
            lines: What to make; all are checked before anything is made.
            index: Make each searchable at once.
            again: Make all of them anew.
            progress: Called after every step.

        Raises:
            InvalidInputError: A line makes no sense; nothing was made.
            ModelNotFoundError: A model is not on this machine; nothing was made.
            LibraryError: The library cannot be used.
            OSError: A clip could not be stored, as on a full disk. The same call later makes what is missing.
        """
        checked = self.check_batch(lines)
        self._studio.prepare_to_store()
        keys = self._keys(lines, checked)
        there = {} if again else self._there([key for key in keys if key is not None], index=index)
        missing = []
        for number, key in enumerate(keys):
            if key in there:
                yield BatchOutcome(line=lines[number], status="present", clip=there[key].clip)
            else:
                missing.append(number)
        if not missing:
            return
        order = [missing[place] for place in by_batch([checked[number] for number in missing])]
        failures: list[BatchOutcome] = []
        report = shifted(progress, len(lines) - len(missing), len(lines))
        stored = self._studio.store_all(
            [checked[number] for number in order],
            index=index,
            progress=report,
            lines=[keys[number] for number in order],
            failed=_collector(failures, [lines[number] for number in order]),
        )
        yield from _outcomes(stored, failures, [lines[number] for number in order])

    def render_batch(
        self,
        lines: Sequence[BatchLine],
        destination: Destination | None,
        *,
        progress: OnProgress | None = None,
    ) -> Iterator[BatchOutcome]:
        """Make clips as plain files, with no library at all; nothing remembers which are done.

        Args:
            lines: What to make; all are checked before anything is made.
            destination: Where those go that name no output of their own.
            progress: Called after every step.

        Raises:
            InvalidInputError: As for `generate_batch`, and so for the other errors; or a line has nowhere to go.
        """
        checked = self.check_batch(lines, destination)
        order = by_batch(checked)
        places = []
        for number in order:
            line = lines[number]
            place = _place(line, destination)
            if place is None:
                raise InvalidInputError(f"{_where(line)}there is no file or folder to write to.")
            places.append(place)
        ordered, failures = [lines[number] for number in order], list[BatchOutcome]()
        written = self._studio.write_all(
            [checked[number] for number in order],
            places,
            progress=progress,
            failed=_collector(failures, ordered),
        )
        yield from _outcomes(written, failures, ordered)

    def check_batch(
        self, lines: Sequence[BatchLine], destination: Destination | None = None
    ) -> list[GenerationRequest]:
        """Return the requests of lines, cleaned, before anything is made or written.

        Args:
            lines: What is to be made.
            destination: Where those go, or copies of them, that name no output of their own.

        Raises:
            InvalidInputError: Something makes no sense; the line is named.
            ModelNotFoundError: A model is not on this machine.
        """
        if not lines:
            raise InvalidInputError("There is nothing to generate. Give at least one prompt.")
        from generation.errors import AudioError

        checked: list[GenerationRequest] = []
        found: set[object] = set()
        for line in lines:
            try:
                checked.append(self._studio.check(line.request, found))
                _check_last(line, checked[-1])
            except (ValueError, AudioError, ClipNotFoundError) as error:
                raise InvalidInputError(f"{_where(line)}{error}") from error
        _check_places(lines, checked, destination)
        return checked

    def _there(self, keys: Sequence[str], *, index: bool) -> dict[str, Sidecar]:
        """The clips of earlier runs; one whose row a killed process could not write any more gets it now."""
        if not keys:
            return {}
        there = clips_of_lines(self._folder, keys)
        if index and there and self._catalogue.missing():
            known = self._catalogue.index.ids()
            if behind := [sidecar for sidecar in there.values() if sidecar.clip.id not in known]:
                self._catalogue.add(behind)
        return there

    def _keys(self, lines: Sequence[BatchLine], checked: Sequence[GenerationRequest]) -> list[str | None]:
        """The lines' names in this library; `None` for what is from no file."""
        from generation.checkpoints import weight_digest

        known: dict[str | None, str] = {}
        digests = []
        for request in checked:
            names = (request.model,) if isinstance(request.model, str | None) else request.model
            for name in names:
                if name not in known:
                    known[name] = weight_digest(self._composer.find(name).path)
            digests.append("+".join(known[name] for name in names))
        seeded = [line.request.seed is not None for line in lines]
        keys = line_keys(checked, seeded=seeded, digests=digests)
        return [None if line.number is None else key for line, key in zip(lines, keys, strict=True)]


def _where(line: BatchLine) -> str:
    return "" if line.number is None else f"Line {line.number}: "


def _check_last(line: BatchLine, settled: GenerationRequest) -> None:
    """Refuse `last` in a file: in the next run, which is to make what is missing, it would be another clip."""
    for name in ("continue_from", "melody"):
        if line.number is not None and getattr(line.request, name) == LAST:
            raise InvalidInputError(
                f"`{LAST}` is another clip when this is run again. Write {getattr(settled, name)} instead."
            )


def _place(line: BatchLine, destination: Destination | None) -> Destination | None:
    return destination if line.output is None else Destination(file=line.output)


def _check_places(
    lines: Sequence[BatchLine], checked: Sequence[GenerationRequest], destination: Destination | None
) -> None:
    """Refuse a file that two or no clips would be written to, and one whose suffix is another format's."""
    written: dict[str, BatchLine] = {}
    for line, request in zip(lines, checked, strict=True):
        place = _place(line, destination)
        if place is None or place.file is None:
            continue
        try:
            place.audio_format(request.audio_format)
        except InvalidInputError as error:
            raise InvalidInputError(f"{_where(line)}{error}") from error
        path = os.path.realpath(place.file)
        if path in written:
            other = written[path].number
            raise InvalidInputError(
                f"{_where(line)}{place.file} is written by {'another clip' if other is None else f'line {other}'} "
                "too. Give each its own."
            )
        written[path] = line
    file = None if destination is None else destination.file
    if file is not None and os.path.realpath(file) not in written:
        line = lines[0]
        raise InvalidInputError(
            f"{_where(line)}its own 'output' is {line.output}, so nothing would be written to {file}. "
            "Leave one of them out."
        )


def _collector(failures: list[BatchOutcome], lines: Sequence[BatchLine]) -> Callable[[int, Exception], None]:
    def collect(number: int, error: Exception) -> None:
        failures.append(BatchOutcome(line=lines[number], status="failed", reason=reason_of(error)))

    return collect


def _outcomes(
    made: Iterator[tuple[int, Clip]], failures: list[BatchOutcome], lines: Sequence[BatchLine]
) -> Iterator[BatchOutcome]:
    """What is made and what failed, as it comes; what failed is told before an error that ends all."""
    try:
        for number, clip in made:
            while failures:
                yield failures.pop(0)
            yield BatchOutcome(line=lines[number], status="made", clip=clip)
    except (Exception, KeyboardInterrupt):
        yield from failures
        raise
    yield from failures
