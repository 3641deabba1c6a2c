"""One walk over a library's folder: which file is what."""

import os
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from audiolib.files import OF_THE_SYSTEM, TEMPORARY
from audiolib.folder import LibraryFolder
from audiolib.ids import ID_PATTERN

STALE_SECONDS: Final = 600
"""Whatever is younger may be another process at work."""

AUDIO_SUFFIXES: Final = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")
"""What a clip's audio file can end in."""

_KEPT_ASIDE: Final = re.compile(r".+\.damaged(-\d+)?")
_CODES: Final = ".codes.npz"


@dataclass(slots=True, kw_only=True)
class Survey:
    """What lies in a library's `audio` folder.

    Attributes:
        sidecars: By the clip's id; more than one where people copied files.
        audio: Audio files by the id that their names begin with.
        codes: Files with codec tokens by the clip's id.
        temporaries: Left behind by processes that were killed, old enough.
        fresh: Younger files that another process may be writing.
        odd: Files and links that are none of ours.
    """

    sidecars: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    audio: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    codes: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    temporaries: list[Path] = field(default_factory=list)
    fresh: list[Path] = field(default_factory=list)
    odd: list[Path] = field(default_factory=list)


def survey(folder: LibraryFolder) -> Survey:
    """Look at every file of a library once; linked folders are named and not entered.

    Args:
        folder: The library.
    """
    found = Survey()
    before = time.time() - STALE_SECONDS
    for home, folders, names in os.walk(folder.audio):
        found.odd += [Path(home, name) for name in sorted(folders) if Path(home, name).is_symlink()]
        for name in sorted(names):
            _sort(found, Path(home, name), before)
    for path in sorted(folder.root.glob(".*.tmp*")):
        _sort(found, path, before)
    return found


def is_stale(path: Path, before: float | None = None) -> bool:
    """Return whether a file is older than anything that is still being written.

    Args:
        path: The file; one that is gone is not stale.
        before: The moment that counts, in seconds since the epoch; ten minutes ago when `None`.
    """
    try:
        return path.lstat().st_mtime < (time.time() - STALE_SECONDS if before is None else before)
    except OSError:
        return False


def _sort(found: Survey, path: Path, before: float) -> None:
    name = path.name
    if TEMPORARY.fullmatch(name):
        (found.temporaries if is_stale(path, before) else found.fresh).append(path)
        return
    if name in OF_THE_SYSTEM or _KEPT_ASIDE.fullmatch(name):
        return
    match = ID_PATTERN.match(name)
    if match is not None and name == f"{match[0]}.json" and _leads_somewhere(path):
        found.sidecars[match[0]].append(path)  # a pipe too: reading it says what is wrong
    elif match is None or not path.is_file():  # pipes, links to nowhere
        found.odd.append(path)
    elif name == f"{match[0]}{_CODES}":
        found.codes[match[0]].append(path)
    elif name.lower().endswith(AUDIO_SUFFIXES):
        found.audio[match[0]].append(path)
    else:
        found.odd.append(path)


def _leads_somewhere(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    return True
