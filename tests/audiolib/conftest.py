"""What the library's tests share: the real engine on a tiny random checkpoint, and folders of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from audiolib import AudioLibrary, Clip
from audiolib.settings import Settings

# Set before anything imports the hub's client: the tests must never reach for the network.
os.environ["HF_HUB_OFFLINE"] = "1"


sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))  # for the modules that tests share

from collection import put_clip
from library_files import clips_of, make
from library_stock import open_stock, stock

# A machine that is busy with other things is no reason to fail.
hypothesis_settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("busy")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with `tiny` and `other`, two checkpoints that differ in their weights."""
    from generation.backend import prepare

    prepare()  # as every command does before MLX: another matrix library would give other last bits
    from generation.tiny import make_tiny_checkpoint

    folder = tmp_path_factory.mktemp("models")
    make_tiny_checkpoint(folder / "tiny", seed=0)
    make_tiny_checkpoint(folder / "other", seed=1)
    return folder


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, models: Path) -> None:
    """No setting of this machine's user, and a current folder of the test's own."""
    for name in [name for name in os.environ if name.startswith("AUDIOLIB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AUDIOLIB_MODELS", str(models))
    monkeypatch.setenv("AUDIOLIB_MODEL", "tiny")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # processes side by side must not spin against each other
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def library(tmp_path: Path) -> AudioLibrary:
    """An empty library."""
    return AudioLibrary(tmp_path / "library", settings=Settings(model="tiny", lock_timeout=5))


@pytest.fixture(scope="session")
def _stock(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """A library of three indexed clips, to be copied."""
    path = tmp_path_factory.mktemp("stock") / "library"
    library = AudioLibrary(path, settings=Settings(model=str(models / "tiny")))
    clips_of(library, "calm piano", "happy rock", "techno")
    return path


@pytest.fixture
def stocked(tmp_path: Path, _stock: Path) -> AudioLibrary:
    """A library of three indexed clips of a fifth of a second: calm piano, happy rock, techno."""
    path = tmp_path / "stocked"
    shutil.copytree(_stock, path)
    return AudioLibrary(path, settings=Settings(model="tiny", lock_timeout=5))


@pytest.fixture(scope="session")
def _mixed_stock(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """A library of three kinds of clips, to be copied."""
    root = tmp_path_factory.mktemp("mixed") / "library"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIOLIB_MODELS", str(models))
        stock(root)
    return root


@pytest.fixture
def mixed(tmp_path: Path, _mixed_stock: Path) -> AudioLibrary:
    """A library of a tagged and rated WAV, a FLAC and a clip with a transcript, all old; see `library_stock.stock`."""
    shutil.copytree(_mixed_stock, tmp_path / "library")
    return open_stock(tmp_path / "library")


@pytest.fixture(scope="session")
def more_models(models: Path) -> None:
    """`wide` shares the codec of `tiny`, as musicgen-medium shares that of -small; `tune` follows melodies."""
    from generation.config import DecoderConfig, MelodyConfig, MusicGenConfig
    from generation.tiny import make_tiny_checkpoint

    wide = replace(DecoderConfig.tiny(), hidden_size=48, num_hidden_layers=3)
    make_tiny_checkpoint(
        models / "wide", 7, replace(MusicGenConfig.tiny(), decoder=wide), codec_of=models / "tiny"
    )
    decoder = replace(DecoderConfig.tiny(), cross_attention=False)
    tune = replace(MusicGenConfig.tiny(), decoder=decoder, melody=MelodyConfig(chroma_length=10))
    make_tiny_checkpoint(models / "tune", 8, tune, codec_of=models / "tiny")


@pytest.fixture
def clip(library: AudioLibrary) -> Clip:
    """Ten frames, without a row in the index."""
    return make(library, "calm piano", duration=0.2, seed=7, tags=("lofi",))


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A scale of half a second in a file, at another rate and in stereo."""
    from generation.audio import save_audio

    rate = 44_100
    notes = [440.0 * 2 ** (n / 12) for n in (0, 4, 7)]
    wave = np.concatenate([0.3 * np.sin(2 * np.pi * f * np.arange(rate // 6) / rate) for f in notes])
    save_audio(tmp_path / "tone.wav", np.stack([wave, 0.5 * wave], axis=1).astype(np.float32), rate)
    return tmp_path / "tone.wav"


@pytest.fixture
def three(library: AudioLibrary) -> AudioLibrary:
    """A library of three clips that no model made."""
    put_clip(
        library.path, "calm piano", tags=("lofi", "night"), rating=4, license="cc-by-nc-4.0", key="A minor"
    )
    put_clip(library.path, "happy rock", model="starter", license="mit", tempo_bpm=120.0, duration=1.6)
    put_clip(library.path, 'Ænima, "live"', kind="imported", model=None, prompt=None, suffix=".flac")
    return library


@pytest.fixture
def cli() -> Callable[..., Result]:
    """Run a command in this process."""
    from audiolib.cli import cli as group

    def run(*arguments: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(group, list(arguments), input=input, prog_name="audiolib")

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in a process of its own."""

    def run(arguments: Sequence[str | bytes], **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "audiolib", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )

    return run
