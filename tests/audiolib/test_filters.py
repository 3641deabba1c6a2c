"""Conditions and orders: the same on the command line, in Python, for `list`, `search`, `similar` and `export`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from collection import put_clip

from audiolib import AudioLibrary, Clip
from audiolib.errors import ClipNotFoundError, InvalidInputError
from audiolib.selection import SORTS
from indexing.filters import Filters

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    """Clips with something different each, by their title; in one library that no test changes."""
    root = tmp_path_factory.mktemp("stock") / "library"
    made = {
        "apple": {"duration": 5.0, "tempo_bpm": 80.0, "key": "A minor", "loudness_lufs": -20.0, "rating": 5},
        "Zebra": {"duration": 10.0, "tempo_bpm": 119.4, "key": "F# major", "tags": ("lofi", "Late Night")},
        "banana": {
            "duration": 20.0,
            "loudness_lufs": -14.2,
            "rating": 2,
            "tags": ("lofi",),
            "transcript": "",
        },
        "cherry": {"kind": "imported", "model": None, "transcript": "hello there", "language": "en"},
        "date": {"model": "facebook/musicgen-small", "created_at": "2026-01-31T23:30:00.000Z", "energy": 0.5},
        "x' OR '1'='1": {"tags": ("x' OR '1'='1",), "brightness_hz": 900.0},
    }
    clips = {title: put_clip(root, title, measured=True, **fields) for title, fields in made.items()}
    clips["child"] = put_clip(root, "child", measured=True, parent_id=clips["apple"].id)
    AudioLibrary(root).index()
    return clips


@pytest.fixture
def library(stock: dict[str, Clip]) -> AudioLibrary:
    """The library of the clips."""
    return AudioLibrary(stock["apple"].path.parents[2])


@pytest.fixture
def listed(cli: Run, library: AudioLibrary) -> Callable[..., list[str]]:
    """Titles that `audiolib list` gives."""

    def run(*arguments: str) -> list[str]:
        result = cli("list", "--library", str(library.path), "--json", *arguments)
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        return [json.loads(line)["title"] for line in result.stdout.splitlines()]

    return run


CASES: list[tuple[list[str], dict[str, Any], set[str]]] = [
    (["--min-duration", "10"], {"min_duration": 10}, {"Zebra", "banana"}),
    (
        ["--min-duration", "5", "--max-duration", "10"],
        {"min_duration": 5, "max_duration": 10},
        {"apple", "Zebra"},
    ),
    (["--bpm", "80-120"], {"bpm": (80, 120)}, {"apple", "Zebra"}),
    (["--bpm", "120"], {"bpm": (117.6, 122.4)}, {"Zebra"}),
    (["--key", "a MIN"], {"key": "Am"}, {"apple"}),
    (["--key", "Gb"], {"key": "F# major"}, {"Zebra"}),
    (["--loudness", "-16..-14"], {"loudness": (-16, -14)}, {"banana"}),
    (["--loudness", "..-14"], {"loudness": (-99, -14)}, {"apple", "banana"}),
    (["--tag", "LOFI"], {"tags": ("lofi",)}, {"Zebra", "banana"}),
    (["--tag", "lofi", "--tag", "late night"], {"tags": ("lofi", "late night")}, {"Zebra"}),
    (["--tag", "lo"], {"tags": "lo"}, set()),
    (["--rating", "2"], {"rating": 2}, {"apple", "banana"}),
    (["--model", "musicgen-small"], {"model": "facebook/musicgen-small"}, {"date"}),
    (["--kind", "imported"], {"kind": "imported"}, {"cherry"}),
    (["--until", "2026-02"], {"until": "2026-02"}, {"date"}),
    (["--has-speech"], {"has_speech": True}, {"cherry"}),
    (["--no-speech"], {"has_speech": False}, {"banana"}),
    (["--tag", "x' OR '1'='1"], {"tags": ("x' OR '1'='1",)}, {"x' OR '1'='1"}),
    (["--model", "x' OR '1'='1"], {"model": "x' OR '1'='1"}, set()),
    (["--tag", "lofi", "--max-duration", "10"], {"tags": ("lofi",), "max_duration": 10}, {"Zebra"}),
]


@pytest.mark.parametrize(("arguments", "values", "titles"), CASES)
def test_what_is_found(
    arguments: list[str],
    values: dict[str, Any],
    titles: set[str],
    listed: Callable[..., list[str]],
    library: AudioLibrary,
) -> None:
    assert set(listed(*arguments)) == titles
    assert {clip.title for clip in library.list(filters=Filters(**values))} == titles


def test_since(listed: Callable[..., list[str]], stock: dict[str, Clip]) -> None:
    assert set(listed("--since", "1d")) == set(stock) - {"date"}
    assert listed("--since", "2026-01-31", "--until", "2026-02-01") == ["date"]


def test_a_parent_is_named_like_any_clip(
    listed: Callable[..., list[str]], library: AudioLibrary, stock: dict[str, Clip]
) -> None:
    parent = stock["apple"]
    for name in (parent.id, parent.id.lower(), parent.id[-8:], str(parent.path)):
        assert listed("--parent", name) == ["child"]
    assert listed("--parent", "0" * 26) == []  # it may have been removed
    with pytest.raises(ClipNotFoundError):
        list(library.list(filters=Filters(parent="nothing")))


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
def test_every_search_takes_them(mode: str, cli: Run, library: AudioLibrary) -> None:
    result = cli(
        "search", "banana", "--library", str(library.path), "--mode", mode, "--tag", "lofi", "--json"
    )
    assert result.exit_code == 0, result.stderr
    titles = [json.loads(line)["title"] for line in result.stdout.splitlines()]
    assert titles[0] == "banana"
    assert set(titles) <= {"banana", "Zebra"}
    nothing = cli("search", "banana", "--library", str(library.path), "--mode", mode, "--tag", "' OR 1=1 --")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert nothing.stderr == "No clip is like that.\n"


def test_export_takes_them(library: AudioLibrary, tmp_path: Path) -> None:
    assert library.export(tmp_path / "out", filters=Filters(has_speech=True)).clips == 1


class TestSort:
    def test_words_sort_as_people_do(self, listed: Callable[..., list[str]]) -> None:
        titles = ["apple", "banana", "cherry", "child", "date", "x' OR '1'='1", "Zebra"]
        assert listed("--sort", "title") == titles
        assert listed("--sort", "title", "--reverse") == titles[::-1]

    def test_clips_without_a_value_come_last_either_way(self, listed: Callable[..., list[str]]) -> None:
        assert listed("--sort", "rating")[:2] == ["apple", "banana"]
        assert listed("--sort", "rating", "--reverse")[:2] == ["banana", "apple"]
        assert listed("--sort", "bpm")[:2] == ["apple", "Zebra"]
        assert listed("--sort", "loudness", "-n", "1") == ["apple"]

    def test_the_newest_are_first(self, listed: Callable[..., list[str]], stock: dict[str, Clip]) -> None:
        newest = list(stock)[::-1]
        assert listed() == newest
        assert listed("--reverse") == newest[::-1]
        assert listed("--tag", "lofi") == ["banana", "Zebra"]
        assert listed("--tag", "lofi", "--reverse") == ["Zebra", "banana"]

    @pytest.mark.parametrize("sort", SORTS)
    def test_every_order_gives_every_clip(
        self, sort: str, listed: Callable[..., list[str]], stock: dict[str, Clip]
    ) -> None:
        assert set(listed("--sort", sort)) == set(stock)

    @pytest.mark.parametrize("command", [["list"], ["export", "out"]])
    def test_an_unknown_order(self, command: list[str], cli: Run, library: AudioLibrary) -> None:
        result = cli(*command, "--library", str(library.path), "--sort", "colour")
        assert result.exit_code == 2
        assert "'colour' is not one of 'created', 'title'" in result.stderr
        with pytest.raises(InvalidInputError, match="created, title"):
            list(library.list(sort="colour"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--bpm", "fast"], "'--bpm': 'fast' is no range"),
        (["--bpm", "120-80"], "lower number first"),
        (["--key", "H minor"], "'H minor' is no key"),
        (["--loudness", "loud"], "is no range"),
        (["--rating", "6"], "--rating"),
        (["--min-duration", "-1"], "--min-duration"),
        (["--min-duration", "nan"], "duration"),
        (["--min-duration", "9", "--max-duration", "3"], "lower number first"),
        (["--since", "yesterday-ish"], "is no date"),
        (["--kind", "stolen"], "--kind"),
        (["--tag", " "], "tag to look for is empty"),
        (["--model", ""], "model to look for is empty"),
    ],
)
@pytest.mark.parametrize("command", [["list"], ["search", "x"], ["similar", "last"], ["export", "out"]])
def test_what_makes_no_sense_is_one_sentence(
    command: list[str], arguments: list[str], reason: str, cli: Run, library: AudioLibrary
) -> None:
    result = cli(*command, "--library", str(library.path), *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: ")
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("out").exists()
