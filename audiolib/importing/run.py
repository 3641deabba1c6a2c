"""An import from beginning to end: what is known is passed over, the rest is read, stored and indexed in batches."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from audiolib.catalogue import Catalogue
from audiolib.crashpoints import crashpoint
from audiolib.folder import LibraryFolder
from audiolib.importing.known import Digests, KnownSounds
from audiolib.importing.reading import NotAddedError, Stopped, check_sound, hash_file, read_sound
from audiolib.importing.recipes import origin_in
from audiolib.importing.scanning import Found, LeftOut, scan
from audiolib.importing.storing import ReadFile, store
from audiolib.importing.values import ImportOptions, ImportOutcome
from audiolib.requests import Progress
from audiolib.sidecars import Sidecar

_MOST_THREADS: Final = 8
_MOST_WITHOUT_ROWS: Final = 1_000
_BATCH: Final = 64
_BATCH_SECONDS: Final = 2.0  # nobody waits longer for the word that a file is safe

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """A file whose sound the library has, known without decoding it."""

    found: Found
    id: str
    digests: Digests


Reading = Future[ReadFile | Present | LeftOut]
"""A file that is being read."""


class Importer:
    """Takes files into a library.

    Args:
        folder: The library.
        catalogue: Its search index.
    """

    def __init__(self, folder: LibraryFolder, catalogue: Catalogue) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._known = KnownSounds(folder)
        self._stop = threading.Event()

    def add(
        self, paths: Sequence[Path], options: ImportOptions, *, progress: Progress | None = None
    ) -> Iterator[ImportOutcome]:
        """Take in files and folders; each outcome is yielded when it is safe: stored and indexed.

        Args:
            paths: Files and folders.
            options: How they are taken in.
            progress: Called with the files done and the files in all.

        Raises:
            LibraryBusyError: Another process holds the lock.
            OSError: The library cannot be written; what was yielded before is safe.
        """
        items = list(scan(paths, library=self._folder.root))
        yield from self.take(items, options, progress=progress)

    def take(
        self,
        items: Sequence[Found | LeftOut],
        options: ImportOptions,
        *,
        progress: Progress | None = None,
    ) -> Iterator[ImportOutcome]:
        """Take in what a scan found; see `add`.

        Args:
            items: What was found.
            options: How it is taken in.
            progress: Called with the files done and the files in all.
        """
        without_rows = self._known.load()
        if (
            0 < len(without_rows) <= _MOST_WITHOUT_ROWS
        ):  # of a run that was killed; more is a matter for `index`
            self._catalogue.add(without_rows)
        waiting: list[tuple[ImportOutcome, Sidecar | None]] = []
        done, since = 0, time.monotonic()
        try:
            for result in self._outcomes(items, options):
                if not waiting:
                    since = time.monotonic()
                waiting += [result] if result else []
                if len(waiting) >= _BATCH or time.monotonic() - since >= _BATCH_SECONDS:
                    settled = self._settle(waiting)
                    done += len(settled)
                    if progress is not None:
                        progress(done, len(items))
                    yield from settled
            settled = self._settle(waiting)
            if progress is not None:
                progress(len(items), len(items))
            yield from settled
        finally:  # Ctrl+C too: what is stored shall be found
            self._settle(waiting)

    def _settle(self, waiting: list[tuple[ImportOutcome, Sidecar | None]]) -> list[ImportOutcome]:
        """Rows for the clips that are stored; emptied at once, so that nothing is done twice."""
        batch = waiting[:]
        waiting.clear()
        if stored := [sidecar for _, sidecar in batch if sidecar is not None]:
            self._catalogue.add(stored)
            crashpoint("add.row-written")
        return [outcome for outcome, _ in batch]

    def _outcomes(
        self, items: Iterable[Found | LeftOut], options: ImportOptions
    ) -> Iterator[tuple[ImportOutcome, Sidecar | None] | None]:
        """What came of each, in order; stored, but not indexed yet. `None` while one takes its time."""
        for item, reading in self._read_ahead(items):
            while not reading.done():
                if wait([reading], timeout=_BATCH_SECONDS).not_done:
                    yield None
            try:
                yield self._store(item, reading.result(), options)
            except NotAddedError as error:
                yield ImportOutcome(source=item.path, status="failed", reason=str(error)), None

    def _store(
        self, item: Found | LeftOut, read: ReadFile | Present | LeftOut, options: ImportOptions
    ) -> tuple[ImportOutcome, Sidecar | None]:
        if isinstance(read, LeftOut):
            return ImportOutcome(source=read.path, status=read.status, reason=read.reason), None
        if isinstance(read, ReadFile):
            stored = store(self._folder, self._known, read, options, stopped=self._stop.is_set)
            if isinstance(stored, Sidecar):
                crashpoint("add.sidecar-written")
                clip, note = stored.clip, read.sound.note
                added = ImportOutcome(source=item.path, status="added", id=clip.id, clip=clip, note=note)
                return added, stored
            read = Present(found=read.found, id=stored, digests=read.digests)
        if read.digests != self._known.digests_of(read.found):
            self._known.write(read.found, read.digests, clip_id=None)
        return ImportOutcome(source=item.path, status="present", id=read.id), None

    def _read_ahead(self, items: Iterable[Found | LeftOut]) -> Iterator[tuple[Found | LeftOut, Reading]]:
        """The files in order, each with its reading; a few threads read ahead."""
        threads = max(1, min(_MOST_THREADS, os.cpu_count() or 1))
        queue: deque[tuple[Found | LeftOut, Reading]] = deque()
        self._stop.clear()
        pool = ThreadPoolExecutor(threads, thread_name_prefix="import")
        try:
            for item in items:
                queue.append((item, self._begin(item, pool)))
                if len(queue) > 2 * threads:
                    yield queue.popleft()
            while queue:
                yield queue.popleft()
        finally:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self._stop.clear()

    def _begin(self, item: Found | LeftOut, pool: ThreadPoolExecutor) -> Reading:
        if isinstance(item, LeftOut):
            return _done(item)
        digests = self._known.digests_of(item)
        present = self._known.id_of(digests) if digests else None
        if digests and present:
            return _done(Present(found=item, id=present, digests=digests))
        return pool.submit(self._read, item)

    def _read(self, found: Found) -> ReadFile | Present | LeftOut:
        """Read one file, in a thread."""
        try:
            return self._read_whole(found)
        except (NotAddedError, Stopped):
            raise
        except OSError as error:
            raise NotAddedError(f"It cannot be read: {error.strerror or error}.") from error
        except Exception as error:  # whatever is wrong with one file must not stop the others
            _log.debug("Reading %s failed", found.path, exc_info=True)
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise NotAddedError(f"It cannot be read ({reason}).") from error

    def _read_whole(self, found: Found) -> ReadFile | Present:
        from generation.texts import read_texts

        check_sound(found.path)  # before gigabytes of something else are hashed
        with found.path.open("rb") as file:
            sha256 = hash_file(file, stopped=self._stop.is_set)
        digests = Digests(file=sha256, audio=None)
        if (present := self._known.id_of(digests)) is not None:
            return Present(found=found, id=present, digests=digests)
        sound = read_sound(found.path, stopped=self._stop.is_set)
        texts = read_texts(found.path)
        origin = origin_in(texts.comment)
        return ReadFile(found=found, sha256=sha256, sound=sound, texts=texts, origin=origin)


def _done(item: Present | LeftOut) -> Reading:
    reading: Reading = Future()
    reading.set_result(item)
    return reading
