"""Shards: whole or not there, readable while others are written, the same for any number of workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from generation.errors import InvalidRequestError
from generation.training.starter import shards
from generation.training.starter.render import render_clip


def test_shards_hold_the_clips_of_their_seeds(tmp_path: Path) -> None:
    plan = shards.plan_shards(tmp_path / "new", clips=5, first_seed=100, seconds=0.5, clips_per_shard=2)
    assert [shard.clips for shard in plan] == [2, 2, 1]
    seen = []
    shards.write_shards(plan, workers=1, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        *(f"captions-{number:05d}.json" for number in range(3)),
        *(f"pcm-{number:05d}.npy" for number in range(3)),
    ]
    samples = np.load(plan[1].pcm_path)
    captions = json.loads(plan[1].captions_path.read_text(encoding="utf-8"))
    assert samples.dtype == np.int16
    assert samples.shape == (2, 16_000)
    assert [len(set(row)) for row in captions] == [4, 4]
    expected = render_clip(103, seconds=0.5).audio
    np.testing.assert_allclose(samples[1] / 32767, expected, atol=1 / 32767)


def test_finished_shards_are_kept(tmp_path: Path) -> None:
    plan = shards.plan_shards(tmp_path, clips=2, first_seed=0, seconds=0.2, clips_per_shard=1)
    shards.write_shards(plan, workers=1)
    before = plan[0].pcm_path.stat().st_mtime_ns
    plan[1].pcm_path.unlink()
    shards.write_shards(plan, workers=1)
    assert plan[0].pcm_path.stat().st_mtime_ns == before
    assert plan[1].pcm_path.exists()


def test_a_failing_write_leaves_no_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: object, array: object) -> None:
        raise OSError(28, "No space left on device")

    plan = shards.plan_shards(tmp_path, clips=1, first_seed=0, seconds=0.2)
    monkeypatch.setattr(shards.np, "save", full)
    with pytest.raises(OSError, match="No space"):
        shards.write_shards(plan, workers=1)
    assert not plan[0].pcm_path.exists()
    monkeypatch.undo()
    shards.write_shards(plan, workers=1)
    assert np.load(plan[0].pcm_path).shape == (1, 6400)


def test_the_command_line_with_two_workers_gives_the_same_samples(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "generation.training.starter.render", "--out", str(tmp_path),
               "--clips", "3", "--first-seed", "7", "--seconds", "0.25", "--workers", "2",
               "--clips-per-shard", "2"]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120)
    rows = np.concatenate([np.load(tmp_path / f"pcm-0000{number}.npy") for number in range(2)])
    expected = np.stack([render_clip(seed, seconds=0.25).audio for seed in (7, 8, 9)])
    np.testing.assert_allclose(rows / 32767, expected, atol=1 / 32767)


def test_no_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="At least one"):
        shards.plan_shards(tmp_path, clips=0, first_seed=0, seconds=1.0)
