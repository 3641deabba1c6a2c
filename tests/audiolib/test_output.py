"""What people see: tables that fit, names that stay one line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from audiolib.cli import output
from audiolib.cli.output import Column

COLUMNS = (
    Column(title="score", right=True),
    Column(title="title", shrink=True),
    Column(title="path"),
)
PATH = "data/audio/2026-11/01M81JJ50GAW0VQJM2CR9P4F7J-calm-piano.wav"
ROWS = [("0.87", "calm piano with soft rain on the window", PATH), ("0.12", "静かなピアノ", PATH)]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Every stream is a terminal without colours."""
    monkeypatch.setattr(output, "is_terminal", lambda stream: True)
    monkeypatch.setenv("NO_COLOR", "1")
    return monkeypatch


def table(capsys: pytest.CaptureFixture[str], columns: int | None = None) -> list[str]:
    if columns:
        os.environ["COLUMNS"] = str(columns)
    try:
        output.table(COLUMNS, ROWS)
    finally:
        os.environ.pop("COLUMNS", None)
    return capsys.readouterr().out.splitlines()


def test_no_terminal_nothing_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    header, first, second = table(capsys)
    assert header.split() == ["score", "title", "path"]
    assert first == f" 0.87  {ROWS[0][1]}  {PATH}"
    assert second.endswith(PATH)
    # Wide characters take two columns, so that the paths begin below each other on a terminal.
    assert first.index(PATH) - second.index(PATH) == 6


def test_titles_shrink_first(capsys: pytest.CaptureFixture[str], terminal: pytest.MonkeyPatch) -> None:
    _, first, _ = table(capsys, 95)
    assert first == f" 0.87  calm piano with soft rain…  {PATH}"
    assert len(first) <= 95


def test_then_the_path_gets_its_own_line(
    capsys: pytest.CaptureFixture[str], terminal: pytest.MonkeyPatch
) -> None:
    lines = table(capsys, 70)
    assert lines[0].split() == ["score", "title"]
    assert lines[1:3] == [f" 0.87  {ROWS[0][1]}", f"  {PATH}"]


def test_colours_only_where_they_are_wanted(
    capsys: pytest.CaptureFixture[str], terminal: pytest.MonkeyPatch
) -> None:
    assert output.style("x", bold=True) == "x"
    terminal.delenv("NO_COLOR")
    terminal.setenv("TERM", "xterm")
    assert output.style("x", bold=True) == "\x1b[1mx\x1b[0m"
    terminal.setenv("TERM", "dumb")
    assert output.style("x", bold=True) == "x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\t c", "a b c"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("a\u202eb", "a\ufffdb"),
        ("👩\u200d🎤", "👩\u200d🎤"),
    ],
)
def test_text_is_one_harmless_line(text: str, shown: str) -> None:
    assert output.plain(text) == shown


def test_lengths_are_read_easily() -> None:
    assert [output.seconds(value) for value in (0.2, 10, 99.94, 125)] == ["0.2 s", "10.0 s", "99.9 s", "2:05"]


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be set")
@pytest.mark.parametrize(
    ("zone", "moment"),
    [("America/New_York", "0001-01-01T00:00:00Z"), ("Asia/Tokyo", "9999-12-31T23:59:59.999Z")],
)
def test_a_moment_that_is_none_here_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, zone: str, moment: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        assert output.local_time(moment) == moment
    time.tzset()


def test_the_shorter_path_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert output.short_path(tmp_path / "data" / "a.wav") == os.path.join("data", "a.wav")
    assert output.short_path(Path("/a.wav")) == "/a.wav"


@pytest.mark.usefixtures("terminal")
def test_a_notice_takes_the_place_of_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with output.bar("calm piano", "step") as update:
        update(1, 2)
        drawn = capsys.readouterr().err
        output.notice("Samples were cut off.")
        said = capsys.readouterr().err
        update(2, 2)
    assert "calm piano" in drawn
    assert said == "\r\x1b[KSamples were cut off.\n"
    capsys.readouterr()
    output.notice("And again.")
    assert capsys.readouterr().err == "And again.\n"  # no bar is there any more
