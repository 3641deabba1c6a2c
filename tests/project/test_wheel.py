"""The wheel carries the starter model and works from a clean environment outside the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

STARTER = "generation/_bundled/starter"
STARTER_FILES = {"config.json", "generation_config.json", "model.safetensors", "spiece.model", "README.md"}


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", out], cwd=root, check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment: the wheel and the packages of this one, not the checkout."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    bin_ = folder / "bin"
    pip = [sys.executable, "-m", "pip", "--python", bin_ / "python"]
    subprocess.run([*pip, "install", "-qq", "--no-deps", "--no-index", wheel], check=True)
    site = subprocess.run(
        [bin_ / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # A .pth line adds a folder but reads no .pth files in it, so the editable install stays invisible.
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return bin_


def run(program: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("AUDIOLIB_", "PYTHON"))}
    return subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env={**keep, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_the_wheel_holds_what_it_should(wheel: Path, root: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        metadata = archive.read(next(name for name in sizes if name.endswith(".dist-info/METADATA"))).decode()
    for package in ("audiolib", "generation", "indexing"):
        assert f"{package}/__init__.py" in sizes
        assert f"{package}/py.typed" in sizes
    assert any(name.endswith("licenses/LICENSE") for name in sizes)
    source = root / "mlx-models" / "starter"
    starter = {path.name: path.stat().st_size for path in source.iterdir() if path.is_file()}
    assert set(starter) >= STARTER_FILES
    assert {name: sizes.get(f"{STARTER}/{name}") for name in starter} == starter
    assert sizes[f"{STARTER}/model.safetensors"] > 1_000_000
    assert not [name for name in sizes if name.split("/")[0] in {"tests", "docs", "data", "mlx-models"}]
    assert "License-Expression: MIT" in metadata


@pytest.mark.slow
def test_the_source_archive_can_build_the_wheel(wheel: Path, root: Path) -> None:
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.split("/", 1)[1] for name in tar.getnames() if "/" in name}
    assert {f"mlx-models/starter/{name}" for name in STARTER_FILES} <= names
    assert {"pyproject.toml", "Makefile", "LICENSE", "README.md", "docs/demo.sh", "uv.lock"} <= names
    assert any(name.startswith("tests/generation/") for name in names)


@pytest.mark.slow
def test_the_installed_package_is_not_the_checkout(elsewhere: Path, tmp_path: Path, root: Path) -> None:
    done = run(elsewhere / "python", "-c", "import generation; print(generation.__file__)", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not Path(done.stdout.strip()).is_relative_to(root)


@pytest.mark.slow
def test_the_main_job_outside_the_checkout(elsewhere: Path, tmp_path: Path) -> None:
    audiolib = elsewhere / "audiolib"
    version = run(audiolib, "--version", cwd=tmp_path)
    assert version.returncode == 0, version.stderr
    assert "0.1.0" in version.stdout

    made = run(
        audiolib, "generate", "calm piano", "--model", "starter", "--duration", "1", "--json", cwd=tmp_path
    )
    assert made.returncode == 0, made.stderr
    clip = json.loads(made.stdout)
    path = Path(clip["path"])
    assert path.is_relative_to(tmp_path / "data")
    assert path.stat().st_size > 32_000 * 2
    assert clip["duration"] == 1.0

    found = run(audiolib, "search", "quiet keyboard", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.splitlines()[0])["id"] == clip["id"]

    again = run(audiolib, "regenerate", clip["id"], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert list((tmp_path / "data").rglob("*.wav")) == [path]

    sketch = run(
        elsewhere / "musicgen-cli", "--prompt", "lofi", "--max-steps", "53", "--output", "a.wav", cwd=tmp_path
    )
    assert sketch.returncode == 0, sketch.stderr
    # 53 steps are 50 frames of 640 samples, 16 bit.
    assert (tmp_path / "a.wav").stat().st_size > 50 * 640 * 2
