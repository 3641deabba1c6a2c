"""Shards of rendered clips on disk: written whole or not at all, readable while others are being made."""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from generation.errors import InvalidRequestError
from generation.training.starter.captions import captions_for
from generation.training.starter.instruments import SAMPLING_RATE
from generation.training.starter.render import render_clip

CLIPS_PER_SHARD = 256
CAPTIONS_PER_CLIP = 4

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One shard to write: clips of the seeds `first_seed` to `first_seed + clips - 1`."""

    folder: Path
    number: int
    first_seed: int
    clips: int
    seconds: float

    @property
    def pcm_path(self) -> Path:
        """16-bit samples, `(clips, samples)`."""
        return self.folder / f"pcm-{self.number:05d}.npy"

    @property
    def captions_path(self) -> Path:
        """A list of captions for each clip."""
        return self.folder / f"captions-{self.number:05d}.json"


def write_shard(shard: Shard) -> Path:
    """Render a shard; its captions come first, so that samples are never there without captions."""
    pcm = np.zeros((shard.clips, round(shard.seconds * SAMPLING_RATE)), dtype=np.int16)
    captions: list[list[str]] = []
    for row in range(shard.clips):
        seed = shard.first_seed + row
        clip = render_clip(seed, seconds=shard.seconds)
        np.multiply(clip.audio, 32767.0, out=pcm[row], casting="unsafe")
        captions.append(captions_for(clip.attributes, np.random.default_rng([seed, 3]), CAPTIONS_PER_CLIP))
    temporary = shard.folder / f".captions-{shard.number:05d}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps(captions), encoding="utf-8")
    temporary.replace(shard.captions_path)
    temporary = shard.folder / f".pcm-{shard.number:05d}.{os.getpid()}.tmp"
    with temporary.open("wb") as file:
        np.save(file, pcm)
    temporary.replace(shard.pcm_path)
    return shard.pcm_path


def plan_shards(
    folder: Path, *, clips: int, first_seed: int, seconds: float, clips_per_shard: int = CLIPS_PER_SHARD
) -> list[Shard]:
    """Divide `clips` clips into shards, the last one shorter if need be."""
    if clips < 1 or clips_per_shard < 1:
        raise InvalidRequestError("At least one clip and one clip a shard are needed.")
    return [
        Shard(
            folder=folder,
            number=number,
            first_seed=first_seed + start,
            clips=min(clips_per_shard, clips - start),
            seconds=seconds,
        )
        for number, start in enumerate(range(0, clips, clips_per_shard))
    ]


def write_shards(
    shards: Sequence[Shard], *, workers: int, progress: Callable[[int, int], None] | None = None
) -> None:
    """Render shards in `workers` processes; shards that are already there are kept.

    Args:
        shards: from `plan_shards`.
        workers: processes; 1 renders in this one.
        progress: called with the finished and all shards.
    """
    for shard in shards:
        shard.folder.mkdir(parents=True, exist_ok=True)
    waiting = [shard for shard in shards if not shard.pcm_path.exists()]
    done = len(shards) - len(waiting)
    if workers <= 1:
        for shard in waiting:
            write_shard(shard)
            done += 1
            if progress is not None:
                progress(done, len(shards))
        return
    # Fresh processes: a fork of a process that holds threads or a GPU would not be safe.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for finished in as_completed([pool.submit(write_shard, shard) for shard in waiting]):
            finished.result()
            done += 1
            if progress is not None:
                progress(done, len(shards))


def main(arguments: Sequence[str] | None = None) -> int:
    """Render shards from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m generation.training.starter.render", description=main.__doc__
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--clips", type=int, required=True, help="how many clips")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first clip")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a clip")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--clips-per-shard", type=int, default=CLIPS_PER_SHARD)
    options = parser.parse_args(arguments)
    # One thread a process: the processes share the cores already.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    shards = plan_shards(
        options.out,
        clips=options.clips,
        first_seed=options.first_seed,
        seconds=options.seconds,
        clips_per_shard=options.clips_per_shard,
    )
    write_shards(
        shards, workers=options.workers, progress=lambda done, of: logger.info("%d of %d shards", done, of)
    )
    return 0
