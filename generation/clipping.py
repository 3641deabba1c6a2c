"""What is over full scale: how much of it there is, whether it could be heard, and where it is cut off."""

from __future__ import annotations

import dataclasses
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

UNHEARD: Final = 10 ** (0.5 / 20) - 1
"""What cutting off one sample that is half a decibel over takes away, as a share of full scale. Where all that is cut
off has no more energy than that, the music hides it: docs/sound.md has the measurement."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipping:
    """What was over a limit and cut off there.

    Attributes:
        samples: How many there were, of all channels together.
        total: Of how many.
        over_db: How far the largest was over the limit.
        taken: Root of the sum of squares of what was cut off, as a share of the limit.
        limit_db: The limit, in dB of full scale.
    """

    samples: int
    total: int
    over_db: float
    taken: float
    limit_db: float = 0.0

    @property
    def audible(self) -> bool:
        """Whether it could be heard; in doubt it could."""
        return self.taken > UNHEARD

    @property
    def sentence(self) -> str:
        """It, and the way out."""
        scale = "full scale" if not self.limit_db else f"{self.limit_db:g} dB of full scale"
        count = "1 sample was" if self.samples == 1 else f"{self.samples:,} of {self.total:,} samples were"
        return f"{count} over {scale} by up to {self.over_db:.1f} dB and cut off; --normalize peak keeps them whole."

    def to_json(self) -> dict[str, float]:
        """What a sidecar keeps: `samples`, `over_db`, and `limit_db` where the limit is not full scale."""
        limit = {"limit_db": round(self.limit_db, 2)} if self.limit_db else {}
        return {"samples": self.samples, "over_db": round(self.over_db, 2), **limit}

    def and_then(self, later: Clipping | None) -> Clipping:
        """This and what was cut off of the same sound later."""
        if later is None:
            return self
        return dataclasses.replace(
            self,
            samples=self.samples + later.samples,
            total=max(self.total, later.total),
            over_db=max(self.over_db, later.over_db),
            taken=math.hypot(self.taken, later.taken),
        )

    def tell(self, logger: logging.Logger) -> None:
        """Log it: as a warning where it could be heard, else for those who look for it."""
        logger.log(logging.WARNING if self.audible else logging.INFO, self.sentence)


def clipping_of(audio: npt.NDArray[Any], limit_db: float = 0.0) -> Clipping | None:
    """Measure what will be cut off; None where nothing is over the limit.

    Args:
        audio: Float samples of any shape.
        limit_db: The limit, in dB of full scale.
    """
    import numpy as np

    limit = 10 ** (limit_db / 20)
    peak = float(max(audio.max(initial=0.0), -audio.min(initial=0.0)))
    if not peak > limit:  # NaN is told elsewhere
        return None
    over = np.concatenate([audio[audio > limit], -audio[audio < -limit]]).astype(np.float64)
    return Clipping(
        samples=len(over),
        total=audio.size,
        over_db=20 * math.log10(peak / limit),
        taken=float(np.linalg.norm(over / limit - 1)),
        limit_db=limit_db,
    )


def cut_off(audio: Samples, limit_db: float = 0.0) -> Clipping | None:
    """Cut off what is over a limit, in place, and return what it was.

    Args:
        audio: Float32 samples of any shape.
        limit_db: The limit, in dB of full scale.
    """
    import numpy as np

    found = clipping_of(audio, limit_db)
    if found is not None:
        limit = np.float32(10 ** (limit_db / 20))
        np.clip(audio, -limit, limit, out=audio)
    return found


def within_full_scale(audio: Samples) -> Samples:
    """Cut off what is over full scale, in place, and say so in the log.

    Args:
        audio: Float32 samples of any shape.

    Returns:
        The same array.
    """
    found = cut_off(audio)
    if found is not None:
        found.tell(_log)
    return audio
