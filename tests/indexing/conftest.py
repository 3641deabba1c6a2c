"""What the index's tests share: rows, vectors, a table, another process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generation import backend
from indexing import ClipIndex, IndexRow

# As audiolib does before it embeds many texts: without it MLX takes ten times as long on a Linux CPU.
backend.prepare()

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))  # for the modules that tests share

EMBEDDER = "test/embedder"


@pytest.fixture
def index(tmp_path: Path) -> ClipIndex:
    """An index that nothing was written to."""
    return ClipIndex(tmp_path / "index")


@pytest.fixture(scope="session")
def unit() -> Callable[..., np.ndarray]:
    """Makes unit vectors, the same for the same seed."""

    def make(seed: int, dimension: int = 8) -> np.ndarray:
        vector = np.random.default_rng(seed).normal(size=dimension)
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def row() -> Callable[..., IndexRow]:
    """Makes rows with what every clip has; a vector brings its embedder's name along."""

    def make(id: str, **fields: Any) -> IndexRow:
        if fields.get("vector") is not None:
            fields.setdefault("embedder", EMBEDDER)
        required: dict[str, Any] = {
            "document": f"document of {id}",
            "path": f"audio/{id}.wav",
            "duration": 10.0,
            "sample_rate": 32_000,
            "channels": 1,
            "created_at": "2026-11-22T10:00:00Z",
            "kind": "generated",
        }
        return IndexRow(id=id, **(required | fields))

    return make


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts Python code in a process of its own; its output and errors come through `communicate`."""

    def run(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return run


@pytest.fixture(scope="session")
def output_of(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    """Runs Python code in a process of its own and gives what it printed."""

    def run(code: str, *arguments: object) -> str:
        process = start(code, *arguments)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert errors == "", "a library keeps quiet, LanceDB's own log included"
        return output

    return run
