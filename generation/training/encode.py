"""Clips to codes: `python -m generation.training.encode --codec codec.safetensors --data DIR --out DIR`.

Writes `codes.npy`, int16 `(clips, K, frames)`, and `captions.json`, a list of captions for each clip.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from generation.encodec import Encodec
from generation.errors import AudioError
from generation.training.codec_files import load_codec

BATCH = 32


def encode_clips(codec: Encodec, pcm: NDArray[np.int16], *, batch: int = BATCH) -> NDArray[np.int16]:
    """Codes `(clips, K, frames)` of 16-bit clips `(clips, samples)`; short batches are padded to one shape."""
    done: list[NDArray[np.int16]] = []
    waiting: tuple[mx.array, int] | None = None
    for start in range(0, len(pcm), batch):
        rows = pcm[start : start + batch].astype(np.float32) / 32768
        count = len(rows)
        audio = mx.array(np.pad(rows, [(0, batch - count), (0, 0)]))[..., None]
        codes = codec.encode(audio).astype(mx.int16)
        mx.async_eval(codes)
        if waiting is not None:  # one batch runs while the last one is fetched
            done.append(np.array(waiting[0])[: waiting[1]])
        waiting = codes, count
    if waiting is not None:
        done.append(np.array(waiting[0])[: waiting[1]])
    return np.concatenate(done)


def finished_shards(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Samples and captions of each shard of a folder, in order."""
    for pcm in sorted(folder.glob("pcm-*.npy")):
        yield pcm, pcm.with_name(f"captions-{pcm.stem.removeprefix('pcm-')}.json")


def encode_folder(
    codec: Encodec, folder: Path, *, batch: int = BATCH, progress: Callable[[int, int], None] | None = None
) -> tuple[NDArray[np.int16], list[list[str]]]:
    """Codes and captions of all shards that are there now.

    Raises:
        AudioError: there is no shard, or one whose captions are not as many as its clips.
    """
    shards = list(finished_shards(folder))
    if not shards:
        raise AudioError(f"No shard pcm-*.npy in {folder}. Render some first.")
    codes: list[NDArray[np.int16]] = []
    captions: list[list[str]] = []
    for number, (pcm, text) in enumerate(shards, start=1):
        codes.append(encode_clips(codec, np.load(pcm, mmap_mode="r"), batch=batch))
        captions += json.loads(text.read_text(encoding="utf-8"))
        if len(captions) != sum(len(part) for part in codes):
            raise AudioError(f"{text} has not as many captions as {pcm.name} has clips.")
        if progress is not None:
            progress(number, len(shards))
    return np.concatenate(codes), captions


def write_encoded(folder: Path, codes: NDArray[np.int16], captions: list[list[str]]) -> None:
    """Write `codes.npy` and `captions.json`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".codes.tmp").open("wb") as file:
        np.save(file, codes)
    (folder / ".captions.tmp").write_text(json.dumps(captions), encoding="utf-8")
    os.replace(folder / ".codes.tmp", folder / "codes.npy")
    os.replace(folder / ".captions.tmp", folder / "captions.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Encode a folder of shards from the command line."""
    parser = argparse.ArgumentParser(prog="python -m generation.training.encode", description=main.__doc__)
    parser.add_argument("--codec", type=Path, required=True, help="codec.safetensors, or a whole checkpoint")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards pcm-*.npy")
    parser.add_argument("--out", type=Path, required=True, help="folder for codes.npy and captions.json")
    parser.add_argument("--batch", type=int, default=BATCH, help="clips at a time")
    options = parser.parse_args(arguments)
    start = time.monotonic()

    def progress(done: int, total: int) -> None:
        print(f"shard {done} of {total}, {time.monotonic() - start:.1f} s", flush=True)

    codec, _ = load_codec(options.codec)
    codes, captions = encode_folder(codec, options.data, batch=options.batch, progress=progress)
    write_encoded(options.out, codes, captions)
    print(f"{len(codes)} clips, {codes.shape[1]} codebooks, {codes.shape[2]} frames", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
