"""The value that holds the descriptors: JSON in and out, strictly."""

from __future__ import annotations

import json
import pickle

import pytest

from indexing.describe import DESCRIPTORS_VERSION, KEYS, NAMES, Descriptors

FULL = Descriptors(
    tempo_bpm=120.0,
    key="F# minor",
    loudness_lufs=-14.2,
    brightness_hz=1800.0,
    energy=0.6,
    onset_density=4.0,
    percussive_share=0.3,
    confidence=dict.fromkeys(NAMES, 0.9),
)


def test_json_brings_it_back() -> None:
    stored = json.loads(json.dumps(FULL.to_json()))
    assert stored["version"] == DESCRIPTORS_VERSION
    assert Descriptors.from_json(stored) == FULL
    assert Descriptors.from_json(json.loads(json.dumps(Descriptors().to_json()))) == Descriptors()
    assert pickle.loads(pickle.dumps(FULL)) == FULL  # noqa: S301 - our own bytes


def test_what_is_unknown_has_no_confidence() -> None:
    partly = Descriptors(key="C major", confidence={"key": 0.5, "tempo_bpm": 0.8})
    assert partly.confidence["key"] == 0.5
    assert partly.confidence["tempo_bpm"] == 0.0
    assert set(partly.confidence) == set(NAMES)


def test_fields_of_a_later_version_are_left_out() -> None:
    assert Descriptors.from_json({**FULL.to_json(), "danceability": 1.0, "version": 9}) == FULL


@pytest.mark.parametrize(
    "stored",
    [
        {"tempo_bpm": "fast"},
        {"tempo_bpm": True},
        {"tempo_bpm": float("nan")},
        {"key": 3},
        {"key": "H major"},
        {"key": "Bb major"},
        {"key": "C major", "confidence": {"key": 2.0}},
        {"confidence": [1]},
    ],
)
def test_values_that_mean_nothing_are_refused(stored: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Descriptors.from_json(stored)


def test_there_are_24_keys() -> None:
    assert len(set(KEYS)) == 24
    assert KEYS[9] == "A major"
    assert KEYS[12 + 6] == "F# minor"
