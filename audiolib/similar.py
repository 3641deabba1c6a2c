"""What a clip or a file sounds like, as the vector that clips are compared by."""

from pathlib import Path
from typing import TYPE_CHECKING

from audiolib.errors import InvalidInputError, LibraryError
from audiolib.measuring import is_measured
from audiolib.sidecars import Sidecar
from audiolib.vectors import decode
from indexing.analysis import SOUND_SPACE

if TYPE_CHECKING:
    import numpy as np

SPACE = SOUND_SPACE


def vector_of_clip(sidecar: Sidecar) -> "np.ndarray":
    """Return the sound vector `(SOUND_DIMENSION,)` that is kept in a sidecar.

    Args:
        sidecar: The clip.

    Raises:
        LibraryError: The clip was never measured.
        InvalidInputError: There is nothing to hear in it.
    """
    vector = decode(sidecar.vectors.get(SPACE, ""))
    if vector is None and not is_measured(sidecar):
        raise LibraryError(
            f"Clip {sidecar.clip.id} cannot be compared yet: nobody has listened to it. `audiolib index` does."
        )
    return _audible(vector, f"clip {sidecar.clip.id}")


def vector_of_file(path: Path) -> "np.ndarray":
    """Listen to an audio file and return its sound vector `(SOUND_DIMENSION,)`, in memory that does not grow with it.

    Args:
        path: The file, of any format, rate and length.

    Raises:
        AudioError: It is no audio.
        OSError: It cannot be opened.
        InvalidInputError: There is nothing to hear in it.
    """
    from generation.stream import open_audio
    from indexing.analysis import Analyser

    with open_audio(path) as stream:
        analyser = Analyser(stream.sampling_rate, stream.channels)
        for block in stream.blocks():
            analyser.feed(block)
    return _audible(analyser.finish().vector, str(path))


def _audible(vector: "np.ndarray | None", what: str) -> "np.ndarray":
    if vector is None:
        raise InvalidInputError(
            f"There is nothing to compare in {what}: it is silent or under 0.4 seconds long."
        )
    return vector
