"""What the library holds, on the whole and at a glance."""

from audiolib.clip import Clip
from audiolib.facade.base import LibraryBase
from audiolib.facade.curating import Reference
from audiolib.waveform import Waveform, read_waveform


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
