"""Seed in, clip out: music with captions for the starter model to learn from.

`python -m generation.training.starter.render --out DIR --clips N --first-seed S --seconds 8 --workers W`
writes shards of 16-bit samples and of captions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generation.errors import InvalidRequestError
from generation.training.starter.attributes import PieceAttributes, choose_attributes
from generation.training.starter.captions import captions_for
from generation.training.starter.instruments import SAMPLING_RATE, Samples
from generation.training.starter.mix import mix
from generation.training.starter.piece import compose

__all__ = ["SAMPLING_RATE", "RenderedClip", "render_clip", "render_piece"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedClip:
    """A rendered clip: `audio` is `(samples,)` float32 at 32 kHz, peak at most 0.9."""

    audio: Samples
    attributes: PieceAttributes
    caption: str


def render_piece(attributes: PieceAttributes, seed: int, *, seconds: float = 8.0) -> Samples:
    """Compose and render a piece with given attributes; other seeds give other pieces.

    Raises:
        InvalidRequestError: `seconds` is not at least 0.1.
    """
    if not seconds >= 0.1:
        raise InvalidRequestError("A clip is at least 0.1 seconds long.")
    rng = np.random.default_rng([seed, 1])
    return mix(compose(attributes, rng, seconds), attributes, seconds)


def render_clip(seed: int, *, seconds: float = 8.0) -> RenderedClip:
    """Choose, compose and render the clip of a seed; the same seed gives the same samples.

    Raises:
        InvalidRequestError: `seconds` is not at least 0.1.
    """
    attributes = choose_attributes(np.random.default_rng([seed, 0]))
    caption = captions_for(attributes, np.random.default_rng([seed, 2]), 1)[0]
    audio = render_piece(attributes, seed, seconds=seconds)
    return RenderedClip(audio=audio, attributes=attributes, caption=caption)


if __name__ == "__main__":
    from generation.training.starter.shards import main

    raise SystemExit(main())
