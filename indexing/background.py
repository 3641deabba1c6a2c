"""Upkeep of a large table in a process of its own, so that no command waits for it.

A write that finds something due starts `python -m indexing.background FOLDER` and goes on. That process has the
lowest priority, is the only one of its kind for a table, and may be killed at any time: LanceDB commits whole steps.
"""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

# Import nothing heavy here: a write must not wait for it.

LOCK_NAME: Final = ".upkeep"
_PAUSE_S: Final = 60.0
_started: "list[subprocess.Popen[bytes]]" = []

logger = logging.getLogger(__name__)


def start(folder: Path) -> bool:
    """Starts upkeep of the table in a folder, unless one was started less than a minute ago.

    Returns:
        Whether one was started.
    """
    _started[:] = [process for process in _started if process.poll() is None]
    lock = folder / LOCK_NAME
    try:
        if _started or time.time() - _modified(lock) < _PAUSE_S:
            return False
        lock.touch()
        _started.append(
            subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-m", "indexing.background", str(folder.absolute())],
                cwd=Path(__file__).parents[1],  # where the package is found, also when it is not installed
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl+C is for the command alone
            )
        )
    except OSError as error:
        logger.info("Upkeep of the search index could not be started: %s", error)
        return False
    return True


def run(folder: Path) -> bool:
    """Does the upkeep, unless another process is at it.

    Returns:
        Whether it was this one's turn.

    Raises:
        IndexingError: The table is damaged, or too busy.
    """
    from filelock import FileLock, Timeout

    from indexing.store import ClipIndex

    try:
        with FileLock(folder / LOCK_NAME, timeout=0):
            ClipIndex(folder).optimise()
    except Timeout:
        return False
    return True


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def main(arguments: list[str]) -> int:
    """Runs upkeep of the folder that is named; what fails is left for the next time."""
    from indexing.errors import IndexingError

    if hasattr(os, "nice"):
        os.nice(19)
    try:
        run(Path(arguments[0]))
    except IndexingError as error:
        logger.info("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
