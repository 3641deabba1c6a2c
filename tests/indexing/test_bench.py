"""The benchmark measures what it says: the truth is exact, the table is a whole one, the figures are there."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from audiolib.ids import time_of
from indexing import ClipIndex, embed
from indexing.bench import __main__ as command
from indexing.bench import library, measure
from indexing.bench.captions import captions, sized_captions
from indexing.bench.vectors import Crowd, Truth


def unit_rows(count: int, dimension: int = 32, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_captions_are_varied_and_the_same_again() -> None:
    texts = captions(2_000)
    assert texts == captions(2_000)
    assert len(set(texts)) > 1_990
    assert set(texts).isdisjoint(captions(200, seed=1))
    lengths = [len(text.split()) for text in texts]
    assert min(lengths) <= 6
    assert max(lengths) >= 25
    assert not any("{" in text or "\n" in text or "  " in text for text in texts)
    assert {len(text.split()) for text in sized_captions(50, 20)} == {20}


def test_a_crowd_stands_around_the_real_ones() -> None:
    real = unit_rows(60)
    crowd = Crowd(real)
    vectors, homes = crowd.draw(500)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    own = (vectors * real[homes]).sum(axis=1)
    others = (vectors @ real.T).mean(axis=1)
    assert (own > others + 0.3).all()
    assert len(np.unique(homes)) > 50
    again, _ = Crowd(real).draw(500)
    np.testing.assert_array_equal(again, vectors)


def test_the_truth_is_exact_whatever_the_pieces() -> None:
    vectors, queries = unit_rows(1_000), unit_rows(7, seed=1)
    truth = Truth(queries, best=10)
    for start in range(0, 1_000, 130):
        truth.see(vectors[start : start + 130], start)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    assert [set(row) for row in truth.rows] == [set(row) for row in expected]


@pytest.mark.parametrize("row", [0, 1, 31, 32, 99_999, 1_000_000])
def test_ids_are_ulids_that_know_their_row(row: int) -> None:
    id = library.row_id(row)
    assert library.row_of(id) == row
    assert time_of(id).year in (2025, 2026)
    assert library.row_id(row + 1) > id


def test_a_table_is_built_and_measured(tmp_path: Path) -> None:
    real, queries = unit_rows(50), unit_rows(6, seed=1)
    texts = captions(50)
    truth, _ = library.build(tmp_path / "index", 3_000, texts=texts, vectors=real, queries=queries)
    index = ClipIndex(tmp_path / "index")
    assert index.count() == index.count_embedded() == 3_000
    found = index.get(library.row_id(17))
    assert found is not None
    assert found["document"] in texts
    assert measure.recall(index, queries, truth.rows) == 1.0
    assert measure.recall(index, queries[::-1], truth.rows) < 0.5, "others' neighbours are not found"
    timings = measure.questions(index, texts, queries, rounds=2)
    assert {"words", "vector", "hybrid, sentences", "vector, tempo and key"} <= set(timings)
    assert "hybrid, three words, tag and model" in timings
    assert all(0 < timing.best <= timing.p50 <= timing.p90 for timing in timings.values())


class Quick:
    """An embedder that takes no time."""

    name = embed.DEFAULT_EMBEDDER
    dimension = 384

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.concatenate([unit_rows(1, 384, seed=sum(text.encode())) for text in texts])


def test_the_command_prints_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embed, "load_embedder", Quick)
    arguments = "--rows 500 --real 40 --rounds 2 --add 30 --texts 4 --json --folder".split()
    monkeypatch.setattr(sys, "argv", ["bench", *arguments, str(tmp_path)])
    command.main()
    figures = json.loads(capsys.readouterr().out)
    assert figures["rows"] == 500
    assert figures["recall_at_10"] == 1.0
    assert figures["adding"]["rows"] == 30
    assert set(figures["texts_per_s"]) == {"6", "20", "40"}
    assert ClipIndex(tmp_path / "index").count() == 500 + 50 + 30

    monkeypatch.setattr(sys, "argv", ["bench", *arguments, str(tmp_path), "--again"])
    command.main()
    again = json.loads(capsys.readouterr().out)
    assert again["rows"] == 500, "what was written is gone before"
    assert again["recall_at_10"] == 1.0
    assert "write_s" not in again


def test_again_needs_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--again", "--folder", str(tmp_path)])
    with pytest.raises(SystemExit):
        command.main()
    assert "--again needs --folder" in capsys.readouterr().err
