"""What the library's tests share: the real engine on a tiny random checkpoint, and folders of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from audiolib import AudioLibrary
from audiolib.settings import Settings

# Set before anything imports the hub's client: the tests must never reach for the network.
os.environ["HF_HUB_OFFLINE"] = "1"


sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))  # for the modules that tests share

from library_files import clips_of
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
