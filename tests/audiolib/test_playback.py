"""Playing uses what the machine has, and says what it lacks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from audiolib import AudioLibrary
from audiolib.errors import PlaybackError
from audiolib.playback import play

pytestmark = pytest.mark.skipif(os.name != "posix", reason="players are shell scripts here")


def player(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_systems_player_gets_the_file(
    library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = library.generate("calm piano", duration=0.2, index=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    player(tmp_path, "aplay", f'echo "$@" > {tmp_path}/heard')
    assert library.play("last") == clip
    assert (tmp_path / "heard").read_text() == f"-q {clip.path}\n"


def test_a_player_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    player(tmp_path, "mpv", "echo no sound card >&2; exit 3")
    with pytest.raises(PlaybackError, match=r"mpv could not play .*no sound card"):
        play(tmp_path / "a.wav")


def test_without_a_player_the_way_out_is_told(
    library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = library.generate("calm piano", duration=0.2, index=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "sounddevice", None)
    with pytest.raises(PlaybackError, match="Install ffmpeg"):
        play(clip.path)
