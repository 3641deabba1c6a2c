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
from audiolib.importing.reading import (
    NotAddedError,
    Stopped,
    check_sound,
    hash_file,
    read_sound,
    without_path,
)
from audiolib.importing.recipes import origin_in
from audiolib.importing.scanning import Found, LeftOut, is_gone, scan
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
        """Rows for the clips that are stored; emptied after that, so that Ctrl+C meanwhile leaves none without."""
        batch = waiting[:]
        if stored := [sidecar for _, sidecar in batch if sidecar is not None]:
            self._catalogue.add(stored)
            crashpoint("add.row-written")
        waiting.clear()
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
        sidecar = note = None
        if isinstance(read, ReadFile):
            stored = store(self._folder, self._known, read, options, stopped=self._stop.is_set)
            sidecar, note = stored.sidecar, stored.note
            if sidecar is not None:
                crashpoint("add.sidecar-written")
                if stored.new:
                    clip, note = sidecar.clip, read.sound.note
                    added = ImportOutcome(source=item.path, status="added", id=clip.id, clip=clip, note=note)
                    return added, sidecar
            read = Present(found=read.found, id=stored.id, digests=read.digests)
        if read.digests != self._known.digests_of(read.found):
            self._known.write(read.found, read.digests, clip_id=None)
        return ImportOutcome(source=item.path, status="present", id=read.id, note=note), sidecar

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
        present = self._present(item, digests) if digests else None
        return pool.submit(self._read, item) if present is None else _done(present)

    def _present(self, found: Found, digests: Digests) -> Present | None:
        """A file that need not be read: a clip has its sound, and has not lost its audio."""
        clip_id = self._known.id_of(digests)
        if clip_id is None or not self._known.has_audio(clip_id):
            return None
        return Present(found=found, id=clip_id, digests=digests)

    def _read(self, found: Found) -> ReadFile | Present | LeftOut:
        """Read one file, in a thread."""
        try:
            return self._read_whole(found)
        except Stopped:
            raise
        except Exception as error:  # whatever is wrong with one file must not stop the others
            raise NotAddedError(_why_not(found.path, error)) from error

    def _read_whole(self, found: Found) -> ReadFile | Present:
        from generation.texts import read_texts

        check_sound(found.path)  # before gigabytes of something else are hashed
        with found.path.open("rb") as file:
            sha256 = hash_file(file, stopped=self._stop.is_set)
        if (present := self._present(found, Digests(file=sha256, audio=None))) is not None:
            return present
        sound = read_sound(found.path, stopped=self._stop.is_set)
        texts = read_texts(found.path)
        origin = origin_in(texts.comment)
        return ReadFile(found=found, sha256=sha256, sound=sound, texts=texts, origin=origin)


def _why_not(path: Path, error: Exception) -> str:
    """Why a file could not be read, in a sentence that does not name it."""
    from generation.errors import AudioError

    if is_gone(path):
        return "It is gone."
    if isinstance(error, NotAddedError):
        return str(error)
    if isinstance(error, AudioError):
        return without_path(str(error), path)
    if isinstance(error, OSError):
        return f"It cannot be read: {error.strerror or error}."
    _log.debug("Reading %s failed", path, exc_info=error)
    return "It cannot be read ({}).".format(f"{type(error).__name__}: {error}".splitlines()[0])


def _done(item: Present | LeftOut) -> Reading:
    reading: Reading = Future()
    reading.set_result(item)
    return reading
