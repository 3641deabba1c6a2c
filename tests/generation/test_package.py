"""The package's face: what it exports, what importing it costs, and the first sketch's calls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import generation
from generation.audio import load_audio
from generation.errors import GenerationError, InvalidRequestError, ModelNotFoundError


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True
    )
    return done.stdout


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = {"mlx", "mlx.core", "numpy", "soundfile", "soxr", "torch", "transformers", "huggingface_hub"}
    loaded = run("import sys, generation; print(*sys.modules)").split()
    assert not heavy & set(loaded)


def test_sound_files_need_no_mlx() -> None:
    loaded = run("import sys; from generation import save_audio, read_comment; print(*sys.modules)").split()
    assert not {"mlx", "mlx.core", "torch"} & set(loaded)


def test_every_export_exists() -> None:
    for name in generation.__all__:
        assert getattr(generation, name).__name__ == name
    assert set(generation.__all__) == set(generation._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = generation.nothing


def test_the_first_sketchs_import() -> None:
    run("from generation import MusicGen, save_audio, generate_audio, generate_and_play")


def test_all_errors_are_of_one_tree() -> None:
    from generation import errors

    found = [value for value in vars(errors).values() if isinstance(value, type)]
    assert len(found) >= 6
    assert all(issubclass(error, GenerationError) for error in found)
    assert issubclass(InvalidRequestError, ValueError)


def test_generate_audio(tiny_folder: Path, tmp_path: Path) -> None:
    made = generation.generate_audio("tense action sequence", model=tiny_folder, max_steps=8, seed=5)
    assert made.audio.shape == (5 * 640,)
    assert made.sampling_rate == 32000
    made.save(tmp_path / "soundtrack.wav")
    audio, rate = load_audio(tmp_path / "soundtrack.wav")
    assert rate == 32000
    np.testing.assert_allclose(audio, made.audio, atol=1 / 32768)
    again = generation.generate_audio("tense action sequence", model=tiny_folder, max_steps=8, seed=5)
    np.testing.assert_array_equal(again.audio, made.audio)


def test_the_model_is_the_one_of_the_environment(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIOLIB_MODEL", str(tiny_folder))
    assert generation.generate_audio("dark", max_steps=5).audio.shape == (2 * 640,)
    monkeypatch.setenv("AUDIOLIB_MODEL", "no/such")
    with pytest.raises(ModelNotFoundError, match="no/such"):
        generation.generate_audio("dark", max_steps=5)
