"""The benchmark runs, measures what it says, and knows the published sizes."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from generation import backend, bench, memory
from generation.bench_peer import missing_peer
from generation.bench_values import Benchmark, Result, geometries
from generation.errors import InvalidRequestError, ModelNotFoundError
from generation.parts import Parts


@pytest.mark.parametrize(
    ("name", "millions"), [("small", (540, 620)), ("medium", (1_900, 2_050)), ("large", (3_250, 3_450))]
)
def test_published_sizes(name: str, millions: tuple[float, float]) -> None:
    """Decoder, T5-base's encoder and EnCodec together; nothing is computed, arrays are lazy."""
    count = sum(value.size for _, value in tree_flatten(Parts(geometries()[name]).parameters())) / 1e6
    assert millions[0] < count < millions[1]


def test_figures_agree_with_each_other() -> None:
    lines: list[str] = []
    bench.main(["--geometry", "tiny", "--batch", "1", "2", "--seconds", "0.4", "--json"], say=lines.append)
    for result in (Result(**json.loads(line)) for line in lines):
        assert 0.05 < result.step_ms < 5_000
        # What the steps take alone bounds the speed of the whole.
        assert 0 < result.times_real_time <= 1.05 * result.batch * 20 / result.step_ms
        assert result.decode_share is not None
        assert 0 < result.decode_share < 1
        assert result.first_sound_s is not None
        assert result.first_sound_s > 0
        assert result.load_s is not None
        assert result.peak_mb > 50


@pytest.mark.slow
def test_both_engines_are_measured_in_one_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A folder of that name in the current one is not taken for ours.
    (tmp_path / "generation").mkdir()
    monkeypatch.chdir(tmp_path)
    lines: list[str] = []
    arguments = ["--geometry", "tiny", "--batch", "1", "2", "--seconds", "0.4", "--peer", "--json"]
    assert bench.main(arguments, say=lines.append) == 0
    results = [Result(**json.loads(line)) for line in lines]
    peer = [("transformers", 1), ("transformers", 2)]
    # On the CPU with its own settings and with ours, which are no longer told apart where somebody else made them.
    twice = results[0].backend == "cpu" and backend.environment_of_others() != os.environ
    assert [(r.engine.split()[0], r.batch) for r in results] == [
        ("audiolib", 1),
        ("audiolib", 2),
        *(2 * peer if twice else peer),
    ]
    assert [r.engine.endswith("our threads' settings") for r in results[2:]] == [
        False,
        False,
        *[True] * 2 * twice,
    ]
    for result in results[2:]:
        assert 0.05 < result.step_ms < 5_000
        assert 0 < result.times_real_time <= 1.05 * result.batch * 20 / result.step_ms
        assert result.peak_mb > 50


def test_the_table_has_a_column_for_everything() -> None:
    lines: list[str] = []
    arguments = ["--geometry", "tiny", "--seconds", "0.2", "--dtype", "float16", "--bits", "4"]
    bench.main(arguments, say=lines.append)
    head, row = lines[0].splitlines()
    assert head.split()[:5] == ["engine", "geometry", "backend", "dtype", "bits"]
    assert row.split()[:2] == ["audiolib", "tiny"]
    assert row.split()[3:5] == ["float16", "4"]


def test_a_checkpoint_is_measured(tiny_folder: Path) -> None:
    (result,) = bench.bench_generation(Benchmark(model=tiny_folder, seconds=0.2))
    assert (result.geometry, result.bits) == (tiny_folder.name, None)


def test_several_steps_at_once_count_as_several(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the engine reports every fourth step the time of one step stays the same."""
    compose = type(tiny_model).compose

    def seldom(self: Any, *args: Any, progress: Any = None, **options: Any) -> Any:
        def every_fourth(done: int, total: int) -> None:
            if progress is not None and (done % 4 == 0 or done == total):
                progress(done, total)

        return compose(self, *args, progress=every_fourth, **options)

    usual = min(bench.measure(tiny_model, "", batch=1, seconds=1).step_ms for _ in range(3))
    monkeypatch.setattr(type(tiny_model), "compose", seldom)
    grouped = min(bench.measure(tiny_model, "", batch=1, seconds=1).step_ms for _ in range(3))
    assert grouped < 2.5 * usual


@pytest.mark.parametrize(
    "wrong",
    [
        {"geometry": "huge"},
        {"batches": ()},
        {"batches": (0,)},
        {"seconds": 0.0},
        {"seconds": float("nan")},
        {"geometry": "tiny", "bits": 5},
        {"geometry": "tiny", "dtype": "int8"},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        next(bench.bench_generation(Benchmark(**wrong)))


def test_a_model_that_is_not_here() -> None:
    with pytest.raises(ModelNotFoundError):
        next(bench.bench_generation(Benchmark(model="someone/nothing")))


def test_a_missing_peer_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_peer() is None
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "transformers" else find(name)
    )
    lines: list[str] = []
    bench.main(["--geometry", "tiny", "--seconds", "0.2", "--peer", "--json"], say=lines.append)
    assert len(lines) == 2
    assert lines[1].endswith("without transformers: pip install transformers")


def test_a_peak_is_forgotten() -> None:
    """Where the system can: a hundred megabytes that are gone count no longer."""
    memory.forget_peak()
    block = np.ones(100_000_000, np.uint8)
    held = memory.peak_bytes()
    del block
    memory.forget_peak()
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("this system keeps the peak of a process")
    assert memory.peak_bytes() < held - 50e6
    mx.eval(mx.zeros(30_000_000))
    assert memory.peak_bytes() >= 120e6
