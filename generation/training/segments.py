"""Random segments of rendered clips, made on a background thread so that the accelerator never waits."""

from __future__ import annotations

import logging
import queue
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generation.errors import AudioError

logger = logging.getLogger(__name__)

HELD_OUT = 0.05  # share of the first shard's clips that is never trained on
_RESCAN_SECONDS = 5.0


class SegmentSource:
    """Batches from the shards `pcm-*.npy` (int16, `(clips, samples)`) of a folder; new shards join as they appear."""

    def __init__(self, folder: Path, *, batch: int, samples: int, seed: int, patience: float = 600.0) -> None:
        """Wait up to `patience` seconds for the first shard.

        Raises:
            AudioError: no shard appeared, or its clips are shorter than a segment.
        """
        self._folder, self._batch, self._samples, self._seed = folder, batch, samples, seed
        self._shards: dict[str, NDArray[np.int16]] = {}
        self._scanned = 0.0
        deadline = time.monotonic() + patience
        while not self._rescan():
            if time.monotonic() > deadline:
                raise AudioError(f"No shard pcm-*.npy in {folder}. Render some first.")
            logger.warning("Waiting for the first shard in %s.", folder)
            time.sleep(5.0)
        first = next(iter(self._shards.values()))
        self._held = max(1, round(len(first) * HELD_OUT))

    def _rescan(self) -> int:
        self._scanned = time.monotonic()
        for path in sorted(self._folder.glob("pcm-*.npy")):
            if path.name in self._shards:
                continue
            try:
                shard = np.load(path, mmap_mode="r")
            except (OSError, ValueError):
                logger.warning("Shard %s is not readable yet.", path.name)
                continue
            if shard.shape[1] < self._samples:
                raise AudioError(f"The clips of {path.name} are shorter than a segment.")
            self._shards[path.name] = shard
        # By name, so that a batch depends on the shards there and not on the order they came in.
        self._shards = dict(sorted(self._shards.items()))
        return len(self._shards)

    @property
    def clips(self) -> int:
        """Clips found so far, the held-out ones included."""
        return sum(len(shard) for shard in self._shards.values())

    def batch(self, step: int) -> NDArray[np.float32]:
        """The batch of a training step, `(B, samples)`: the same for the same seed, step and shards."""
        if time.monotonic() - self._scanned > _RESCAN_SECONDS:
            self._rescan()
        rng = np.random.default_rng([self._seed, step])
        shards = list(self._shards.values())
        sizes = np.array([len(shard) for shard in shards])
        sizes[0] = max(1, sizes[0] - self._held)
        ends = np.cumsum(sizes)
        picks = rng.integers(ends[-1], size=self._batch)
        gains = np.exp(rng.uniform(np.log(0.2), 0.0, self._batch))
        out = np.empty((self._batch, self._samples), np.float32)
        for row, pick in enumerate(picks):
            number = int(np.searchsorted(ends, pick, side="right"))
            clip = shards[number][int(pick - ends[number] + sizes[number])]
            start = int(rng.integers(len(clip) - self._samples + 1))
            out[row] = clip[start : start + self._samples]
            out[row] *= gains[row] / 32768
        return out

    def held_out(self) -> NDArray[np.float32]:
        """A fixed batch from the first shard's last clips, `(B, samples)`, at full gain."""
        clips = next(iter(self._shards.values()))[-self._held :]
        rng = np.random.default_rng([self._seed, 1])
        starts = rng.integers(clips.shape[1] - self._samples + 1, size=self._batch)
        rows = [clips[i % len(clips)][s : s + self._samples] for i, s in enumerate(starts)]
        return np.asarray(np.stack(rows) / 32768, dtype=np.float32)


class Prefetcher:
    """Batches of successive steps, a few ahead, from a thread; an error there is raised by `next`."""

    def __init__(self, source: SegmentSource, first_step: int, ahead: int = 8) -> None:
        self._source, self._step = source, first_step
        self._queue: queue.Queue[NDArray[np.float32] | BaseException] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _put(self, item: NDArray[np.float32] | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self._put(self._source.batch(self._step))
                self._step += 1
        except Exception as error:  # handed to the reader, who raises it
            self._put(error)

    def next(self) -> NDArray[np.float32]:
        """The next step's batch."""
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()
