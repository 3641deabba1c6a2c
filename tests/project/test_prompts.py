"""The library of prompts in docs/prompts: every file is read as it is, and its marks are true."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from audiolib import AudioLibrary, BatchLine
from audiolib.promptfiles import read_prompt_file
from audiolib.prompts import clean_prompt
from generation.training.starter.probe import caption_words, unknown_words

KNOWN_MARK, FREE_MARK = "# The starter knows these words", "# Free words, for facebook/musicgen-*"
FILES = sorted(
    path
    for path in (Path(__file__).resolve().parents[2] / "docs" / "prompts").iterdir()
    if path.suffix in (".txt", ".jsonl")
)


@pytest.fixture(scope="module")
def known() -> frozenset[str]:
    return caption_words(8_000)


def read() -> list[tuple[Path, BatchLine]]:
    return [(path, line) for path in FILES for line in read_prompt_file(path)]


def said_to_be_known(path: Path, line: BatchLine) -> bool:
    """Whether a prompt stands under the mark of known words; in JSON lines all of them are known."""
    if path.suffix == ".jsonl":
        return True
    assert line.number is not None
    before = path.read_text(encoding="utf-8").splitlines()[: line.number]
    marks = [text for text in before if text in (KNOWN_MARK, FREE_MARK)]
    assert marks, f"{path.name}:{line.number} stands under no mark"
    return marks[-1] == KNOWN_MARK


def test_there_are_enough_prompts_and_no_two_alike() -> None:
    prompts = [line.request.prompt for _, line in read()]
    assert len(FILES) >= 8
    assert len({" ".join(re.findall(r"\w+", prompt.lower())) for prompt in prompts}) == len(prompts) >= 40


def test_every_prompt_can_be_asked_for(tmp_path: Path) -> None:
    library = AudioLibrary(tmp_path)
    lines = [line for _, line in read()]
    assert all(clean_prompt(line.request.prompt) == line.request.prompt for line in lines)
    # As the command line does before the first clip is made: lengths, fades, tags and all.
    assert len(library.check_batch([starters(line) for line in lines])) == len(lines)


def test_what_is_said_to_be_known_is_known(known: frozenset[str]) -> None:
    wrong = {
        f"{path.name}: {line.request.prompt}": unknown
        for path, line in read()
        if bool(unknown := unknown_words(line.request.prompt, known)) is said_to_be_known(path, line)
    }
    assert not wrong


def test_the_check_of_words_catches(known: frozenset[str]) -> None:
    assert unknown_words("Calm piano with a hurdy-gurdy, 90 BPM", known) == ["hurdy", "gurdy"]


def test_the_page_names_every_file(root: Path) -> None:
    page = (root / "docs" / "prompts" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([\w-]+\.(?:txt|jsonl))\)", page)) == {path.name for path in FILES}
    counts = dict(re.findall(r"^\| \[[\w.-]+\]\(([\w.-]+)\) \|.*\| (\d+) \|$", page, re.MULTILINE))
    assert {name: int(count) for name, count in counts.items()} == {
        path.name: len(read_prompt_file(path)) for path in FILES
    }


def starters(line: BatchLine) -> BatchLine:
    return replace(line, request=replace(line.request, model="starter"))


@pytest.mark.slow
def test_the_starter_plays_one_of_each_file(tmp_path: Path) -> None:
    first = [read_prompt_file(path, seed=1)[0] for path in FILES]
    short = [replace(line, request=replace(line.request, duration=1.0, model="starter")) for line in first]
    made = list(AudioLibrary(tmp_path).generate_batch(short))
    assert [outcome.status for outcome in made] == ["made"] * len(FILES)
    assert {outcome.clip.prompt for outcome in made if outcome.clip} == {
        line.request.prompt for line in short
    }
    for outcome in made:
        assert outcome.clip is not None
        assert outcome.clip.path.is_file()
        assert outcome.clip.duration == pytest.approx(1.0, abs=0.05)
