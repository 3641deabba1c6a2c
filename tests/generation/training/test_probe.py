"""The probe: clips are made once and measured, its tables count what they say they count."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from generation.musicgen import MusicGen
from generation.training.starter import probe
from generation.training.starter.probe import (
    PAIRS,
    SUBJECTS,
    Clips,
    Measured,
    Plan,
    followed,
    settings_table,
    spread,
    subjects_table,
    unknown_words,
    words_table,
)

SHORT = 0.2


def clip(prompt: str, seed: int = 1, *, value: float = 1.0, profile: tuple[float, ...] = (0.0,)) -> Measured:
    return Measured(
        prompt=prompt,
        seed=seed,
        settings={},
        seconds=SHORT,
        onsets=value,
        brightness=value,
        drums=value,
        level=value,
        tokens=1,
        profile=profile,
    )


def test_a_clip_is_made_once(tiny_model: MusicGen, tmp_path: Path) -> None:
    path = tmp_path / "probe.jsonl"
    made = Clips(tiny_model, path, SHORT).of(["piano", "rock"], [1, 2])
    assert [(one.prompt, one.seed) for one in made] == [("piano", 1), ("piano", 2), ("rock", 1), ("rock", 2)]
    assert len(path.read_text().splitlines()) == 4
    again = Clips(tiny_model, path, SHORT).of(["rock", "piano"], [2])
    assert again == [made[3], made[1]]
    assert len(path.read_text().splitlines()) == 4
    # Other settings and other lengths are other clips.
    Clips(tiny_model, path, SHORT).of(["rock"], [2], {"guidance": 1.0})
    Clips(tiny_model, path, SHORT / 2).of(["rock"], [2])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["settings"], line["seconds"]) for line in lines[4:]] == [
        ({"guidance": 1.0}, SHORT),
        ({}, SHORT / 2),
    ]


def test_what_is_measured_is_the_clip(tiny_model: MusicGen, tmp_path: Path) -> None:
    from generation.training.starter.measure import spectral_centroid

    (made,) = Clips(tiny_model, tmp_path / "probe.jsonl", SHORT).of(["piano"], [7], {"top_k": 5})
    audio = tiny_model.generate("piano", seed=7, duration=SHORT, top_k=5)
    assert made.brightness == spectral_centroid(audio, tiny_model.sampling_rate)


def test_tables_have_a_row_for_each_wording_and_setting(
    tiny_model: MusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some of them: this is no measurement.
    monkeypatch.setattr(probe, "WORDINGS", {about: probe.WORDINGS[about] for about in ("plain", "tone")})
    monkeypatch.setattr(
        probe, "SETTINGS", {name: probe.SETTINGS[name] for name in ("as it is", "guidance 1")}
    )
    plan = Plan(seeds=(1,), seconds=0.1)
    clips = Clips(tiny_model, tmp_path / "probe.jsonl", plan.seconds)
    words, settings = words_table(clips, plan), settings_table(clips, plan)
    made = len(clips.path.read_text().splitlines())
    assert len(subjects_table(clips, plan)) == 2 + len(SUBJECTS)
    assert len(clips.path.read_text().splitlines()) == made  # of the clips that are there
    assert len(words) == 2 + 3
    assert len(settings) == 2 + 2
    assert words[2].count("(0)") == 4  # the plain prompt is not higher than itself
    assert {row.count("|") for row in words} == {7}
    assert {row.count("|") for row in settings} == {9}


def test_words_are_followed_where_the_order_is_theirs() -> None:
    plan = Plan(seeds=(1,), subjects=SUBJECTS[:1])
    right = [
        clip(wording.format(SUBJECTS[0]), value=value)
        for _, *pair in PAIRS
        for wording, value in zip(pair, (2.0, 1.0), strict=True)
    ]
    assert followed(right, plan) == (3, 3)
    # As good is not followed, nor is the other way round.
    assert followed([clip(one.prompt) for one in right], plan) == (0, 3)
    assert followed([clip(one.prompt, value=-one.onsets) for one in right], plan) == (0, 3)


def test_spread_compares_seeds_of_one_prompt() -> None:
    clips = [
        clip("a", 1, profile=(0.0, 10.0)),
        clip("a", 2, profile=(4.0, 12.0)),
        clip("b", 1, profile=(90.0, 90.0)),
    ]
    assert spread(clips) == pytest.approx(3.0)
    assert spread(clips[1:]) == 0.0


def test_unknown_words() -> None:
    known = frozenset({"calm", "lo", "fi", "piano"})
    assert unknown_words("Calm lo-fi Piano, gloopy!", known) == ["gloopy"]
