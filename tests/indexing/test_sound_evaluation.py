"""The measures that the sound vector and the descriptors are judged by, and the fit of its constants."""

from __future__ import annotations

import numpy as np
import pytest

from indexing.analysis import SOUND_DIMENSION
from indexing.errors import IndexingError
from indexing.evaluation.sound import judge_retrieval, mirex_score, standardised
from indexing.evaluation.sound_fit import fit_whitening
from indexing.sound import load_whitening, whiten

Found = dict[str, dict[int, np.ndarray]]


def noisy_pieces(count: int = 100, seed: int = 0) -> Found:
    """Pieces that one feature in six tells apart; the others are the variation's noise."""
    rng = np.random.default_rng(seed)
    found: Found = {"base": {}, "other": {}, "more": {}}
    for piece in range(count):
        own = rng.standard_normal(240)
        for variation in found:
            noise = rng.standard_normal(240)
            found[variation][piece] = np.where(
                np.arange(240) % 6, noise, own + 0.3 * rng.standard_normal(240)
            )
    return found


@pytest.mark.parametrize(
    ("found", "score"),
    [
        ("C major", 1.0),
        ("G major", 0.5),
        ("F major", 0.5),
        ("A minor", 0.3),
        ("C minor", 0.2),
        ("E minor", 0.0),
    ],
)
def test_mirex_score(found: str, score: float) -> None:
    assert mirex_score(found, "C major") == score


def test_mirex_score_of_a_minor_key() -> None:
    assert mirex_score("C major", "A minor") == 0.3
    assert mirex_score("A major", "A minor") == 0.2
    assert mirex_score(None, "A minor") == 0.0


def test_ranks_are_counted() -> None:
    corners = np.eye(3)
    found: Found = {
        "base": dict(enumerate(corners)),
        "near": {0: np.array([1.0, 0.9, 0.0]), 1: np.array([0.9, 0.8, 0.1])},
    }
    figures = judge_retrieval(found, lambda raw: raw / np.linalg.norm(raw, axis=1, keepdims=True))["near"]
    assert figures["queries"] == 2
    assert figures["recall@1"] == 0.5
    assert figures["recall@10"] == 1.0
    assert figures["MRR"] == 0.75


def test_the_fit_learns_what_varies_within_a_piece() -> None:
    whitening = fit_whitening(noisy_pieces())
    held_out = noisy_pieces(seed=1)
    fitted = judge_retrieval(held_out, lambda raw: whiten(raw, whitening))
    plain = judge_retrieval(held_out, standardised(held_out))
    assert fitted["other"]["recall@1"] > plain["other"]["recall@1"] + 0.1
    assert fitted["other"]["recall@1"] > 0.9


def test_the_constants_are_there() -> None:
    whitening = load_whitening()
    assert whitening.projection.shape == (240, SOUND_DIMENSION)
    assert np.isfinite(whitening.projection).all()


def test_missing_constants_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexing.sound.SOUND_SPACE", "sound-0")
    load_whitening.cache_clear()
    with pytest.raises(IndexingError, match="install audiolib again"):
        load_whitening()
