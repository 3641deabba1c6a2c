"""Encoded clips with their captions, as arrays that a training step can take rows from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from generation.delay import DelayPattern
from generation.errors import CheckpointError

TEXT_LENGTH = 48
"""Token places for a caption, the end token included; longer captions are cut."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step sees.

    Attributes:
        tokens: Inputs and targets in one: `(B, K, steps + 1)` int32, the special token first.
        text: Caption tokens `(B, S)` int32, 0 where padded.
        keep: `(B,)` float32; 0 where the caption is dropped, so that the model also learns to go without one.
    """

    tokens: npt.NDArray[np.int32]
    text: npt.NDArray[np.int32]
    keep: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Codes `(N, K, frames)` int16 and caption tokens `(N, captions, S)` int16."""

    codes: npt.NDArray[np.int16]
    text: npt.NDArray[np.int16]

    def split(self, held_out: int) -> tuple[Corpus, Corpus]:
        """All but the last `held_out` clips, and those."""
        at = len(self.codes) - held_out
        return Corpus(self.codes[:at], self.text[:at]), Corpus(self.codes[at:], self.text[at:])

    def batches(
        self,
        size: int,
        pattern: DelayPattern,
        special: int,
        *,
        drop: float,
        seed: int,
        frames: int | None = None,
    ) -> Iterator[Batch]:
        """Endless batches: every clip once an epoch in a new order, each time with one of its captions.

        With `frames` a batch is that long a part of its clips, from a random frame on.
        """
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.codes))
        at = 0
        while True:
            if at + size > len(order):
                order, at = rng.permutation(len(self.codes)), 0
            rows = order[at : at + size]
            at += size
            text = self.text[rows, rng.integers(0, self.text.shape[1], len(rows))].astype(np.int32)
            keep = (rng.random(len(rows)) >= drop).astype(np.float32)
            codes = self.codes[rows]
            if frames is not None and frames < codes.shape[2]:
                start = int(rng.integers(codes.shape[2] - frames + 1))
                codes = codes[:, :, start : start + frames]
            yield Batch(delayed(codes, pattern, special), text, keep)


def delayed(codes: npt.NDArray[np.integer], pattern: DelayPattern, special: int) -> npt.NDArray[np.int32]:
    """Codes `(B, K, frames)` to the decoder's tokens `(B, K, steps + 1)`, the special token first."""
    start = np.full((*codes.shape[:-1], 1), special, np.int32)
    return np.concatenate([start, pattern.apply(codes, special)], axis=-1)


def tokenise(captions: list[list[str]], encode: Callable[[str], list[int]]) -> npt.NDArray[np.int16]:
    """Captions of each clip to `(N, captions, S)` int16; every clip has as many as the first."""
    out = np.zeros((len(captions), len(captions[0]), TEXT_LENGTH), np.int16)
    for i, wordings in enumerate(captions):
        for j, wording in enumerate(wordings):
            ids = encode(wording)
            ids = ids if len(ids) <= TEXT_LENGTH else [*ids[: TEXT_LENGTH - 1], ids[-1]]
            out[i, j, : len(ids)] = ids
    return out


def read_encoded(folder: Path) -> tuple[npt.NDArray[np.int16], list[list[str]]]:
    """Codes and captions as `generation.training.encode` wrote them: `codes.npy` and `captions.json`.

    Raises:
        CheckpointError: they are missing or do not belong together.
    """
    try:
        codes = np.load(folder / "codes.npy", mmap_mode="r")
        captions = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder} holds no encoded clips; make them with generation.training.encode."
        ) from error
    if len(codes) != len(captions):
        raise CheckpointError(f"{folder} has {len(codes)} clips but captions for {len(captions)}.")
    return codes, captions
