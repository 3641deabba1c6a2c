"""Stage 1: the starter's vocabulary, from captions alone.

`python -m generation.training.starter.vocabulary --captions 80000 --out mlx-models/starter/spiece.model`
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from generation.training.starter.attributes import choose_attributes
from generation.training.starter.captions import captions_for
from generation.training.starter.config import STARTER_TEXT
from generation.training.vocabulary import train_vocabulary

_PER_PIECE = 4


def captions(count: int) -> Iterator[str]:
    """`count` captions of the pieces with seeds from 0 on; nothing is rendered."""
    for seed in range(count // _PER_PIECE):
        attributes = choose_attributes(np.random.default_rng([seed, 0]))
        yield from captions_for(attributes, np.random.default_rng([seed, 3]), _PER_PIECE)


def main(arguments: list[str] | None = None) -> int:
    """The command line of this stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=int, default=80_000)
    parser.add_argument("--size", type=int, default=STARTER_TEXT.vocab_size)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    train_vocabulary(captions(options.captions), options.out, options.size)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
