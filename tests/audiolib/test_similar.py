"""Clips by their sound."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from collection import RATE, put_clip

from audiolib import AudioLibrary, Clip
from audiolib.errors import InvalidInputError, LibraryError
from generation.audio import save_audio
from generation.errors import AudioError
from indexing.filters import Filters

Run = Callable[..., Result]


def pluck(hertz: float, seed: int = 0, *, rate: int = RATE, seconds: float = 2.0) -> np.ndarray:
    """Four decaying notes a second with a little noise, `(samples,)`."""
    time = np.arange(int(rate * seconds)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time))
    tone = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in (1, 2, 3))
    return np.asarray(0.2 * tone * np.exp(-6 * (time % 0.25)) + 0.002 * noise, dtype=np.float32)


def hiss(seed: int, *, seconds: float = 2.0) -> np.ndarray:
    """White noise, `(samples,)`."""
    noise = np.random.default_rng(seed).standard_normal(int(RATE * seconds))
    return np.asarray(0.1 * noise, dtype=np.float32)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Two plucked clips, two of noise and a silent one, in a library that no test changes."""
    root = tmp_path_factory.mktemp("stock") / "library"
    made = [
        put_clip(root, "low pluck", sound=pluck(110), tags=("a",)),
        put_clip(root, "noise", sound=hiss(1)),
        put_clip(root, "low pluck again", sound=pluck(110, 1)),
        put_clip(root, "other noise", sound=hiss(2), tags=("a",)),
        put_clip(root, "silence", sound=np.zeros(RATE, dtype=np.float32)),
    ]
    AudioLibrary(root).index()
    return made


@pytest.fixture
def stock(clips: list[Clip]) -> AudioLibrary:
    """The library of the clips."""
    return AudioLibrary(clips[0].path.parents[2])


def test_alike_is_near_and_never_the_clip_itself(stock: AudioLibrary, clips: list[Clip]) -> None:
    hits = stock.similar(clips[0])
    assert hits[0].clip.title == "low pluck again"
    assert clips[0].id not in {hit.clip.id for hit in hits}
    assert "silence" not in {hit.clip.title for hit in hits}
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert hits[0].score is not None
    assert hits[0].score > 0.95
    assert [hit.clip.title for hit in stock.similar(clips[1].id[-6:], limit=1)] == ["other noise"]


def test_filters_apply(stock: AudioLibrary, clips: list[Clip]) -> None:
    assert [hit.clip.title for hit in stock.similar(clips[0], filters=Filters(tags=("a",)))] == [
        "other noise"
    ]


@pytest.mark.parametrize(
    ("suffix", "rate"), [(".wav", 44_100), (".flac", RATE), (".ogg", 32_000), (".mp3", 32_000)]
)
def test_any_file_is_compared_and_not_added(
    stock: AudioLibrary, clips: list[Clip], tmp_path: Path, suffix: str, rate: int
) -> None:
    file = tmp_path / f"x{suffix}"
    sound = pluck(110, 5, rate=rate)
    save_audio(file, np.stack([sound, sound], axis=1), rate)
    before = sorted(path.name for path in stock.path.rglob("*.*"))
    assert {hit.clip.title for hit in stock.similar(file=file, limit=2)} == {"low pluck", "low pluck again"}
    assert len(list(stock.list())) == len(clips)
    assert [
        path for path in sorted(path.name for path in stock.path.rglob("*.*")) if path not in before
    ] == []


def test_what_cannot_be_compared(stock: AudioLibrary, clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="silent or under"):
        stock.similar(clips[4])
    save_audio(tmp_path / "short.wav", hiss(1, seconds=0.1), RATE)
    with pytest.raises(InvalidInputError, match=r"short\.wav: it is silent"):
        stock.similar(file=tmp_path / "short.wav")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AudioError):
        stock.similar(file=tmp_path / "text.wav")
    save_audio(tmp_path / "slow.wav", hiss(1), 1)
    with pytest.raises(InvalidInputError, match=r"slow\.wav cannot be compared\. Its sample rate is 1 Hz"):
        stock.similar(file=tmp_path / "slow.wav")
    with pytest.raises(InvalidInputError, match="Use 1 or more"):
        stock.similar(clips[0], limit=0)
    for arguments in ({}, {"clip": clips[0], "file": clips[0].path}):
        with pytest.raises(InvalidInputError, match="either a clip or a file"):
            stock.similar(**arguments)


def test_a_clip_that_nobody_has_listened_to(library: AudioLibrary) -> None:
    clip = put_clip(library.path, "new")
    with pytest.raises(LibraryError, match="audiolib index"):
        library.similar(clip)


class TestCommand:
    def test_for_people(self, cli: Run, stock: AudioLibrary, clips: list[Clip]) -> None:
        result = cli("similar", clips[0].id[-6:], "--library", str(stock.path), "-k", "1")
        header, row = result.stdout.splitlines()
        assert header.split() == ["score", "title", "duration", "path"]
        assert row.split()[1:4] == ["low", "pluck", "again"]

    def test_json_and_filters(self, cli: Run, stock: AudioLibrary, clips: list[Clip]) -> None:
        arguments = (
            "similar",
            "--file",
            str(clips[0].path),
            "--library",
            str(stock.path),
            "--tag",
            "a",
            "--json",
        )
        hits = [json.loads(line) for line in cli(*arguments).stdout.splitlines()]
        assert [hit["title"] for hit in hits] == ["low pluck", "other noise"]
        assert hits[0]["score"] == pytest.approx(1, abs=1e-3)

    @pytest.mark.parametrize("arguments", [[], ["last", "--file", "x.wav"]])
    def test_wrong_usage(self, cli: Run, stock: AudioLibrary, arguments: list[str]) -> None:
        result = cli("similar", *arguments, "--library", str(stock.path))
        assert (result.exit_code, result.stdout) == (2, "")
        assert "either a CLIP or --file" in result.stderr

    def test_nothing_to_compare_with(self, cli: Run, library: AudioLibrary) -> None:
        put_clip(library.path, "alone", sound=hiss(1))
        library.index()
        result = cli("similar", "last", "--library", str(library.path))
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == "There is no other clip to compare it with.\n"
