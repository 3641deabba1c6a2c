"""The file with a clip's codec tokens, and with what is needed beside them to make it again."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audiolib.files import atomic_path

if TYPE_CHECKING:
    import numpy as np

_MOST_BYTES: Final = 64 << 20  # unpacked: hours of music have a few


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCodes:
    """A clip's codec tokens as they are stored.

    Attributes:
        codes: `(K, frames)` int16.
        codec: Digest of the codebooks that the tokens point into; `None` in files of older versions.
        melody: The leading pitch class of each frame of the melody that the clip follows, `(frames,)` int16.
    """

    codes: "np.ndarray"
    codec: str | None = None
    melody: "np.ndarray | None" = None


def write_codes(path: Path, stored: StoredCodes) -> None:
    """Write codec tokens atomically.

    Args:
        path: Where; ends in `.npz`.
        stored: What to write.

    Raises:
        OSError: The file cannot be written.
    """
    import numpy as np

    arrays = {"codes": stored.codes}
    if stored.codec is not None:
        arrays["codec"] = np.frombuffer(stored.codec.encode("ascii"), np.uint8)
    if stored.melody is not None:
        arrays["melody"] = stored.melody
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]  # the stub mistakes names for a switch


def read_codes(path: Path) -> StoredCodes | None:
    """Read codec tokens; `None` when the file is lost or damaged.

    Args:
        path: A file that `write_codes` wrote.
    """
    import zipfile
    import zlib

    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if sum(part.file_size for part in archive.zip.infolist()) > _MOST_BYTES:
                return None
            codes, codec, melody = archive["codes"], archive.get("codec"), archive.get("melody")
            if not _are_tokens(codes, 2) or not (melody is None or _are_tokens(melody, 1)):
                return None
            return StoredCodes(
                codes=codes,
                codec=None if codec is None else codec.astype(np.uint8).tobytes().decode("ascii"),
                melody=melody,
            )
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,  # a password, or another compression
        zipfile.BadZipFile,
        zlib.error,
    ):
        return None


def _are_tokens(array: "np.ndarray", dimensions: int) -> bool:
    return array.ndim == dimensions and array.dtype.kind in "iu" and not (array < 0).any()
