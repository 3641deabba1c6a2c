"""Sampling: exact cuts, right frequencies, and keys that depend on nothing but the seed and the step."""

from __future__ import annotations

import math
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.errors import InvalidRequestError
from generation.sampling import (
    SamplingSettings,
    choose,
    clip_keys,
    guide,
    keep_top_k,
    keep_top_p,
    step_keys,
)

logits_lists = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40)


def kept(logits: mx.array) -> np.ndarray:
    return np.isfinite(np.array(logits))


@pytest.mark.parametrize("k", [1, 2, 249, 250, 251, 2047])
def test_top_k_keeps_exactly_k(k: int) -> None:
    """A strict comparison kept k - 1, and for k = 1 nothing (known error 1)."""
    logits = mx.random.normal((3, 4, 2048), key=mx.random.key(0))
    found = kept(keep_top_k(logits, k))
    assert (found.sum(axis=-1) == k).all()
    threshold = np.sort(np.array(logits), axis=-1)[..., -k]
    np.testing.assert_array_equal(found, np.array(logits) >= threshold[..., None])


def test_top_k_of_a_batch_cuts_each_row_by_itself() -> None:
    """A threshold of the wrong shape mixed the rows of a batch (known error 2)."""
    logits = mx.random.normal((5, 4, 64), key=mx.random.key(1)) * mx.arange(1, 6)[:, None, None]
    together = np.array(keep_top_k(logits, 7))
    assert together.shape == (5, 4, 64)
    for row in range(5):
        np.testing.assert_array_equal(together[row], np.array(keep_top_k(logits[row], 7)))


def test_ties_with_the_kth_stay() -> None:
    assert kept(keep_top_k(mx.array([1.0, 3.0, 2.0, 2.0, 0.0]), 2)).tolist() == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert kept(keep_top_k(mx.zeros((8,)), 3)).all()


@pytest.mark.parametrize("k", [0, 64, 1000])
def test_top_k_off(k: int) -> None:
    logits = mx.random.normal((2, 64), key=mx.random.key(2))
    assert kept(keep_top_k(logits, k)).all()


def test_top_k_of_one_is_greedy() -> None:
    logits = mx.random.normal((6, 4, 64), key=mx.random.key(3))
    best = np.array(logits).argmax(axis=-1)
    for seed in range(5):
        keys = mx.array(clip_keys([seed * 10 + i for i in range(6)]))
        one = choose(logits, SamplingSettings(top_k=1), keys)
        np.testing.assert_array_equal(np.array(one), best)


@given(logits=logits_lists, p=st.floats(0.01, 0.99))
@settings(max_examples=200, deadline=None)
def test_top_p_keeps_the_smallest_set(logits: list[float], p: float) -> None:
    values = np.array(logits, np.float32)
    found = kept(keep_top_p(mx.array(values), p))
    probabilities = np.exp(values.astype(np.float64) - values.max())
    probabilities /= probabilities.sum()
    mass = probabilities[found].sum()
    assert found[values.argmax()]
    assert mass >= p - 1e-5
    # Without its least likely token the set no longer reaches p: it is the smallest one.
    assert mass - probabilities[found].min() < p + 1e-5
    if not found.all():
        assert values[found].min() >= values[~found].max()


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_top_p_off(p: float) -> None:
    assert kept(keep_top_p(mx.array([5.0, -5.0, 0.0]), p)).all()


def test_top_p_of_a_batch_cuts_each_row_by_itself() -> None:
    logits = mx.random.normal((5, 4, 64), key=mx.random.key(1)) * mx.arange(1, 6)[:, None, None]
    together = np.array(keep_top_p(logits, 0.7))
    for row in range(5):
        np.testing.assert_array_equal(together[row], np.array(keep_top_p(logits[row], 0.7)))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies(temperature: float) -> None:
    """20,000 draws with fixed keys come within five standard deviations of softmax(logits / temperature)."""
    draws = 20_000
    row = np.array([2.0, 1.0, 0.0, -1.0, 0.5, -3.0], np.float32)
    keys = mx.array(clip_keys(list(range(20))))
    counts = np.zeros(row.size)
    sampling = SamplingSettings(temperature=temperature, top_k=0)
    logits = mx.broadcast_to(mx.array(row), (20, 1000, row.size))
    counts += np.bincount(np.array(choose(logits, sampling, keys)).ravel(), minlength=row.size)
    expected = np.exp(row / temperature) / np.exp(row / temperature).sum()
    deviation = np.sqrt(expected * (1 - expected) * draws)
    assert (np.abs(counts - expected * draws) < 5 * deviation).all()


def test_frequencies_over_steps() -> None:
    """The keys of one clip's steps are as independent as those of clips: the same statistics along the time axis."""
    row = np.array([1.0, 0.0, -1.0], np.float32)
    base = clip_keys([7])
    sampling = SamplingSettings(top_k=0)
    drawn = [
        np.array(choose(mx.broadcast_to(mx.array(row), (1, 4, 3)), sampling, step_keys(base, step)))[0]
        for step in range(1500)
    ]
    tokens = np.stack(drawn)
    expected = np.exp(row) / np.exp(row).sum()
    deviation = np.sqrt(expected * (1 - expected) * tokens.size)
    counts = np.bincount(tokens.ravel(), minlength=3)
    assert (np.abs(counts - expected * tokens.size) < 5 * deviation).all()
    # Neighbouring steps and codebooks are not the same draw.
    agreement = (expected**2).sum()
    for same in ((tokens[1:] == tokens[:-1]).mean(), (tokens[:, 1:] == tokens[:, :-1]).mean()):
        assert abs(same - agreement) < 0.05


def test_temperature_zero_is_greedy_whatever_the_cuts() -> None:
    logits = mx.random.normal((2, 4, 64), key=mx.random.key(5))
    keys = mx.array(clip_keys([1, 2]))
    for top_k, top_p in ((0, 0.0), (250, 0.9), (5, 0.1)):
        out = choose(logits, SamplingSettings(temperature=0, top_k=top_k, top_p=top_p), keys)
        np.testing.assert_array_equal(np.array(out), np.array(logits).argmax(axis=-1))


def test_a_clip_is_chosen_by_its_own_key_only() -> None:
    logits = mx.random.normal((5, 4, 64), key=mx.random.key(6))
    seeds = [3, 9, 3, 2**63 - 1, 0]
    keys = clip_keys(seeds)
    together = np.array(choose(logits, SamplingSettings(), step_keys(keys, 11)))
    for row, seed in enumerate(seeds):
        alone = choose(logits[row : row + 1], SamplingSettings(), step_keys(clip_keys([seed]), 11))
        np.testing.assert_array_equal(together[row], np.array(alone)[0])


def test_keys_differ_between_seeds_and_steps() -> None:
    seeds = [*range(200), 2**32, 2**32 + 1, 2**40, 2**63 - 1]
    keys = clip_keys(seeds)
    all_keys = np.concatenate([np.array(step_keys(keys, step)) for step in range(100)])
    assert len(np.unique(all_keys, axis=0)) == len(seeds) * 100


def test_drawing_leaves_global_randomness_alone() -> None:
    mx.random.seed(5)
    before = np.array(mx.random.uniform(shape=(3,)))
    mx.random.seed(5)
    choose(mx.zeros((2, 4, 64)), SamplingSettings(), mx.array(clip_keys([1, 2])))
    np.testing.assert_array_equal(np.array(mx.random.uniform(shape=(3,))), before)


def test_guidance() -> None:
    conditional, unconditional = mx.array([1.0, 2.0]), mx.array([0.5, 3.0])
    np.testing.assert_allclose(np.array(guide(conditional, unconditional, 3.0)), [2.0, 0.0])
    np.testing.assert_allclose(np.array(guide(conditional, unconditional, 1.0)), [1.0, 2.0])
    np.testing.assert_allclose(np.array(guide(conditional, unconditional, 0.0)), [0.5, 3.0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_p", -0.1),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("guidance", -1.0),
        ("guidance", math.nan),
        ("guidance", math.inf),
    ],
)
def test_settings_refuse_nonsense(name: str, value: float) -> None:
    with pytest.raises(InvalidRequestError):
        replace(SamplingSettings(), **{name: value})
