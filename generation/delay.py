"""The codebook delay pattern as a value (Copet et al. 2023, arXiv:2306.05284, figure 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from generation.errors import InvalidRequestError

UNKNOWN = -1
"""Stands in a table of tokens where the decoder is to choose."""


@dataclass(frozen=True, slots=True)
class DelayPattern:
    """Codebook `k` of frame `t` is predicted at step `t + delays[k]`; what no frame fills is the pad token."""

    delays: tuple[int, ...]

    @classmethod
    def of(cls, num_codebooks: int, audio_channels: int = 1) -> Self:
        """MusicGen's pattern: one step a codebook; in stereo left and right of a codebook share theirs."""
        return cls(tuple(k // audio_channels for k in range(num_codebooks)))

    @property
    def longest(self) -> int:
        """The largest delay in steps."""
        return max(self.delays)

    def steps(self, frames: int) -> int:
        """Decoder passes that `frames` whole frames take."""
        return frames + self.longest

    def frames(self, steps: int) -> int:
        """Whole frames that `steps` decoder passes give.

        Raises:
            InvalidRequestError: so few steps complete no frame.
        """
        if steps <= self.longest:
            raise InvalidRequestError(
                f"{steps} steps complete no frame; ask for at least {self.longest + 1} steps (50 are one second)."
            )
        return steps - self.longest

    def apply(self, codes: npt.NDArray[np.integer], pad: int) -> npt.NDArray[np.int32]:
        """Codes `(..., K, frames)` to the tokens of each step, `(..., K, steps)`."""
        frames = codes.shape[-1]
        tokens = np.full((*codes.shape[:-1], self.steps(frames)), pad, np.int32)
        for k, delay in enumerate(self.delays):
            tokens[..., k, delay : delay + frames] = codes[..., k, :]
        return tokens

    def plan(
        self, frames: int, pad: int, prompt: npt.NDArray[np.integer] | None = None
    ) -> npt.NDArray[np.int32]:
        """Tokens `(K, steps)` known beforehand: pads and the prompt's codes; `UNKNOWN` where to choose.

        Args:
            frames: Frames wanted in all, the prompt's included.
            pad: The decoder's special token.
            prompt: Codes `(K, prompt frames)` to go on from.
        """
        codes = np.full((len(self.delays), frames), UNKNOWN, np.int32)
        if prompt is not None:
            codes[:, : prompt.shape[1]] = prompt
        return self.apply(codes, pad)
