"""Vectors that are remembered: the same as fresh ones, embedded once, and never in the way."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from indexing import remembered


class Counting:
    """An embedder that notes what it is asked for."""

    name = "test/embedder"

    def __init__(self, dimension: int = 8, stamp: str | None = "v1") -> None:
        self.dimension = dimension
        self.stamp = stamp
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        vectors = np.array(
            [np.random.default_rng(list(text.encode())).normal(size=self.dimension) for text in texts]
        )
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_each_text_is_embedded_once(tmp_path: Path) -> None:
    texts = ["calm piano", "rock", "calm piano", "", "ünï 🎹"]
    first = Counting()
    vectors = remembered.embed(first, texts, tmp_path / "index")
    assert first.asked == ["calm piano", "rock", "", "ünï 🎹"]
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, Counting().embed(texts))

    second = Counting()
    again = remembered.embed(second, ["new", *texts], tmp_path / "index")
    assert second.asked == ["new"]
    np.testing.assert_array_equal(again[1:], vectors)
    assert remembered.embed(second, [], tmp_path / "index").shape == (0, 8)


@pytest.mark.parametrize("other", [Counting(stamp="v2"), Counting(dimension=4)])
def test_another_model_shares_nothing(tmp_path: Path, other: Counting) -> None:
    remembered.embed(Counting(), ["calm piano"], tmp_path)
    assert remembered.embed(other, ["calm piano"], tmp_path).shape == (1, other.dimension)
    assert other.asked == ["calm piano"]


def test_without_a_stamp_nothing_is_kept(tmp_path: Path) -> None:
    remembered.embed(Counting(stamp=None), ["a"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_MOST", 10)
    for number in range(25):
        remembered.embed(Counting(), [f"{number}"], tmp_path)
    late = Counting()
    remembered.embed(late, [f"{number}" for number in range(25)], tmp_path)
    assert late.asked == [f"{number}" for number in range(15)]


def test_more_texts_than_one_statement_takes(tmp_path: Path) -> None:
    texts = [f"{number}" for number in range(1_300)]
    remembered.embed(Counting(), texts, tmp_path)
    late = Counting()
    np.testing.assert_array_equal(remembered.embed(late, texts, tmp_path), Counting().embed(texts))
    assert late.asked == []


def garble(path: Path) -> None:
    path.write_bytes(b"this is no database, though it is long enough to be one" * 100)


def spoil_vectors(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("UPDATE vectors SET vector = zeroblob(32)")
    database.commit()
    database.close()


def cut_vectors(path: Path) -> None:
    """No blob of numbers, no bytes, nothing at all."""
    database = sqlite3.connect(path)
    database.execute(
        "UPDATE vectors SET vector = CASE number % 3 WHEN 0 THEN x'616263' WHEN 1 THEN 'text' END"
    )
    database.commit()
    database.close()


def another_table(path: Path) -> None:
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE vectors (something)")
    database.close()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [garble, spoil_vectors, cut_vectors, another_table, a_folder])
def test_damage_costs_time_alone(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    vectors = remembered.embed(Counting(), ["a", "b", "c"], tmp_path)
    damage(tmp_path / remembered.FILE_NAME)
    for _ in range(2):
        np.testing.assert_array_equal(remembered.embed(Counting(), ["a", "b", "c"], tmp_path), vectors)


def test_a_damaged_file_that_cannot_be_removed_is_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered.embed(Counting(), ["a"], tmp_path)
    garble(tmp_path / remembered.FILE_NAME)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert remembered.embed(Counting(), ["a"], tmp_path).shape == (1, 8)


def test_a_file_that_is_busy_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered.embed(Counting(), ["a"], tmp_path)
    monkeypatch.setattr(remembered, "_WAIT_S", 0.05)
    other = sqlite3.connect(tmp_path / remembered.FILE_NAME)
    other.execute("BEGIN EXCLUSIVE")
    embedder = Counting()
    assert remembered.embed(embedder, ["a"], tmp_path).shape == (1, 8)
    assert embedder.asked == ["a"]
    other.close()


def test_the_index_cannot_be_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert remembered.embed(Counting(), ["a"], tmp_path / "file" / "index").shape == (1, 8)
