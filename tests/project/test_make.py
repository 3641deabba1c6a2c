"""The make targets, the CI script and the lock file say the same as the rest of the project."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

TARGETS = {"help", "setup", "demo", "test", "test-slow", "lint", "type", "format", "wheel", "clean"}


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


def test_make_alone_prints_help(root: Path) -> None:
    out = subprocess.run(["make"], cwd=root, check=True, capture_output=True, text=True).stdout
    assert {line.split()[1] for line in out.splitlines() if line.startswith("make ")} == TARGETS - {"help"}


def test_an_old_python_gets_one_clear_sentence(root: Path, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    done = subprocess.run(["make", "setup", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "audiolib needs Python 3.11 or newer" in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_ci_runs_the_quick_tests_then_the_slow_ones(root: Path) -> None:
    script = root / ".ci" / "run"
    if not script.exists():
        pytest.skip("a source archive carries no CI script")
    assert os.access(script, os.X_OK)
    assert "for target in test test-slow; do" in script.read_text()


def test_the_workflow_calls_targets_that_exist(root: Path) -> None:
    workflow = root / ".github" / "workflows" / "ci.yml"
    if not workflow.exists():
        pytest.skip("a source archive carries no workflows")
    called = set(re.findall(r"run: make ([\w-]+)", workflow.read_text()))
    assert {"test", "test-slow"} <= called <= TARGETS


def test_the_extras_exclude_each_other(pyproject: dict[str, Any]) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    assert {"cpu", "cuda", "offline", "play", "training", "dev"} == set(extras)
    assert [{"extra": "cpu"}, {"extra": "cuda"}] in pyproject["tool"]["uv"]["conflicts"]
    # A backend in the core would end up beside the other one, and the last one installed would win silently.
    assert not [name for name in pyproject["project"]["dependencies"] if name.startswith("mlx[")]


def test_the_lock_names_public_hosts_only_and_every_dependency(root: Path, pyproject: dict[str, Any]) -> None:
    lock = (root / "uv.lock").read_text()
    assert set(re.findall(r"https?://([^/\"]+)", lock)) == {"pypi.org", "files.pythonhosted.org"}
    assert "file://" not in lock
    locked = {package["name"] for package in tomllib.loads(lock)["package"]}
    required = [*pyproject["project"]["dependencies"]]
    for extra in pyproject["project"]["optional-dependencies"].values():
        required += extra
    names = {re.split(r"[\[<>=; ]", entry)[0].replace("_", "-").lower() for entry in required}
    assert names <= locked
