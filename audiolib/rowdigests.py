"""What a row says, in a few bytes, so that the rows of a large library can be held against their sidecars."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from audiolib.folder import LibraryFolder
from audiolib.rows import rows_of
from audiolib.sidecars import Sidecar

if TYPE_CHECKING:
    from indexing.schema import IndexRow


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDigest:
    """What a row says of its clip, but for the vector of its words; equal within one process.

    Attributes:
        fields: Of all plain fields.
        sound: Of the sound vector; `None` without one.
    """

    fields: int
    sound: int | None

    @classmethod
    def of_row(cls, row: "IndexRow") -> Self:
        """Return the digest of a stored row.

        Args:
            row: The row.
        """
        import numpy as np

        plain = replace(row, vector=None, embedder=None, sound_vector=None, sound_space=None)
        vector = row.sound_vector
        sound = None if vector is None else hash(np.asarray(vector, dtype="<f4").tobytes())
        return cls(fields=hash(plain), sound=sound)

    @classmethod
    def of_sidecar(cls, folder: LibraryFolder, sidecar: Sidecar) -> Self:
        """Return the digest that a clip's row should have.

        Args:
            folder: The library.
            sidecar: The clip.
        """
        (row,) = rows_of(folder, [sidecar], None)
        return cls.of_row(row)
