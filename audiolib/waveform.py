"""A clip's waveform as an outline: the lowest and the highest sample of equal parts of its time."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audiolib.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

MAX_COLUMNS: Final = 4_096
_FINEST: Final = 16  # frames that are looked at together at first
_GRAINS: Final = 1 << 16  # parts kept at most; beyond, two become one


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """The outline of a sound.

    Attributes:
        duration: Seconds that were read, whatever the file's header says.
        low: The lowest sample of all channels in each part, -1 to 1 for most files.
        high: The highest one, as many as in `low`.
    """

    duration: float
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def peak(self) -> float:
        """The largest distance from 0."""
        return max((abs(value) for value in (*self.low, *self.high)), default=0.0)


def read_waveform(path: Path, *, columns: int) -> Waveform:
    """Read a sound file's outline block by block, in memory that does not grow with its length.

    Args:
        path: The file.
        columns: How many parts.

    Raises:
        InvalidInputError: `columns` is not 1 to 4,096.
        AudioError: The file is missing, or it is damaged.
    """
    import numpy as np

    from generation.errors import AudioError
    from generation.stream import open_audio

    if not 1 <= columns <= MAX_COLUMNS:
        raise InvalidInputError(f"A waveform of {columns} columns makes no sense. Use 1 to {MAX_COLUMNS:,}.")
    outline = _Outline()
    with open_audio(path) as stream:
        for block in stream.blocks():
            outline.feed(block)
        duration = outline.frames / stream.sampling_rate
    if not outline.frames:
        raise AudioError(f"{path} holds no samples.")
    low, high = outline.finish()
    # Where there are fewer parts than columns, a column repeats the part that it lies in.
    starts = np.arange(columns) * len(low) // columns
    return Waveform(
        duration=duration,
        low=tuple(np.minimum.reduceat(low, starts).tolist()),
        high=tuple(np.maximum.reduceat(high, starts).tolist()),
    )


class _Outline:
    """Lowest and highest samples of grains of a few frames, which grow with the length."""

    def __init__(self) -> None:
        self.frames = 0
        self._grain = _FINEST
        self._low: list[np.ndarray] = []
        self._high: list[np.ndarray] = []
        self._count = 0
        self._rest: np.ndarray | None = None

    def feed(self, block: "np.ndarray") -> None:
        """Take the next `(frames, channels)`."""
        import numpy as np

        self.frames += len(block)
        pairs = np.stack([block.min(axis=1), block.max(axis=1)])
        if self._rest is not None:
            pairs = np.concatenate([self._rest, pairs], axis=1)
        whole = pairs.shape[1] // self._grain * self._grain
        self._rest = pairs[:, whole:]
        self._append(pairs[:, :whole], self._grain)
        while self._count > _GRAINS:
            self._coarsen()

    def finish(self) -> "tuple[np.ndarray, np.ndarray]":
        """Return `(parts,)` lowest and `(parts,)` highest samples."""
        import numpy as np

        if self._rest is not None and self._rest.shape[1]:
            self._append(self._rest, self._rest.shape[1])
        return np.concatenate(self._low), np.concatenate(self._high)

    def _append(self, pairs: "np.ndarray", grain: int) -> None:
        parts = pairs.shape[1] // grain
        if parts:
            self._low.append(pairs[0].reshape(parts, grain).min(axis=1))
            self._high.append(pairs[1].reshape(parts, grain).max(axis=1))
            self._count += parts

    def _coarsen(self) -> None:
        """Join grains two by two; an odd last one goes back to the frames that wait."""
        import numpy as np

        low, high = np.concatenate(self._low), np.concatenate(self._high)
        if len(low) % 2:
            odd = np.repeat(np.stack([low[-1:], high[-1:]]), self._grain, axis=1)
            self._rest = odd if self._rest is None else np.concatenate([odd, self._rest], axis=1)
            low, high = low[:-1], high[:-1]
        self._low = [low.reshape(-1, 2).min(axis=1)]
        self._high = [high.reshape(-1, 2).max(axis=1)]
        self._count = len(self._low[0])
        self._grain *= 2
