"""Sound while it is made: every sample reaches the player, the first ones before the last are made."""

from __future__ import annotations

import os
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import generation
from generation import playing
from generation.audio import to_int16
from generation.errors import AudioError
from generation.musicgen import MusicGen
from generation.playing import LivePlayer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="players are shell scripts here")

RATE = 32_000
STEREO = {
    "ffplay": "-ch_layout stereo",
    "mpv": "--demuxer-rawaudio-channels=2",
    "play": "-c 2",
    "paplay": "--channels=2",
    "aplay": "-c 2",
}

# Writes down what it was called with, when its first byte came, and all bytes.
RECORDER = """#!{python}
import os, sys, time
first = os.read(0, 1)
open({folder!r} + "/first", "w").write(repr(time.time()))
with open({folder!r} + "/heard", "wb") as heard:
    heard.write(first)
    while data := os.read(0, 1 << 16):
        heard.write(data)
        time.sleep({slow})
open({folder!r} + "/called", "w").write(" ".join(sys.argv[1:]))
"""


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def recorder(folder: Path, name: str = "aplay", slow: float = 0.0) -> None:
    install(folder, name, RECORDER.format(python=sys.executable, folder=str(folder), slow=slow))


def heard(folder: Path, channels: int = 1) -> np.ndarray:
    samples = np.fromfile(folder / "heard", dtype="<i2")
    return samples if channels == 1 else samples.reshape(-1, channels)


def noise(seconds: float, channels: int = 1) -> np.ndarray:
    shape = (round(seconds * RATE),) if channels == 1 else (round(seconds * RATE), channels)
    return np.random.default_rng(0).uniform(-1.1, 1.1, shape).astype(np.float32)


@pytest.mark.parametrize("name", STEREO)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_sample_reaches_every_player(players: Path, name: str, channels: int) -> None:
    recorder(players, name)
    sound = noise(0.3, channels)
    player = LivePlayer(RATE)
    for chunk in np.array_split(sound, 7):
        player.feed(chunk)
    player.finish()
    np.testing.assert_array_equal(heard(players, channels), to_int16(sound))
    called = (players / "called").read_text()
    assert str(RATE) in called
    assert (STEREO[name] in called) == (channels == 2)


def test_who_makes_the_sound_never_waits_for_the_ears(players: Path) -> None:
    recorder(players, slow=0.05)
    player = LivePlayer(RATE)
    start = time.monotonic()
    for _ in range(40):
        player.feed(noise(0.5))  # 40 times what a pipe holds
    assert time.monotonic() - start < 0.5
    player.finish()
    assert len(heard(players)) == 40 * RATE // 2


@pytest.mark.parametrize("first", ["", "PATH=/usr/bin:/bin; head -c 30000 > /dev/null;"])
def test_a_player_that_fails_at_once_leaves_all_of_it_to_the_next(players: Path, first: str) -> None:
    install(players, "ffplay", f"{first} echo no sound card >&2; exit 3")
    recorder(players, "mpv")
    sound = noise(0.5)
    player = LivePlayer(RATE)
    player.feed(sound[:10_000])
    time.sleep(0.1)
    player.feed(sound[10_000:])
    player.finish()
    np.testing.assert_array_equal(heard(players), to_int16(sound))


def test_a_player_that_fails_says_why(players: Path) -> None:
    install(players, "mpv", "echo no sound card >&2; exit 3")
    player = LivePlayer(RATE)
    player.feed(noise(0.1))
    with pytest.raises(AudioError, match="mpv could not play it: no sound card"):
        player.finish()


def test_a_player_that_dies_is_noticed_while_the_model_is_slow(players: Path) -> None:
    """Nothing new is fed: what was goes to the next player at once, and where there is none that is told."""
    install(players, "mpv", "PATH=/usr/bin:/bin; head -c 100 > /dev/null; echo no sound card >&2; exit 3")
    recorder(players, "aplay")
    reasons: list[str] = []
    player = LivePlayer(RATE, reasons.append)
    player.feed(noise(0.01))  # less than a pipe holds
    start = time.monotonic()
    while not (players / "first").exists():
        assert time.monotonic() - start < 10  # it takes a tenth of a second, and without looking for ever
        time.sleep(0.01)
    assert reasons == []
    player.finish()
    (players / "aplay").unlink()
    player = LivePlayer(RATE, reasons.append)
    player.feed(noise(0.01))
    start = time.monotonic()
    while not reasons:
        assert time.monotonic() - start < 10  # it takes a tenth of a second, and without looking for ever
        time.sleep(0.01)
    player.feed(noise(0.01))
    with pytest.raises(AudioError, match="no sound card"):
        player.finish()
    assert reasons == ["mpv could not play it: no sound card"]


def test_a_listener_who_leaves_while_the_model_is_slow_is_no_failure(players: Path) -> None:
    install(players, "mpv", "exit 0")
    reasons: list[str] = []
    player = LivePlayer(RATE, reasons.append)
    player.feed(noise(0.01))
    start = time.monotonic()
    while [thread for thread in threading.enumerate() if thread.name == "audiolib-player"]:
        assert time.monotonic() - start < 10  # it takes a tenth of a second, and without looking for ever
        time.sleep(0.01)
    player.finish()
    assert reasons == []


def test_what_was_stopped_is_not_played_again(players: Path) -> None:
    install(players, "mpv", "kill -TERM $$")
    recorder(players, "aplay")
    player = LivePlayer(RATE)
    player.feed(noise(0.1))
    with pytest.raises(AudioError, match="mpv"):
        player.finish()
    assert not (players / "heard").exists()


def test_a_listener_who_has_had_enough_is_no_failure(players: Path) -> None:
    install(players, "mpv", "exit 0")
    player = LivePlayer(RATE)
    for _ in range(20):
        player.feed(noise(0.5))
    player.finish()
    assert not [thread for thread in threading.enumerate() if thread.name == "audiolib-player"]


def test_stopping_is_heard_at_once(players: Path) -> None:
    install(players, "mpv", f"echo $$ > {players}/pid; exec /bin/sleep 60")
    player = LivePlayer(RATE)
    player.feed(noise(20))  # more than a pipe holds, so a write is waiting
    while not (players / "pid").exists() or not (players / "pid").read_text().strip():
        time.sleep(0.02)
    start = time.monotonic()
    player.stop()
    assert time.monotonic() - start < 3
    with pytest.raises(ProcessLookupError):
        os.kill(int((players / "pid").read_text()), 0)


def test_an_interruption_while_it_plays_stops_it(players: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(players, "mpv", f"echo $$ > {players}/pid; exec /bin/sleep 60")
    player = LivePlayer(RATE)
    player.feed(noise(0.1))
    while not (players / "pid").exists() or not (players / "pid").read_text().strip():
        time.sleep(0.02)
    join = threading.Thread.join
    calls: list[float | None] = []

    def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
        calls.append(timeout)
        if len(calls) == 1:
            raise KeyboardInterrupt
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        player.finish()
    with pytest.raises(ProcessLookupError):
        os.kill(int((players / "pid").read_text()), 0)


def test_nothing_to_hear_is_no_failure(players: Path) -> None:
    LivePlayer(RATE).finish()


class TestGenerateAndPlay:
    def test_the_first_sound_comes_before_the_last_is_made(self, players: Path, tiny_folder: Path) -> None:
        recorder(players)
        ended: list[float] = []

        def progress(done: int, total: int) -> None:
            time.sleep(0.004)  # about what a step of the starter takes
            if done == total:
                ended.append(time.time())

        made = generation.generate_and_play("dark", model=tiny_folder, duration=6, seed=5, progress=progress)
        assert float((players / "first").read_text()) < ended[0] - 0.5
        again = generation.generate_audio("dark", model=tiny_folder, duration=6, seed=5)
        np.testing.assert_array_equal(made.audio, again.audio)
        # Decoded in pieces, so that the last bit of a sample may differ.
        assert np.abs(heard(players).astype(int) - to_int16(made.audio)).max() <= 1

    def test_without_a_player_nothing_is_made(self, players: Path, tiny_folder: Path) -> None:
        steps: list[int] = []
        with pytest.raises(AudioError, match="Install ffmpeg"):
            generation.generate_and_play(
                "dark", model=tiny_folder, max_steps=5, progress=lambda done, _: steps.append(done)
            )
        assert steps == []

    def test_music_that_cannot_be_heard_is_returned(
        self, players: Path, tiny_folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        install(players, "mpv", "echo no sound card >&2; exit 3")
        made = generation.generate_and_play("dark", model=tiny_folder, max_steps=8, seed=5)
        assert made.audio.shape == (5 * 640,)
        assert caplog.text.count("not heard") == 1
        assert "no sound card" in caplog.text

    def test_music_that_is_not_heard_any_more_is_told_while_it_is_made(
        self, players: Path, tiny_folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        install(players, "mpv", "PATH=/usr/bin:/bin; head -c 100 > /dev/null; echo no sound card >&2; exit 3")
        told: list[bool] = []

        def progress(_done: int, _total: int) -> None:
            time.sleep(0.02)
            told.append("not heard" in caplog.text)

        made = generation.generate_and_play("dark", model=tiny_folder, duration=2, seed=5, progress=progress)
        assert made.audio.shape == (2 * RATE,)
        assert told.count(True) > 20
        assert caplog.text.count("not heard") == 1

    def test_a_model_that_fails_stops_the_sound(
        self, players: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recorder(players)

        def fails(done: int, _total: int) -> None:
            if done == 60:
                raise RuntimeError("out of memory")

        with pytest.raises(RuntimeError, match="out of memory"):
            generation.generate_and_play("dark", model=tiny_folder, duration=4, progress=fails)
        assert not [thread for thread in threading.enumerate() if thread.name == "audiolib-player"]

    def test_a_whole_sound_is_played_too(self, players: Path, tiny_folder: Path) -> None:
        recorder(players)
        made = generation.generate_audio("dark", model=tiny_folder, max_steps=8, seed=5)
        made.play()
        np.testing.assert_array_equal(heard(players), to_int16(made.audio))


class TestPortAudio:
    @pytest.fixture
    def device(self, players: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[np.ndarray]]:
        """No test machine has a loudspeaker, so the library that drives one is stood in for."""

        def install(*, fails: bool = False, channels: int = 2) -> list[np.ndarray]:
            module, played = types.ModuleType("sounddevice"), []

            class PortAudioError(Exception):
                pass

            class OutputStream:
                def __init__(self, **options: Any) -> None:
                    if fails:
                        raise PortAudioError("Invalid sample rate")

                def __enter__(self) -> OutputStream:
                    return self

                def __exit__(self, *_: object) -> None:
                    pass

                def abort(self) -> None:
                    played.clear()

                def write(self, block: np.ndarray) -> None:
                    played.append(block)

            def query_devices(kind: str) -> dict[str, int]:
                return {"max_output_channels": channels}

            vars(module).update(
                PortAudioError=PortAudioError, OutputStream=OutputStream, query_devices=query_devices
            )
            monkeypatch.setitem(sys.modules, "sounddevice", module)
            return played

        return install

    def test_it_comes_first(self, players: Path, device: Callable[..., list[np.ndarray]]) -> None:
        played = device()
        recorder(players)
        sound = noise(0.4)
        player = LivePlayer(RATE)
        player.feed(sound)
        player.finish()
        np.testing.assert_array_equal(np.concatenate(played)[:, 0], sound)
        assert not (players / "heard").exists()

    def test_more_channels_than_loudspeakers(self, device: Callable[..., list[np.ndarray]]) -> None:
        played = device(channels=1)
        sound = noise(0.1, 2)
        player = LivePlayer(RATE)
        player.feed(sound)
        player.finish()
        np.testing.assert_allclose(np.concatenate(played)[:, 0], sound.mean(axis=1), atol=1e-6)

    def test_a_device_that_does_not_play_this_leaves_it_to_a_program(
        self, players: Path, device: Callable[..., list[np.ndarray]]
    ) -> None:
        device(fails=True)
        recorder(players)
        sound = noise(0.2)
        player = LivePlayer(RATE)
        player.feed(sound)
        player.finish()
        np.testing.assert_array_equal(heard(players), to_int16(sound))


def test_what_can_play_is_known_beforehand(players: Path) -> None:
    assert not playing.can_play_live()
    install(players, "afplay", "exit 0")  # reads no standard input
    assert not playing.can_play_live()
    recorder(players)
    assert playing.can_play_live()


def test_a_stream_plays_what_is_composed(players: Path, tiny_model: MusicGen) -> None:
    recorder(players)
    stream = tiny_model.stream("calm piano", duration=1.5, seed=3)
    player = LivePlayer(tiny_model.sampling_rate)
    for chunk in stream:
        player.feed(chunk)
    player.finish()
    (whole,) = tiny_model.compose(["calm piano"], duration=1.5, seeds=[3])
    assert np.abs(heard(players).astype(int) - to_int16(whole.audio)).max() <= 1


def test_an_error_while_it_plays_ends_the_program(players: Path) -> None:
    """Or it would wait for more until this process ends."""
    install(players, "mpv", f"echo $$ > {players}/pid; exec /bin/sleep 60")
    player = LivePlayer(RATE)
    player.feed(noise(0.1))
    while not (players / "pid").exists() or not (players / "pid").read_text():
        time.sleep(0.02)
    player.feed(np.full(100, np.nan, np.float32))
    with pytest.raises(AudioError, match="no numbers"):
        player.finish()
    with pytest.raises(ProcessLookupError):
        os.kill(int((players / "pid").read_text()), 0)


def test_a_player_that_crashes_leaves_it_to_the_next(players: Path) -> None:
    install(players, "mpv", "kill -SEGV $$")
    recorder(players, "aplay")
    player = LivePlayer(RATE)
    sound = noise(0.2)
    player.feed(sound)
    player.finish()
    np.testing.assert_array_equal(heard(players), to_int16(sound))
