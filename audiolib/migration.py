"""A library of an older format brought to the one of today, clip by clip.

The manifest is written last: a migration that is cut off goes on where it was, and an older audiolib refuses the
sidecars that are done already with a sentence. What was in a sidecar stays in it.
"""

import logging

from audiolib.catalogue import Catalogue
from audiolib.crashpoints import crashpoint
from audiolib.errors import LibraryError
from audiolib.folder import LIBRARY_FORMAT, LibraryFolder
from audiolib.measuring import measure_clips
from audiolib.reindexing import Reindexing
from audiolib.requests import Progress
from audiolib.sidecars import SIDECAR_FORMAT, edit_sidecar, read_sidecar

_log = logging.getLogger(__name__)


def is_older(folder: LibraryFolder) -> bool:
    """Return whether a library has a format older than the one that is written today.

    Args:
        folder: The library; one that is not there yet is not older.

    Raises:
        LibraryFormatError: A newer audiolib wrote it.
        LibraryError: Its manifest cannot be understood.
    """
    return bool(folder.manifest().get("format", LIBRARY_FORMAT) < LIBRARY_FORMAT)


def migrate(folder: LibraryFolder, catalogue: Catalogue, *, progress: Progress | None = None) -> bool:
    """Bring a library to the format of today; nothing happens to one that has it.

    From format 1 to 2: sidecars hold what a clip sounds like, in numbers and as a vector, and the index has columns
    for it.

    Args:
        folder: The library.
        catalogue: Its search index.
        progress: Called with the clips done and the clips in all.

    Returns:
        Whether there was anything to do.

    Raises:
        LibraryError: The library is of a newer format, or in use.
        IndexingError: The index cannot be written.
        OSError: A file cannot be written.
    """
    if not is_older(folder):
        return False
    _log.warning("The library %s is of an older format and is brought to the new one, once.", folder.root)
    older = []
    for path in folder.sidecar_paths():
        try:
            if read_sidecar(path).document["format"] < SIDECAR_FORMAT:
                older.append(path)
        except (LibraryError, OSError):
            continue  # `check` names it, and a damaged sidecar must not stop the others
    _, unreadable = measure_clips(folder, older, progress=progress)
    for sentence in unreadable:
        _log.info("%s", sentence)
    for path in older:
        try:
            with folder.lock():
                if read_sidecar(path).document["format"] < SIDECAR_FORMAT:  # its audio could not be measured
                    edit_sidecar(path, {})
        except (LibraryError, FileNotFoundError):
            continue
    crashpoint("migrate.sidecars-written")
    Reindexing(folder, catalogue).rebuild(progress=progress)
    crashpoint("migrate.index-written")
    folder.update_manifest(format=LIBRARY_FORMAT)
    return True
