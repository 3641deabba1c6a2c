"""Speech and what is not speech as shards of log-mel frames.

`python -m indexing.training.corpus --out DIR --spoken N --other N [--music DIR] --workers W`
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import time
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexing.training import acoustics, features, voices
from indexing.training.engines import SAMPLING_RATE, Samples, Voice, say
from indexing.training.words import WORDS, sentence

_log = logging.getLogger(__name__)

CLIPS_PER_SHARD = 500
LONGEST_SENTENCE = 8
MUSIC_SECONDS = 6.0
_QUIET = 4.0  # bels under a clip's loudest band: the edge of speech
_NUMBER = {word: number for number, word in enumerate(WORDS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A clip of speech.

    Attributes:
        samples: `(samples,)` at 16 kHz.
        words: What is said.
        starts: Seconds at which each word begins; None where the engine does not tell.
        voice: Who says it.
    """

    samples: Samples
    words: tuple[str, ...]
    starts: tuple[float, ...] | None
    voice: Voice


def is_held_out(words: Sequence[str]) -> bool:
    """One sentence in twenty is never trained on, whoever says it."""
    return zlib.crc32(" ".join(words).encode()) % 20 == 0


def draw_sentence(rng: np.random.Generator, *, held_out: bool) -> tuple[str, ...]:
    """A sentence of the wanted side of the split."""
    while is_held_out(words := sentence(rng)) != held_out:
        pass
    return words


def speak(seed: int, *, held_out: bool = False, unseen_voice: bool = False) -> Spoken:
    """The spoken clip of a seed: a sentence, a voice, a room, a level.

    espeak-ng's samples depend a little on what this process had it say before.
    """
    rng = np.random.default_rng([seed, 11])
    words = draw_sentence(rng, held_out=held_out)
    voice = voices.draw_unseen(rng) if unseen_voice else voices.draw(rng)
    said = say(words, voice)
    samples, starts = said.samples, said.starts
    if not unseen_voice and rng.random() < 0.5:
        factor = float(rng.uniform(0.87, 1.15))
        samples = acoustics.warp(samples, factor)
        starts = None if starts is None else tuple(start / factor for start in starts)
    if rng.random() < 0.35:
        samples = acoustics.reverberate(samples, rng)
    samples = acoustics.at_level(samples, float(rng.uniform(-38, -14)))
    if rng.random() < 0.3:
        noise = acoustics.coloured_noise(len(samples), float(rng.uniform(0, 2)), rng)
        samples = samples + acoustics.at_level(noise, float(rng.uniform(-70, -45)))
    return Spoken(samples=samples, words=words, starts=starts, voice=voice)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPlan:
    """One shard to write; `music` names files of 16-bit samples at 32 kHz, `(clips, samples)`."""

    path: Path
    first_seed: int
    clips: int
    spoken: bool
    music: tuple[Path, ...] = ()


def write_shard(plan: ShardPlan) -> Path:
    """Make the clips of a shard and write it."""
    seeds = range(plan.first_seed, plan.first_seed + plan.clips)
    if plan.spoken:
        return save_shard(plan.path, (speak(seed) for seed in seeds))
    return save_shard(plan.path, (_other(seed, plan.music) for seed in seeds))


def save_shard(path: Path, clips: Iterable[Spoken | Samples]) -> Path:
    """Write a shard: the frames of all clips one after the other, and each clip's length, words and times.

    Args:
        path: Named `spoken-<number>.npz` or `other-<number>.npz`.
        clips: Speech, or only samples where nobody speaks.
    """
    mels: list[NDArray[np.float16]] = []
    rows: dict[str, list[Any]] = {name: [] for name in ("lengths", "words", "starts", "edges", "level")}
    for clip in clips:
        mel = features.log_power(clip.samples if isinstance(clip, Spoken) else clip)
        words = np.full(LONGEST_SENTENCE, -1, np.int16)
        starts, edges = words.copy(), (0, 0)
        if isinstance(clip, Spoken):
            words[: len(clip.words)] = [_NUMBER[word] for word in clip.words]
            edges = speech_edges(mel)
            if clip.starts is not None:
                starts[: len(clip.words)] = np.round(np.array(clip.starts) * features.FRAMES_PER_SECOND)
        values = (len(mel), words, starts, edges, mel.max())
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
        mels.append(mel.astype(np.float16))
    dtypes = (np.int32, np.int16, np.int16, np.int16, np.float32)
    tables: dict[str, Any] = {
        name: np.array(column, dtype) for (name, column), dtype in zip(rows.items(), dtypes, strict=True)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez(temporary, mel=np.concatenate(mels), **tables)
    temporary.replace(path)
    return path


def speech_edges(mel: NDArray[np.float32]) -> tuple[int, int]:
    """First frame with speech and the one after the last, by power."""
    loud = np.flatnonzero(mel.max(axis=1) > mel.max() - _QUIET)
    return int(loud[0]), int(loud[-1]) + 1


def _other(seed: int, music: tuple[Path, ...]) -> Samples:
    """Music where there is some and noises for the rest; music is three quarters."""
    rng = np.random.default_rng([seed, 12])
    if not music or rng.random() < 0.25:
        return acoustics.not_speech(MUSIC_SECONDS, rng)
    import soxr

    clips = np.load(music[rng.integers(len(music))], mmap_mode="r")
    clip = clips[rng.integers(len(clips))].astype(np.float32) / 32768
    samples: Samples = soxr.resample(clip, 2 * SAMPLING_RATE, SAMPLING_RATE)
    begin = int(rng.integers(0, max(1, len(samples) - int(MUSIC_SECONDS * SAMPLING_RATE))))
    samples = samples[begin : begin + int(MUSIC_SECONDS * SAMPLING_RATE)]
    if rng.random() < 0.3:
        samples = acoustics.warp(samples, float(rng.uniform(0.7, 1.4)))
    return acoustics.at_level(samples, float(rng.uniform(-40, -9)))


def plan_shards(
    out: Path, *, spoken: int, other: int, music: tuple[Path, ...], first_seed: int = 0
) -> list[ShardPlan]:
    """Both kinds in shards of at most 500 clips; a clip's seed does not depend on their number."""
    plans = []
    for kind, clips in (("other", other), ("spoken", spoken)):  # what there is less of first
        for number, start in enumerate(range(0, clips, CLIPS_PER_SHARD)):
            plans.append(
                ShardPlan(
                    path=out / f"{kind}-{number:04d}.npz",
                    first_seed=first_seed + start,
                    clips=min(CLIPS_PER_SHARD, clips - start),
                    spoken=kind == "spoken",
                    music=music,
                )
            )
    return plans


def write_shards(plans: Sequence[ShardPlan], workers: int, *, minutes: float = math.inf) -> int:
    """Make the shards that are not there yet, in `workers` fresh processes; after `minutes` no more are begun.

    Returns:
        How many of the plans are there now.
    """
    waiting = [plan for plan in plans if not plan.path.exists()]
    done = len(plans) - len(waiting)
    end = time.monotonic() + 60 * minutes
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pending = [pool.submit(write_shard, plan) for plan in waiting]
        for finished in as_completed(pending):
            if finished.cancelled():
                continue
            finished.result()
            done += 1
            if done % 10 == 0 or done == len(plans):
                _log.info("%d of %d shards", done, len(plans))
            if time.monotonic() > end:
                for future in pending:
                    future.cancel()
    return done


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this stage."""
    parser = argparse.ArgumentParser(prog="python -m indexing.training.corpus", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--spoken", type=int, default=60_000, help="clips of speech")
    parser.add_argument("--other", type=int, default=6_000, help="clips without speech")
    parser.add_argument(
        "--music", type=Path, help="folder of pcm-*.npy from generation.training.starter.render"
    )
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop then with what is there")
    options = parser.parse_args(arguments)
    # One thread a process: the processes share the cores already.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    music = tuple(sorted(options.music.glob("pcm-*.npy"))) if options.music else ()
    plans = plan_shards(
        options.out, spoken=options.spoken, other=options.other, music=music, first_seed=options.first_seed
    )
    done = write_shards(plans, options.workers, minutes=options.minutes)
    _log.info("%d of %d shards are there", done, len(plans))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
