"""A folder that is kept imported: looked through again and again, what is new and whole is taken in.

Looked at, not listened to: the system's notices of changes do not come from network shares and mounted containers,
are lost when there are too many, and say nothing of when a file is whole. Looking does, by two looks that see the
same size and time, and costs 30 ms for a thousand files.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from audiolib.errors import InvalidInputError, LibraryBusyError
from audiolib.importing.run import Importer
from audiolib.importing.scanning import Found, LeftOut, is_gone, scan
from audiolib.importing.values import ImportOptions, ImportOutcome

INTERVAL: Final = 2.0
"""Seconds between two looks."""

_log = logging.getLogger(__name__)
_Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one look through the folder saw: stamps by path, what may be read now, whether to look again soon."""

    stamps: dict[Path, _Stamp]
    ready: list[Found | LeftOut]
    unsettled: bool


class Watcher:
    """Keeps one folder imported.

    Args:
        folder: The folder that is watched.
        library: The library's folder.
        importer: Takes the files in.
        options: How.
        interval: Seconds between two looks.

    Raises:
        InvalidInputError: The folder is none, or is the library.
    """

    def __init__(
        self,
        folder: Path,
        *,
        library: Path,
        importer: Importer,
        options: ImportOptions,
        interval: float = INTERVAL,
    ) -> None:
        if not folder.is_dir():
            raise InvalidInputError(f"There is no folder {folder} to watch. Make it, or name another one.")
        if folder.resolve() == library.resolve():
            raise InvalidInputError(
                f"{folder} is the library itself. Watch the folder where new audio comes."
            )
        if not interval > 0:
            raise InvalidInputError(f"An interval of {interval:g} seconds makes no sense. Use one above 0.")
        self._folder = folder
        self._library = library
        self._importer = importer
        self._options = options
        self._interval = interval
        self._seen: dict[Path, _Stamp] = {}
        self._done: dict[Path, _Stamp] = {}
        self._told: set[tuple[Path, str]] = set()
        self._stop = threading.Event()

    def stop(self) -> None:
        """End `run` at its next pause; for another thread."""
        self._stop.set()

    def run(self, *, once: bool = False) -> Iterator[ImportOutcome]:
        """Take in what is there and what comes, until `stop`.

        Args:
            once: End when all that is there now was taken in.

        Raises:
            LibraryBusyError: With `once`, another process holds the lock.
            OSError: The library cannot be written.
        """
        here = True
        while True:
            if self._folder.is_dir() != here:
                here = not here
                say = "is back." if here else "is gone; it is waited for."
                _log.warning("%s %s", self._folder, say)
            look = self._look()
            self._seen = look.stamps
            self._done = {path: stamp for path, stamp in self._done.items() if path in look.stamps}
            yield from self._take(look.ready, once=once)
            if (once and not look.unsettled) or self._stop.wait(self._interval):
                return

    def _look(self) -> _Look:
        stamps: dict[Path, _Stamp] = {}
        ready: list[Found | LeftOut] = []
        unsettled = False
        for item in scan([self._folder], library=self._library) if self._folder.is_dir() else ():
            if isinstance(item, LeftOut):
                if (item.path, item.reason) not in self._told and item.path != self._folder:
                    self._told.add((item.path, item.reason))
                    ready.append(item)
                continue
            stamps[item.path] = stamp = (item.size, item.mtime_ns)
            if self._done.get(item.path) == stamp:
                continue
            # An empty file is one that something is about to be written to.
            if self._seen.get(item.path) == stamp and item.size:
                ready.append(item)
            else:
                unsettled = unsettled or self._seen.get(item.path) != stamp
        return _Look(stamps=stamps, ready=ready, unsettled=unsettled)

    def _take(self, ready: Sequence[Found | LeftOut], *, once: bool) -> Iterator[ImportOutcome]:
        if not ready:
            return
        stamps = {item.path: (item.size, item.mtime_ns) for item in ready if isinstance(item, Found)}
        try:
            for outcome in self._importer.take(ready, self._options):
                if outcome.source in stamps:
                    if outcome.status == "failed" and is_gone(outcome.source):
                        continue  # no look will see it, unless it comes back
                    self._done[outcome.source] = stamps[outcome.source]
                yield outcome
        except LibraryBusyError as error:  # the next look takes the rest
            if once:
                raise
            _log.warning("%s", error)
