"""Playing uses what the machine has, stops at once, and says what is lacking."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from audiolib import AudioLibrary
from audiolib.errors import PlaybackError
from audiolib.playback import play
from generation.audio import load_audio, save_audio
from generation.errors import AudioError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="players are shell scripts here")


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.wav"
    save_audio(path, np.linspace(-0.5, 0.5, 3_000, dtype=np.float32), 8_000)
    return path


def player(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_systems_player_gets_the_file(stocked: AudioLibrary, players: Path) -> None:
    clip = stocked.get("last")
    player(players, "aplay", f'echo "$@" > {players}/heard')
    assert stocked.play("last") == clip
    assert (players / "heard").read_text() == f"-q {clip.path}\n"


def test_a_player_that_fails_says_why(players: Path, sound: Path) -> None:
    player(players, "mpv", "echo no sound card >&2; exit 3")
    with pytest.raises(PlaybackError, match=r"mpv could not play .*no sound card"):
        play(sound)


def test_the_next_player_is_tried(players: Path, sound: Path) -> None:
    player(players, "mpv", "echo no sound card >&2; exit 3")
    player(players, "paplay", f"echo yes > {players}/heard")
    play(sound)
    assert (players / "heard").exists()


def test_what_was_stopped_is_not_played_again(players: Path, sound: Path) -> None:
    player(players, "mpv", "kill -TERM $$")
    player(players, "paplay", f"echo yes > {players}/heard")
    with pytest.raises(PlaybackError, match="mpv"):
        play(sound)
    assert not (players / "heard").exists()


def test_without_a_player_the_way_out_is_told(players: Path, sound: Path) -> None:
    with pytest.raises(PlaybackError, match="Install ffmpeg"):
        play(sound)


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".flac"])
def test_a_player_that_knows_only_wav_gets_one(players: Path, tmp_path: Path, suffix: str) -> None:
    """aplay would play the bytes of any other file as noise."""
    path = tmp_path / f"song{suffix}"
    save_audio(path, np.linspace(-0.5, 0.5, 8_000, dtype=np.float32), 8_000)
    cat = "/bin/cat" if os.path.exists("/bin/cat") else "/usr/bin/cat"
    player(players, "aplay", f'{cat} "$2" > {players}/heard.wav; echo "$2" > {players}/name')
    play(path)
    heard, rate = load_audio(players / "heard.wav")
    wanted, _ = load_audio(path)
    assert rate == 8_000
    np.testing.assert_allclose(heard, wanted, atol=1 / 32_000)
    assert not Path((players / "name").read_text().strip()).exists()  # the copy is gone


def test_a_lost_file_is_told_as_such(players: Path, tmp_path: Path) -> None:
    player(players, "mpv", "exit 0")
    with pytest.raises(AudioError, match="does not exist"):
        play(tmp_path / "none.wav")


def test_ctrl_c_stops_the_sound_at_once(stocked: AudioLibrary, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    player(folder, "mpv", f"echo $$ > {folder}/pid; exec /usr/bin/env -i /bin/sleep 60")
    environment = {**os.environ, "PATH": str(folder), "AUDIOLIB_LIBRARY": str(stocked.path)}
    command = [sys.executable, "-c", "import sys; sys.modules['sounddevice'] = None\n"]
    command[-1] += "from audiolib.cli import main; main('audiolib', args=['play', 'last'])"
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        until = time.monotonic() + 60
        while not (folder / "pid").exists() or not (folder / "pid").read_text().strip():
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        _, errors = process.communicate(timeout=30)
        took = time.monotonic() - start
    assert process.returncode == 130
    assert errors == b"Interrupted.\n"
    assert took < 5  # a quarter of a second for the player to end by itself, then it is killed
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)


DEVICE = """
import os
def hear(data):
    with open(os.environ["HEARD"], "ab") as file:
        file.write(data)
class PortAudioError(Exception): pass
def query_devices(kind):
    if os.environ["CHANNELS"] == "0":
        raise PortAudioError("Error querying device -1")
    return {"max_output_channels": int(os.environ["CHANNELS"])}
class OutputStream:
    def __init__(self, samplerate, channels, dtype, blocksize):
        if samplerate == 8_001:
            raise PortAudioError("Invalid sample rate")
        assert (dtype, blocksize) == ("float32", round(samplerate / 20))
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def abort(self): hear(b"abort")
    def write(self, block):
        assert len(block) <= 400
        if os.environ.get("STOP"):
            raise KeyboardInterrupt
        hear(block.tobytes())
"""
"""Stands where the hardware would: what PortAudio is given goes to a file."""


class TestPortAudio:
    @pytest.fixture(autouse=True)
    def _device(self, players: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "sounddevice.py").write_text(DEVICE)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "sounddevice")
        monkeypatch.setenv("HEARD", str(tmp_path / "heard"))
        monkeypatch.setenv("CHANNELS", "2")

    def heard(self, tmp_path: Path) -> np.ndarray:
        return np.fromfile(tmp_path / "heard", dtype=np.float32)

    def test_every_sample_is_heard(self, sound: Path, tmp_path: Path) -> None:
        play(sound)
        np.testing.assert_array_equal(self.heard(tmp_path), load_audio(sound)[0])

    def test_more_channels_than_loudspeakers(self, tmp_path: Path) -> None:
        audio = np.random.default_rng(0).uniform(-1, 1, (1_000, 5)).astype(np.float32)
        save_audio(tmp_path / "five.wav", audio, 8_000)
        play(tmp_path / "five.wav")
        mean = load_audio(tmp_path / "five.wav")[0].mean(axis=1)
        np.testing.assert_allclose(self.heard(tmp_path).reshape(-1, 2).T, [mean, mean], atol=1e-6)

    def test_ctrl_c_drops_what_is_buffered(
        self, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STOP", "1")
        with pytest.raises(KeyboardInterrupt):
            play(sound)
        assert (tmp_path / "heard").read_bytes() == b"abort"

    @pytest.mark.parametrize(("channels", "rate"), [("0", 8_000), ("2", 8_001)])
    def test_without_a_fitting_device_the_systems_player_plays(
        self, players: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: str, rate: int
    ) -> None:
        monkeypatch.setenv("CHANNELS", channels)
        save_audio(tmp_path / "sound.wav", [0.1] * 100, rate)
        with pytest.raises(PlaybackError, match="Install ffmpeg"):
            play(tmp_path / "sound.wav")
        player(players, "paplay", f"echo yes > {players}/heard")
        play(tmp_path / "sound.wav")
        assert (players / "heard").exists()
