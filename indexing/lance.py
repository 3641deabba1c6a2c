"""LanceDB's connection: open, make, drop, retry, and its errors in our words. Only store.py uses it.

A handle that is kept sees neither what other processes write nor a table that was dropped and made again. So the
table is opened anew for every operation (1 to 5 ms), unless its folder says that nothing was committed since; what
LanceDB has in its cache is kept either way.
"""

import errno
import gc
import logging
import os
import random
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from indexing.errors import IndexDamagedError, IndexingError
from indexing.schema import check_version

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb import Session
    from lancedb.db import DBConnection
    from lancedb.table import Table

TABLE = "clips"
_ATTEMPTS = 12
_LONGEST_PAUSE_S = 0.4
_INDEX_CACHE = 384 << 20  # the vector index of a million rows takes 64 MB, its words 25
_METADATA_CACHE = 64 << 20
_SETTLED_NS = 200_000_000
_MOST_KEPT = 8
_FEW_CORES = 3
_kept: "dict[Path, tuple[tuple[int, int], Table]]" = {}
# Where in LanceDB's own source an error arose: nothing to a reader.
_RUST_PLACE = re.compile(r", /\S+\.rs(:\d+)*")

logger = logging.getLogger(__name__)
_importing = threading.Lock()
Result = TypeVar("Result")


def open_table(folder: Path) -> "Table | None":
    """The table as it is now, or None where none was made yet.

    Raises:
        IndexDamagedError: There is one that cannot be opened, or that another version of audiolib made.
    """
    state = _state(folder)
    kept = _kept.get(folder)
    if kept is not None and kept[0] == state:
        return kept[1]
    if not _has_files(folder):
        return None
    with errors_of(folder):
        table = _connect(folder).open_table(TABLE)
        check_version(table.schema)
    if state is not None and _is_settled(state):
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[folder] = (state, table)
    return table


def settled_state(folder: Path) -> tuple[int, int] | None:
    """What a table's next commit changes; None where there is no table, or where one may follow unseen."""
    state = _state(folder)
    return state if state is not None and _is_settled(state) else None


def _is_settled(state: tuple[int, int]) -> bool:
    # Times of files come in steps: another commit may follow in the same one, so a fresh table is opened again.
    return time.time_ns() - state[1] > _SETTLED_NS


def _state(folder: Path) -> tuple[int, int] | None:
    """What every commit changes: each adds a manifest to this folder, and a table made anew has another one."""
    try:
        found = (folder / f"{TABLE}.lance" / "_versions").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def create_table(folder: Path, schema: "pa.Schema") -> "Table":
    """The new, empty table; where another process was quicker, that process's."""
    with errors_of(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return _connect(folder).create_table(TABLE, schema=schema)
        except (RuntimeError, ValueError):
            if not _has_files(folder):
                raise
            return _connect(folder).open_table(TABLE)


def drop_table(folder: Path) -> None:
    """Removes the table, readable or not."""
    with errors_of(folder):
        if (folder / f"{TABLE}.lance").exists():
            shutil.rmtree(folder / f"{TABLE}.lance")


def overwrite_table(folder: Path, rows: "pa.RecordBatchReader") -> "Table":
    """Replaces the table, or makes it, in one commit; those who read the old one can finish.

    One that is too damaged to be replaced is dropped first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = _connect(folder)
    if _has_files(folder):
        try:
            database.open_table(TABLE)
        except (RuntimeError, ValueError, OSError):
            drop_table(folder)
    mode = "overwrite" if _has_files(folder) else "create"
    # LanceDB takes a null, where a clip has no vector, for a bad vector; bad ones were refused in to_arrow.
    return database.create_table(TABLE, data=rows, schema=rows.schema, mode=mode, on_bad_vectors="null")


def retry(folder: Path, operation: Callable[[], Result]) -> Result:
    """Runs an operation again while other processes' commits come between.

    Raises:
        IndexingError: Others kept the table busy through every attempt.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return operation()
        except (RuntimeError, ValueError, OSError) as error:
            if "conflict" not in str(error).lower():
                raise
            logger.debug("Commit conflict, attempt %d: %s", attempt + 1, error)
            # Jitter keeps two writers from meeting again at every attempt.
            time.sleep(random.uniform(0, _LONGEST_PAUSE_S) * (attempt + 1) / _ATTEMPTS)  # noqa: S311
    raise IndexingError(f"The search index in {folder} is busy with other writers; try again.")


@contextmanager
def errors_of(folder: Path) -> Iterator[None]:
    """Turns what LanceDB, Arrow and the file system raise into this package's errors."""
    try:
        yield
    except IndexingError:
        raise
    except (RuntimeError, ValueError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        reason = _RUST_PLACE.sub("", reason)
        if _names_os_error(error, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise IndexingError(f"The disk is full: the search index in {folder} was not written.") from error
        if _names_os_error(error, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise IndexingError(
                f"The search index in {folder} cannot be read or written: {reason}"
            ) from error
        raise IndexDamagedError(
            f"The search index in {folder} is damaged ({reason}). "
            "Run `audiolib index --rebuild`: it is made again from the clips."
        ) from error


def _names_os_error(error: Exception, *codes: int) -> bool:
    # LanceDB gives the number in its text alone.
    found = getattr(error, "errno", None)
    return any(found == code or f"(os error {code})" in str(error) for code in codes)


def _has_files(folder: Path) -> bool:
    # Another process may be between making the folders and its first commit; that is not a table yet.
    table = folder / f"{TABLE}.lance"
    return any(next((table / part).glob("*"), None) for part in ("_versions", "data"))


def _connect(folder: Path) -> "DBConnection":
    prepare()
    import lancedb

    return lancedb.connect(folder, session=_session())


@cache
def _session() -> "Session":
    """What LanceDB keeps in memory between operations: parts of indexes, and what it knows of files by their dates."""
    import lancedb

    return lancedb.Session(index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_METADATA_CACHE)


def prepare() -> None:
    """Imports LanceDB quickly and quietly; whoever needs it first calls this before."""
    # Its engine tells standard error of every commit that met another one; those are tried again.
    os.environ.setdefault("LANCEDB_LOG", "error")
    # It leaves two cores to the reading of files; of two cores that leaves one for all searches at once.
    if (cores := os.cpu_count() or 1) <= _FEW_CORES:
        os.environ.setdefault("LANCE_CPU_THREADS", str(cores))
    # Of a filter that few rows pass it scores every one of them for words. By itself it takes a tenth for few, but down
    # to a hundredth its search for the best alone is as quick or twice as quick, and finds the same.
    os.environ.setdefault("LANCE_FLAT_SEARCH_PERCENT_THRESHOLD", "1")
    with _quick_import():
        import lancedb  # noqa: F401  # for what the import does


@contextmanager
def _quick_import() -> Iterator[None]:
    """Takes a third off the import of LanceDB, which is most of a search from the command line.

    Much of it goes into the argument checks of 366 calls to a remote service that a local table never
    makes. Pydantic has an option to build such a check at its first use; here it is the default while
    LanceDB is imported. The garbage collector, which would go again and again over hundreds of thousands of
    new and lasting objects, rests.
    """
    # One thread at a time: a second one would take the first one's default for pydantic's own.
    with _importing:
        if "lancedb" in sys.modules:
            yield
            return
        import pydantic

        check, collecting = pydantic.validate_call, gc.isenabled()
        pydantic.validate_call = partial(check, config={"defer_build": True})  # type: ignore[assignment]  # overloads
        gc.disable()
        try:
            yield
        finally:
            pydantic.validate_call = check
            if collecting:
                gc.enable()
