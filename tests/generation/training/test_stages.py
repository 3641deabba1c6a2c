"""Every documented stage of the starter at a toy size: from a seed to a checkpoint that makes music."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from generation.musicgen import MusicGen


def stage(module: str, *arguments: object) -> str:
    """Run a stage as its documentation says, and return what it printed."""
    command = [sys.executable, "-m", f"generation.training.{module}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_all_stages_in_a_row(tmp_path: Path) -> None:
    vocabulary, pcm, codec = tmp_path / "spiece.model", tmp_path / "pcm", tmp_path / "codec"
    codes, lm, out = tmp_path / "codes", tmp_path / "lm", tmp_path / "checkpoint"
    stage("starter.vocabulary", "--captions", 400, "--size", 96, "--out", vocabulary)
    stage("starter.render", "--out", pcm, "--clips", 8, "--seconds", 2, "--workers", 1)
    stage("codec", "--data", pcm, "--out", codec, "--steps", 6, "--batch", 2, "--toy")
    stage("encode", "--codec", codec / "codec.safetensors", "--data", pcm, "--out", codes, "--batch", 4)
    assert np.load(codes / "codes.npy").shape == (8, 4, 100)
    printed = stage(
        *("language_model", "--data", codes, "--vocabulary", vocabulary, "--out", lm),
        *("--steps", 6, "--batch", 2, "--toy"),
    )
    assert "best held-out loss" in printed
    stage(
        *(
            "starter.assemble",
            "--codec",
            codec / "codec.safetensors",
            "--vocabulary",
            vocabulary,
            "--out",
            out,
        ),
        *("--language-model", lm / "language_model.safetensors"),
    )
    # The codec of a finished checkpoint serves the next language model as well.
    stage("encode", "--codec", out, "--data", pcm, "--out", tmp_path / "again", "--batch", 4)
    same = np.load(tmp_path / "again" / "codes.npy") == np.load(codes / "codes.npy")
    assert same.mean() > 0.9  # float16 moves a few codes
    audio = MusicGen.from_pretrained(out).generate("calm piano", duration=0.5, seed=1)
    assert audio.shape == (16_000,)
    assert np.isfinite(audio).all()
