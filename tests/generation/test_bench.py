"""The benchmark runs, measures what it says, and knows the published sizes."""

from __future__ import annotations

import json

import pytest
from mlx.utils import tree_flatten

from generation import bench
from generation.parts import Parts


@pytest.mark.parametrize(
    ("name", "millions"), [("small", (540, 620)), ("medium", (1_900, 2_050)), ("large", (3_250, 3_450))]
)
def test_published_sizes(name: str, millions: tuple[float, float]) -> None:
    """Decoder, T5-base's encoder and EnCodec together; nothing is computed, arrays are lazy."""
    count = sum(value.size for _, value in tree_flatten(Parts(bench.geometries()[name]).parameters())) / 1e6
    assert millions[0] < count < millions[1]


def test_both_engines_are_measured_in_one_run() -> None:
    lines: list[str] = []
    arguments = ["--geometry", "tiny", "--batch", "1", "2", "--seconds", "0.4", "--peer", "--json"]
    assert bench.main(arguments, say=lines.append) == 0
    results = [bench.Result(**json.loads(line)) for line in lines]
    assert [(r.engine.split()[0], r.batch) for r in results] == [
        ("audiolib", 1),
        ("audiolib", 2),
        ("transformers", 1),
        ("transformers", 2),
    ]
    for result in results:
        assert 0.05 < result.step_ms < 5_000
        # What the steps take alone bounds the speed of the whole.
        assert 0 < result.times_real_time <= 1.05 * result.batch * 20 / result.step_ms
        assert result.peak_mb > 50
    ours = results[0]
    assert ours.decode_share is not None
    assert 0 < ours.decode_share < 1
    assert ours.first_sound_s is not None
    assert ours.first_sound_s > 0


def test_the_table_has_a_column_for_everything() -> None:
    lines: list[str] = []
    bench.main(["--geometry", "tiny", "--seconds", "0.2", "--dtype", "float16"], say=lines.append)
    head, row = lines[0].splitlines()
    assert head.split()[:4] == ["engine", "geometry", "backend", "dtype"]
    assert row.split()[:2] == ["audiolib", "tiny"]
    assert "float16" in row
