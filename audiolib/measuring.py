"""Clips that were never measured, or by an older analysis, are measured once and keep it in their sidecars."""

from collections.abc import Sequence
from pathlib import Path

from audiolib.crashpoints import crashpoint
from audiolib.errors import LibraryError
from audiolib.files import file_sha256
from audiolib.folder import LibraryFolder
from audiolib.requests import Progress
from audiolib.sidecars import Sidecar, edit_sidecar, read_sidecar


def is_measured(sidecar: Sidecar) -> bool:
    """Return whether a sidecar holds descriptors of this version of the analysis, or of a later one.

    Args:
        sidecar: The clip.
    """
    from indexing.describe import DESCRIPTORS_VERSION

    return sidecar.descriptors_version is not None and sidecar.descriptors_version >= DESCRIPTORS_VERSION


def unmeasured(folder: LibraryFolder) -> list[Path]:
    """Return the sidecars of clips that should be measured; damaged ones are passed over.

    Args:
        folder: The library.
    """
    paths = []
    for path in folder.sidecar_paths():
        try:
            if not is_measured(read_sidecar(path)):
                paths.append(path)
        except (LibraryError, OSError):
            continue
    return paths


def measure_clips(
    folder: LibraryFolder, paths: Sequence[Path], *, progress: Progress | None = None
) -> tuple[list[str], list[str]]:
    """Measure clips and keep it in their sidecars, one by one; what was done stays done when it is interrupted.

    Args:
        folder: The library.
        paths: Sidecars that can be read; those that are measured already are passed over.
        progress: Called with the clips done and the clips in all.

    Returns:
        The ids of the clips that were measured, and a sentence for each whose audio cannot be read.

    Raises:
        LibraryBusyError: Another process holds the lock.
        OSError: A sidecar cannot be written.
    """
    from generation.errors import AudioError

    changed, unreadable = [], []
    for number, path in enumerate(paths, start=1):
        try:
            if measure_clip(folder, path):
                changed.append(path.stem)
        except FileNotFoundError as error:
            if path.exists():  # the audio is missing, and not the clip removed meanwhile
                unreadable.append(f"Clip {path.stem} cannot be measured: there is no {error.filename}.")
        except (AudioError, LibraryError) as error:
            unreadable.append(f"Clip {path.stem} cannot be measured: {error}")
        if progress is not None:
            progress(number, len(paths))
    return changed, unreadable


def measure_clip(folder: LibraryFolder, path: Path) -> bool:
    """Measure one clip.

    Args:
        folder: The library.
        path: Its sidecar.

    Returns:
        Whether its sidecar was changed.

    Raises:
        AudioError: Its audio cannot be read, or was cut short since it was stored.
        LibraryError: Its sidecar cannot be read, or another process holds the lock.
        OSError: A file is not there or cannot be written.
    """
    from audiolib.analyses import measure
    from audiolib.recording import is_cut
    from generation.errors import AudioError

    sidecar = read_sidecar(path)
    if is_measured(sidecar):
        return False
    audio = sidecar.clip.path
    if file_sha256(audio) != sidecar.clip.sha256 and is_cut(audio):
        raise AudioError(f"{audio} is damaged. Its end is missing.")
    found = measure(audio)  # outside the lock: it takes its time
    with folder.lock():
        now = read_sidecar(path)
        if now.clip.sha256 != sidecar.clip.sha256:
            return False  # other audio meanwhile, and measured by whoever put it there
        edit_sidecar(path, {**found, "vectors": {**now.vectors, **found["vectors"]}})
    crashpoint("measure.sidecar-written")
    return True
