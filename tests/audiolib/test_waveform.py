"""The waveform: what is drawn is what is in the file, at any length and width, on any terminal."""

from __future__ import annotations

import json
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from audiolib import AudioLibrary
from audiolib.cli import waveform as drawing
from audiolib.errors import InvalidInputError
from audiolib.waveform import Waveform, _Outline, read_waveform
from generation.audio import save_audio
from generation.errors import AudioError

Run = Callable[..., Result]


@given(
    lengths=st.lists(st.integers(1, 700), min_size=1, max_size=12),
    channels=st.integers(1, 3),
    columns=st.integers(1, 300),
    seed=st.integers(0, 99),
)
def test_extremes_are_those_of_the_samples(
    lengths: list[int], channels: int, columns: int, seed: int
) -> None:
    """However a sound is cut into blocks, and also when grains had to be joined."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("audiolib.waveform._GRAINS", 8)
        audio = np.random.default_rng(seed).uniform(-1, 1, (sum(lengths), channels)).astype(np.float32)
        outline = _Outline()
        for block in np.split(audio, np.cumsum(lengths)[:-1]):
            outline.feed(block)
        low, high = outline.finish()
        grain = outline._grain
    assert outline.frames == len(audio)
    assert len(low) <= 8 + 2
    wanted = [audio[start : start + grain] for start in range(0, len(audio), grain)]
    np.testing.assert_array_equal(low, [part.min() for part in wanted])
    np.testing.assert_array_equal(high, [part.max() for part in wanted])


def test_a_files_outline(tmp_path: Path) -> None:
    audio = np.zeros((4_096, 2), dtype=np.float32)
    audio[1_024:2_048, 0] = 0.5
    audio[2_048:3_072, 1] = -0.25
    save_audio(tmp_path / "steps.flac", audio, 8_000)
    assert read_waveform(tmp_path / "steps.flac", columns=4) == Waveform(
        duration=0.512, low=(0.0, 0.0, -0.25, 0.0), high=(0.0, 0.5, 0.0, 0.0)
    )
    short = read_waveform(tmp_path / "steps.flac", columns=2)
    assert short.peak == 0.5


def test_more_columns_than_there_are_samples(tmp_path: Path) -> None:
    save_audio(tmp_path / "short.wav", [0.5], 8_000)
    assert read_waveform(tmp_path / "short.wav", columns=50).high == (0.5,) * 50
    for columns in (0, 5_000):
        with pytest.raises(InvalidInputError, match="columns"):
            read_waveform(tmp_path / "short.wav", columns=columns)


def test_a_long_file_takes_little_memory(tmp_path: Path) -> None:
    second = np.linspace(-0.9, 0.9, 48_000, dtype=np.float32)
    with soundfile.SoundFile(tmp_path / "long.wav", "w", 48_000, 1, subtype="PCM_16") as file:
        for _ in range(600):
            file.write(second)
    tracemalloc.start()
    try:
        outline = read_waveform(tmp_path / "long.wav", columns=100)
        assert tracemalloc.get_traced_memory()[1] < 16e6  # the samples are 115 MB
    finally:
        tracemalloc.stop()
    assert outline.duration == 600
    assert min(outline.high) > 0.89


def test_what_is_no_sound_is_told(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="does not exist"):
        read_waveform(tmp_path / "none.wav", columns=10)
    (tmp_path / "bad.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    with pytest.raises(AudioError):
        read_waveform(tmp_path / "bad.wav", columns=10)


RISING = Waveform(
    duration=2.0, low=tuple(-x / 8 for x in range(1, 9)), high=tuple(x / 8 for x in range(1, 9))
)


def test_drawn_in_braille() -> None:
    assert drawing.draw(RISING, unicode=True, rows=2) == ["⣀⣤⣶⣿", "⠉⠛⠿⣿", "0 peak 0.0 dBFS 2.0 s"]


def test_drawn_in_ascii() -> None:
    *picture, _ = drawing.draw(RISING, unicode=False, rows=5)
    assert picture == ["  ##", "####", "####", "####", "  ##"]
    *picture, _ = drawing.draw(
        Waveform(duration=1.0, low=(0.0,) * 4, high=(0, 0, 1, 1)), unicode=False, rows=3
    )
    assert picture == [" #", "-#", "  "]


def test_silence_is_a_line() -> None:
    silence = Waveform(duration=1.0, low=(0.0,) * 60, high=(0.0,) * 60)
    *picture, axis = drawing.draw(silence, unicode=False, rows=3)
    assert picture == [" " * 30, "-" * 30, " " * 30]
    assert axis == "0" + "silence".center(24) + "1.0 s"
    *picture, _ = drawing.draw(silence, unicode=True, rows=3)
    assert [set(line) for line in picture] == [{"⠀"}, {"⠤"}, {"⠀"}]


@pytest.mark.parametrize(
    ("environment", "braille"),
    [
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LC_ALL": "C.utf8"}, True),
        ({}, True),
        ({"LANG": "C"}, False),
        ({"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "de_DE.UTF-8", "TERM": "linux"}, False),
        ({"LANG": "de_DE.UTF-8", "PYTHONIOENCODING": "ascii"}, False),
    ],
)
def test_which_characters_a_terminal_knows(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], braille: bool
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("LC_ALL", "LC_CTYPE", "LANG", "TERM", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert drawing.can_show_braille() is braille


class TestShow:
    @pytest.fixture(autouse=True)
    def _here(self, stocked: AudioLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUDIOLIB_LIBRARY", str(stocked.path))
        monkeypatch.setenv("LC_ALL", "C.UTF-8")
        monkeypatch.delenv("TERM", raising=False)

    def test_drawn_when_asked_for(
        self, cli: Run, stocked: AudioLibrary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = cli("show", "last").stdout
        assert not any("⠀" <= character <= "⣿" for character in plain)
        monkeypatch.setenv("COLUMNS", "61")
        drawn = cli("show", "last", "--waveform").stdout.removeprefix(plain).splitlines()
        assert drawn[0] == ""
        assert [len(line) for line in drawn[1:]] == [60] * (drawing.ROWS + 1)
        assert "dBFS" in drawn[-1]
        assert drawn[-1].endswith("0.2 s")

    def test_json_knows_none(self, cli: Run) -> None:
        assert "low" not in json.loads(cli("show", "last", "--json", "--waveform").stdout)

    def test_a_lost_file_does_not_hide_the_rest(self, cli: Run, stocked: AudioLibrary) -> None:
        stocked.get("last").path.unlink()
        result = cli("show", "last", "--waveform")
        assert result.exit_code == 0
        assert "techno" in result.stdout
        assert "does not exist" in result.stderr

    @pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
    def test_drawn_on_a_terminal(self, stocked: AudioLibrary) -> None:
        import pty
        import subprocess

        main, sub = pty.openpty()
        environment = {**os.environ, "COLUMNS": "41", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "audiolib", "show", "last"]
        with subprocess.Popen(command, stdout=sub, stderr=sub, stdin=sub, env=environment) as process:
            os.close(sub)
            data = b""
            while True:
                try:
                    part = os.read(main, 65_536)
                except OSError:
                    break
                if not part:
                    break
                data += part
            process.wait(60)
        os.close(main)
        lines = data.decode().splitlines()
        braille = [line for line in lines if line and all("⠀" <= character <= "⣿" for character in line)]
        assert [len(line) for line in braille] == [40] * drawing.ROWS
