"""Further spaces of sound: CLAP hears the clips, so that untitled audio is found by words as well."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audiolib.catalogue import Catalogue
from audiolib.errors import LibraryError
from audiolib.folder import LibraryFolder
from audiolib.requests import Progress
from audiolib.sidecars import edit_sidecar, read_sidecar
from audiolib.vectors import decode, encode

if TYPE_CHECKING:
    import numpy as np

    from indexing.clap import ClapEncoder

ANY_CLAP: Final = "clap"
"""Stands for the best CLAP model that is here."""

_BATCH: Final = 50
_ROWS: Final = 1_000
_STRETCHES: Final = 6  # of a long clip CLAP hears six stretches of ten seconds, whatever it is given
_STRETCH_SECONDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceReport:
    """What listening to the clips did.

    Attributes:
        space: The space's name in the library.
        model: The model that listened.
        clips: Clips that have a vector of it now.
        added: Clips that got it now.
        broken: Clips that cannot be listened to, each as a sentence.
    """

    space: str
    model: str
    clips: int
    added: int
    broken: tuple[str, ...]


def space_of(model: str) -> str:
    """Return the name of a model's space: vectors of two models cannot be compared.

    Args:
        model: Its name, as `laion/larger_clap_general`.
    """
    last = model.rstrip("/").rsplit("/", 1)[-1].lower()
    return re.sub(r"[^a-z0-9_-]+", "-", last).strip("-_")[:40] or ANY_CLAP


def stored_model(name: str, spaces: Collection[str]) -> str:
    """Return the model that a name stands for: of `clap` one that the clips have vectors of, if they have.

    Args:
        name: What was asked for.
        spaces: The spaces of the index.
    """
    from indexing.clap import CANDIDATES

    if name != ANY_CLAP:
        return name
    return next((model for model in CANDIDATES if space_of(model) in spaces), name)


def load_encoder(name: str, spaces: Collection[str] = ()) -> "ClapEncoder":
    """Load a CLAP model that is on this machine.

    Args:
        name: Its name or folder; `clap` for the best one.
        spaces: The spaces of the index: one of these rather than a better one.

    Raises:
        EmbedderUnavailableError: There is none.
    """
    from generation.checkpoints import models_dirs
    from indexing.clap import load_clap

    return load_clap(stored_model(name, spaces), models_dirs())


def fill_space(
    folder: LibraryFolder, catalogue: Catalogue, name: str, *, progress: Progress | None = None
) -> SpaceReport:
    """Let a CLAP model hear every clip that it has not heard; what was done stays done when it is interrupted.

    Args:
        folder: The library.
        catalogue: Its index.
        name: The model's name or folder; `clap` for the one that is in use, or the best that is here.
        progress: Called with the clips done and the clips in all.

    Raises:
        EmbedderUnavailableError: There is no such model on this machine.
        IndexingError: The index cannot be written.
        LibraryBusyError: Another process holds the lock.
        OSError: A sidecar cannot be written.
    """
    encoder = load_encoder(name, catalogue.index.spaces())
    space = space_of(encoder.name)
    paths = folder.sidecar_paths()
    fresh: dict[str, np.ndarray] = {}
    added, kept, broken = 0, list[Path](), list[str]()
    for number, path in enumerate(paths, start=1):
        try:
            vector = _heard(folder, path, space, encoder)
        except LibraryError as error:
            broken.append(str(error))
        except FileNotFoundError:
            pass  # removed meanwhile
        else:
            if vector is None:
                kept.append(path)
            else:
                fresh[path.stem] = vector
        if len(fresh) == _BATCH or number == len(paths):
            added += len(fresh)
            with folder.lock():
                catalogue.index.put_vectors(space, fresh)
            fresh = {}
        if progress is not None:
            progress(number, len(paths))
    _restore(folder, catalogue, space, kept, dimension=encoder.dimension)
    clips = len(kept) + added
    return SpaceReport(space=space, model=encoder.name, clips=clips, added=added, broken=tuple(broken))


def _heard(folder: LibraryFolder, path: Path, space: str, encoder: "ClapEncoder") -> "np.ndarray | None":
    """A clip's new vector, which its sidecar has now too; `None` when it had one."""
    from generation.errors import AudioError
    from indexing.errors import IndexingError

    sidecar = read_sidecar(path)
    if space in sidecar.vectors:
        return None
    try:
        vector = encoder.embed_audio(*hear(sidecar.clip.path, sidecar.clip.duration))
    except (AudioError, IndexingError, OSError) as error:
        if not path.exists():  # removed meanwhile
            raise FileNotFoundError(path) from error
        raise LibraryError(f"Clip {path.stem} cannot be heard: {error}") from error
    with folder.lock():
        now = read_sidecar(path)
        edit_sidecar(path, {"vectors": {**now.vectors, space: encode(vector)}})
    return vector


def _restore(
    folder: LibraryFolder, catalogue: Catalogue, space: str, paths: Sequence[Path], *, dimension: int
) -> None:
    """Give rows the vectors that their sidecars have and they lack, as after an interruption."""
    import numpy as np

    probe = np.ones(dimension, dtype=np.float32)
    for start in range(0, len(paths), _ROWS):
        some = {path.stem: path for path in paths[start : start + _ROWS]}
        there = catalogue.index.similarities(probe, list(some), space=space)
        stored = {clip_id: _stored(some[clip_id], space) for clip_id in some.keys() - there.keys()}
        lost = {i: vector for i, vector in stored.items() if vector is not None and len(vector) == dimension}
        if lost:
            with folder.lock():
                catalogue.index.put_vectors(space, lost)


def _stored(path: Path, space: str) -> "np.ndarray | None":
    try:
        return decode(read_sidecar(path).vectors.get(space, ""))
    except (OSError, LibraryError):
        return None


def hear(path: Path, duration: float) -> "tuple[np.ndarray, int]":
    """Read what CLAP hears of a file: all of a minute, six stretches of ten seconds of what is longer.

    Args:
        path: The file.
        duration: Its length in seconds.

    Returns:
        `(samples,)` float32, one channel, and their rate in Hz.

    Raises:
        AudioError: It is no audio.
        OSError: It cannot be opened.
    """
    import numpy as np

    from generation.stream import open_audio

    with open_audio(path) as stream:
        rate = stream.sampling_rate
        size, total = _STRETCH_SECONDS * rate, round(duration * rate)
        starts = [0]
        if total > _STRETCHES * size:
            starts = np.linspace(0, total - size, _STRETCHES).round().astype(int).tolist()
        else:
            size = total
        parts, position = [np.zeros(0, dtype=np.float32)], 0
        for block in stream.blocks():
            mono = block.mean(axis=1)
            for start in starts:
                part = mono[max(0, start - position) : max(0, start + size - position)]
                if len(part):
                    parts.append(part.copy())  # a view, even an empty one, would keep the whole block
            position += len(mono)
    return np.concatenate(parts), rate
