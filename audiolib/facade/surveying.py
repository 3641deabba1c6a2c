"""What the library holds, on the whole and at a glance."""

from typing import TYPE_CHECKING

from audiolib.clip import Clip
from audiolib.duplicates import DuplicateGroup, find_duplicates
from audiolib.facade.base import LibraryBase
from audiolib.facade.curating import Reference
from audiolib.requests import Progress
from audiolib.statistics import LibraryStats, collect
from audiolib.waveform import Waveform, read_waveform

if TYPE_CHECKING:
    from indexing.filters import Filters


class Surveying(LibraryBase):
    """Questions about many clips at once, and pictures of one."""

    def waveform(self, clip: Reference, *, columns: int = 200) -> Waveform:
        """Return the outline of a clip's sound, read in memory that does not grow with its length.

        Args:
            clip: The clip, or its name as for `get`.
            columns: Into how many parts its time is cut, 1 to 4,096.

        Raises:
            ClipNotFoundError: Nothing fits the name.
            InvalidInputError: The number of columns makes no sense.
            AudioError: The file is missing or damaged.
        """
        found = clip if isinstance(clip, Clip) else self._sidecar(clip).clip
        return read_waveform(found.path, columns=columns)

    def stats(self, *, filters: "Filters | None" = None) -> LibraryStats:
        """Count the clips by model, tag, key, tempo and more, and weigh the library on the disk.

        Args:
            filters: Only clips like this; the disk is not weighed then.

        Raises:
            LibraryError: There is no library, or it is of a newer format.
            IndexingError: The index cannot be read.
        """
        self._require()
        return collect(self._folder, self._catalogue.index, self._finder.resolved(filters))

    def duplicates(
        self, *, near: float | None = None, progress: Progress | None = None
    ) -> list[DuplicateGroup]:
        """Find clips that are there more than once; nothing is removed, and what has lost its audio is passed over.

        Args:
            near: The least cosine of sound vectors, above 0 up to 1, that counts as the same sound
                (`audiolib.duplicates.NEAR_SIMILARITY` is measured); only the same samples when `None`.
            progress: Called with the clips compared and the clips in all, where sounds are compared.

        Returns:
            Groups, the largest first, each with the clip to keep.

        Raises:
            LibraryError: There is no library, or it is of a newer format.
            InvalidInputError: `near` makes no sense.
            IndexingError: The index cannot be read.
        """
        self._require()
        groups = find_duplicates(self._folder, self._catalogue.index, near=near, progress=progress)
        self._finder.say_missing(self._catalogue.missing(), "not indexed yet")
        return groups
