"""Checks of the trash: a clip is in the library or in the trash, never half in each."""

from collections.abc import Iterator
from pathlib import Path

from audiolib.checking.findings import Finding
from audiolib.checking.survey import Survey
from audiolib.files import OF_THE_SYSTEM
from audiolib.folder import LibraryFolder
from audiolib.ids import ID_PATTERN
from audiolib.trash import DOOMED, NOTE_NAME, Trash


def trash_findings(folder: LibraryFolder, found: Survey) -> Iterator[Finding]:
    """Yield clips that a crash left half removed, half restored or half deleted.

    Args:
        folder: The library.
        found: What lies in it.
    """
    half = list(_half(folder, found))
    if half:
        # What looked torn may have been a removal at work; those hold the lock.
        try:
            with folder.lock():
                half = [path for path in _half(folder, found) if path in half]
        except OSError:
            pass  # a library that cannot be written has nobody at work
    for path in half:
        match = ID_PATTERN.match(path.name)
        yield Finding(
            kind="half-removed",
            severity="warning",
            sentence=f"{path} was being moved into or out of the trash when a process was stopped.",
            clip_id=match[0] if match else None,
            path=path,
            repair="The clip's files go where its sidecar is.",
        )


def _half(folder: LibraryFolder, found: Survey) -> Iterator[Path]:
    trash = Trash(folder).path
    for entry in sorted(trash.iterdir()) if trash.is_dir() else []:
        match = ID_PATTERN.match(entry.name)
        if match is None or not entry.is_dir():
            if entry.name.startswith(DOOMED):
                yield entry
            continue
        names = {path.name for path in entry.iterdir()} - {NOTE_NAME, *OF_THE_SYSTEM}
        removed = f"{match[0]}.json" in names
        home = next((paths[0].parent for paths in _files(found, match[0])), None)
        in_library = home is not None and any(home.glob(f"{match[0]}[.-]*"))
        stored = home is not None and (home / f"{match[0]}.json").exists()
        if not names or (removed and in_library and not stored) or (not removed and stored):
            yield entry


def _files(found: Survey, clip_id: str) -> list[list[Path]]:
    kinds = (found.sidecars, found.audio, found.codes)
    return [paths for kind in kinds if (paths := kind.get(clip_id))]
