"""What the tests of the project itself share: where its files are and how its modules are read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("audiolib", "generation", "indexing")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def modules() -> list[Path]:
    """Every Python module of the three packages."""
    found = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    assert len(found) > len(PACKAGES), "no modules found: is this a checkout?"
    return found


@pytest.fixture(scope="session")
def texts() -> list[Path]:
    """Every text file that git tracks or would track; a source archive without git has no such list."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    binary = {".flac", ".safetensors", ".model", ".npz", ".png", ".wav"}
    paths = [ROOT / name for name in names if name]
    kept = ROOT / "tests" / "audiolib" / "old_library"  # as older versions wrote them, most of it binary
    return [
        path
        for path in paths
        if path.suffix not in binary and path.is_file() and not path.is_relative_to(kept)
    ]
