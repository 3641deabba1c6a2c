"""Clips that are heard while they are made: the same ones, stored whether they can be played or not."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from library_files import codes_of, codes_path, make, recipe

from audiolib import AudioLibrary, Clip, Destination, GenerationRequest
from generation.audio import load_audio, to_int16

pytestmark = pytest.mark.usefixtures("more_models")


Run = Callable[..., Result]
SHORT = 0.2
RATE = 32_000
STARTER = Path(__file__).parents[2] / "mlx-models" / "starter"


@pytest.mark.skipif(os.name != "posix", reason="players are shell scripts here")
class TestPlay:
    @pytest.fixture
    def players(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder that is all of the path, on a machine without PortAudio."""
        folder = tmp_path / "bin"
        folder.mkdir()
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setitem(sys.modules, "sounddevice", None)
        return folder

    def player(self, folder: Path, script: str, name: str = "aplay") -> None:
        (folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (folder / name).chmod(0o755)

    def test_what_is_heard_while_it_is_made_is_the_clip(
        self, cli: Run, players: Path, library: AudioLibrary
    ) -> None:
        record = f"head -c 2 > {players}/heard; date +%s.%N > {players}/first"
        # It hears the rest when the clip is stored already: ears are slower than the model.
        record += f"; until ls {library.path}/audio/*/*.json; do sleep 0.05; done"
        record += f"; sleep 0.5; cat >> {players}/heard"
        self.player(players, record)
        options = ("--duration", "3", "--seed", "1", "--json", "--no-index", "--library", str(library.path))
        played = json.loads(cli("generate", "calm piano", "--play", *options).stdout)
        silent = json.loads(cli("generate", "calm piano", *options).stdout)
        first, second = (library.get(str(each["id"])) for each in (played, silent))
        np.testing.assert_array_equal(codes_of(first).codes, codes_of(second).codes)
        assert first.audio_sha256 == second.audio_sha256
        assert recipe(library, first) == recipe(library, second)
        heard = np.fromfile(players / "heard", "<i2").astype(int)
        assert len(heard) == 3 * RATE
        # Decoded in pieces, so that the last bit of a sample may differ.
        assert np.abs(heard - to_int16(load_audio(first.path)[0])).max() <= 1
        # The sound began before the last frames were made.
        assert float((players / "first").read_text()) < codes_path(first).stat().st_mtime
        assert library.reproduce(first.id).codes_compared

    def test_the_first_sound_comes_while_steps_are_made(self, players: Path, library: AudioLibrary) -> None:
        self.player(players, f"head -c 2 > {players}/first; cat > /dev/null")
        seen: list[bool] = []

        def progress(at: Any) -> None:
            time.sleep(0.005)
            seen.append((players / "first").exists())

        make(library, "calm", duration=3, play=True, progress=progress)
        assert (seen[0], seen[-1]) == (False, True)
        assert seen.count(True) > 20

    @pytest.mark.parametrize("script", ["echo no sound card >&2; exit 3", None])
    def test_a_clip_that_cannot_be_played_is_stored(
        self, cli: Run, players: Path, library: AudioLibrary, script: str | None
    ) -> None:
        if script is not None:
            self.player(players, script)
        result = cli("generate", "calm", "--duration", "0.2", "--play", "--library", str(library.path))
        assert result.exit_code == 0
        assert "0.2 s of music" in result.stdout
        assert library.get("last").duration == SHORT

    def test_the_file_is_played_where_nothing_plays_live(
        self, players: Path, library: AudioLibrary, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.player(players, f'echo "$@" > {players}/called', name="afplay")
        made = make(library, "calm", duration=SHORT, play=True)
        assert (players / "called").read_text() == f"{made.path}\n"
        self.player(players, "echo no sound card >&2; exit 3", name="afplay")
        make(library, "calm", duration=SHORT, play=True)
        assert "The clip is stored, but could not be played" in caplog.text
        assert "no sound card" in caplog.text

    def test_a_plain_file_and_a_reused_clip_are_heard_too(
        self, players: Path, library: AudioLibrary, clip: Clip, tmp_path: Path
    ) -> None:
        self.player(players, f"cat > {players}/heard")
        request = GenerationRequest(prompt="calm", duration=SHORT, seed=7)
        list(library.render_all([request], Destination(file=tmp_path / "out.wav"), play=True))
        assert (players / "heard").stat().st_size == 2 * round(SHORT * RATE)
        self.player(players, f'echo "$@" > {players}/called')
        request = GenerationRequest(prompt="calm piano", duration=SHORT)
        (found,) = library.reuse_or_generate([request], play=True)
        assert found.reused
        assert str(clip.path) in (players / "called").read_text()

    def test_several_are_stored_though_none_can_be_played(
        self, cli: Run, players: Path, library: AudioLibrary
    ) -> None:
        self.player(players, "echo no sound card >&2; exit 3")
        where = ("--library", str(library.path), "--no-index", "--json")
        result = cli("generate", "calm", "--duration", "0.2", "--count", "3", "--play", *where)
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) == 3
        assert result.stderr.count("stored, but could not be played") == 1

    def test_a_player_that_dies_is_told_of_at_once_and_once(
        self, players: Path, library: AudioLibrary, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.player(players, "head -c 100 > /dev/null; echo no sound card >&2; exit 3")
        told: list[bool] = []

        def progress(at: Any) -> None:
            time.sleep(0.02)  # a slow model
            told.append("still made, but cannot be heard" in caplog.text)

        made = make(library, "calm", duration=2, play=True, progress=progress)
        assert made.path.is_file()
        assert told.count(True) > 20
        assert caplog.text.count("no sound card") == 1

    def test_an_interruption_ends_the_sound(self, players: Path, library: AudioLibrary) -> None:
        self.player(players, f"echo $$ > {players}/pid; exec sleep 60")

        def progress(at: Any) -> None:
            if (players / "pid").exists() and (players / "pid").read_text().strip():
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make(library, "calm", duration=20, play=True, progress=progress)
        with pytest.raises(ProcessLookupError):
            os.kill(int((players / "pid").read_text()), 0)
        assert not library.path.exists()
