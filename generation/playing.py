"""Sound to the ears while it is made: through PortAudio, or into a program that plays its standard input.

A thread of its own plays, so that whoever makes the sound never waits for the ears. Programs get 16-bit samples, little
endian, left and right in turn; the samples are those of a 16-bit file.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from generation.audio import to_int16
from generation.errors import AudioError

Samples = npt.NDArray[np.float32]

FAILS_WITHIN: Final = 2.0
"""Seconds in which a player that lacks a device says so; later something was heard already."""

WAY_OUT: Final = "Install ffmpeg, or `pip install 'audiolib-mlx[play]'`."

_log = logging.getLogger(__name__)

# An interruption is heard between two writes, so a write must be short.
_WRITE_SECONDS: Final = 0.05
_ENDED_BY: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM)  # else it crashed
_LOOK_SECONDS: Final = 0.1
"""How often a player is looked after while a slow model has nothing new for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    """A program and its options for raw samples on standard input, given the rate in Hz and the number of channels."""

    name: str
    options: Callable[[int, int], list[str]]


_PROGRAMS: Final = (
    _Program(
        name="ffplay",
        options=lambda rate, channels: [
            # Else it waits for two seconds of music to find out what it was told: measured with 5.1.
            *("-nodisp", "-autoexit", "-loglevel", "error", "-probesize", "32"),
            *("-f", "s16le", "-sample_rate", str(rate)),
            # One channel is the default, and older versions know the option by another name.
            *(("-ch_layout", "stereo") if channels == 2 else ()),
            *("-i", "pipe:0"),
        ],
    ),
    _Program(
        name="mpv",
        options=lambda rate, channels: [
            *("--no-video", "--really-quiet", "--demuxer=rawaudio", "--demuxer-rawaudio-format=s16le"),
            *(f"--demuxer-rawaudio-rate={rate}", f"--demuxer-rawaudio-channels={channels}", "-"),
        ],
    ),
    _Program(  # SoX
        name="play",
        options=lambda rate, channels: [
            *("-q", "-t", "raw", "-r", str(rate), "-e", "signed", "-b", "16", "-L"),
            *("-c", str(channels), "-"),
        ],
    ),
    _Program(
        name="paplay",
        options=lambda rate, channels: [
            "--raw",
            "--format=s16le",
            f"--rate={rate}",
            f"--channels={channels}",
        ],
    ),
    _Program(
        name="aplay",
        options=lambda rate, channels: [
            *("-q", "-t", "raw", "-f", "S16_LE", "-r", str(rate), "-c", str(channels)),
            *("--buffer-time=200000", "-"),  # microseconds; it begins when its buffer is full
        ],
    ),
)


class _Ended(Exception):
    """The one who listens has had enough: the player ended before its input did, and without an error."""


class _Failed(Exception):
    """A player could not play; the message says why."""


class _Stopped(_Failed):
    """Somebody ended a player: another one is not wanted."""


class _Sink(Protocol):
    """Where samples go."""

    def write(self, block: Samples) -> None: ...
    def look(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


def portaudio() -> Any | None:
    """The module sounddevice, where it is installed and there is a device to play on."""
    try:
        import sounddevice
    except (ImportError, OSError):  # OSError: the PortAudio library is missing
        return None
    try:
        sounddevice.query_devices(kind="output")
    except (sounddevice.PortAudioError, ValueError):
        return None
    return sounddevice


class Device:
    """PortAudio's default output.

    Args:
        sounddevice: The module.
        sampling_rate: In Hz.
        channels: Of what is written; more of them than loudspeakers are mixed to their mean.

    Raises:
        AudioError: The device does not play that.
    """

    def __init__(self, sounddevice: Any, sampling_rate: int, channels: int) -> None:
        room = int(sounddevice.query_devices(kind="output")["max_output_channels"])
        self._channels = min(channels, room)
        self._frames = max(1, round(_WRITE_SECONDS * sampling_rate))
        try:
            self._output = sounddevice.OutputStream(
                samplerate=sampling_rate, channels=self._channels, dtype="float32", blocksize=self._frames
            )
        except (sounddevice.PortAudioError, ValueError) as error:
            raise AudioError(f"The audio cannot be played here: {error}.") from error
        self._open = contextlib.ExitStack()
        self._open.enter_context(self._output)

    def write(self, block: Samples) -> None:
        """Play samples `(frames, channels)`; returns when there is room for more."""
        if block.shape[1] != self._channels:
            block = block.mean(axis=1, keepdims=True).repeat(self._channels, axis=1)
        for start in range(0, len(block), self._frames):
            self._output.write(block[start : start + self._frames])

    def look(self) -> None:
        """Nothing to see: PortAudio tells of a lost device when it is written to."""

    def close(self) -> None:
        """Wait until all of it was heard."""
        self._open.close()

    def abort(self) -> None:
        """Be silent at once: what is buffered is dropped."""
        self._output.abort()
        self._open.close()


class _Pipe:
    """A program that plays what it reads."""

    def __init__(self, path: str, program: _Program, sampling_rate: int, channels: int) -> None:
        self._name = program.name
        self._said = tempfile.TemporaryFile()  # a pipe that nobody reads could fill up
        self._process = subprocess.Popen(  # noqa: S603  # a fixed list of programs
            [path, *program.options(sampling_rate, channels)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
        )

    def write(self, block: Samples) -> None:
        pipe = self._process.stdin
        if pipe is None:
            raise _Failed(f"{self._name} reads nothing.")
        try:
            pipe.write(to_int16(block).astype("<i2").tobytes())
            pipe.flush()
        except (BrokenPipeError, ValueError) as error:  # ValueError: it was closed meanwhile
            self.close()
            raise _Ended from error

    def look(self) -> None:
        """Find out whether the program is still there, without anything to give it.

        Raises:
            _Failed: It ended with an error.
            _Ended: It ended.
        """
        if self._process.poll() is not None:
            self.close()
            raise _Ended

    def close(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        self._said.close()
        if code != 0:
            said = f"{self._name} could not play it: {(lines or ['it gave no reason'])[-1]}"
            raise (_Stopped if -code in _ENDED_BY else _Failed)(said)

    def interrupt(self) -> None:
        """End the program, so that a write that waits for it returns."""
        self._process.terminate()
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def abort(self) -> None:
        self.interrupt()
        with contextlib.suppress(_Failed):
            self.close()


def can_play_live() -> bool:
    """Whether there is a device, or a program that plays its standard input."""
    return portaudio() is not None or any(shutil.which(program.name) for program in _PROGRAMS)


class LivePlayer:
    """Plays a waveform chunk by chunk, beginning with the first.

    Args:
        sampling_rate: In Hz.
        failed: Told why, in the player's thread and at once, where nothing plays any more before `finish` is called;
            what is fed later is dropped.
    """

    def __init__(self, sampling_rate: int, failed: Callable[[str], None] | None = None) -> None:
        self._rate = sampling_rate
        self._failed = failed
        self._chunks: list[Samples] = []  # kept: a player that fails at once leaves them to the next one
        self._news = threading.Condition()
        self._ended = False
        self._stopped = False
        self._error: str | None = None
        self.heard = False  # where playing failed: part of it was, so that nothing should play it again
        self._sink: _Sink | None = None
        self._thread: threading.Thread | None = None

    def feed(self, chunk: Samples) -> None:
        """Play this next; returns at once.

        Args:
            chunk: `(samples,)` or `(samples, channels)` float32 in [-1, 1].
        """
        if not len(chunk):
            return
        with self._news:
            self._chunks.append(chunk[:, None] if chunk.ndim == 1 else chunk)
            self._news.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="audiolib-player", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Wait until all of it was heard; an interruption stops the sound at once.

        Raises:
            AudioError: It could not be played, or not to its end.
        """
        with self._news:
            self._ended = True
            self._news.notify()
        try:
            while self._thread is not None and self._thread.is_alive():
                self._thread.join(0.1)  # without a limit Ctrl+C would wait, too
        except BaseException:
            self.stop()
            raise
        if self._error is not None:
            raise AudioError(self._error)

    def stop(self) -> None:
        """Be silent at once."""
        with self._news:
            self._stopped = self._ended = True
            self._news.notify()
            sink = self._sink
        if isinstance(sink, _Pipe):
            sink.interrupt()
        if self._thread is not None:
            self._thread.join(2)

    def _run(self) -> None:
        reasons = []
        for open_sink in _sinks(self._rate, self._chunks[0].shape[1]):
            start = time.monotonic()
            try:
                self._pour(open_sink())
            except _Ended:
                return
            except Exception as error:  # whatever it is, the next player may do better
                reasons.append(str(error) or type(error).__name__)
                _log.info("Playing: %s", reasons[-1])
                self.heard = isinstance(error, _Stopped) or time.monotonic() - start > FAILS_WITHIN
                if self.heard:
                    break
            else:
                return
            if self._stopped:
                return
        self._error = reasons[0] if reasons else f"No player was found. {WAY_OUT}"
        with self._news:
            early = not self._ended
        if early and self._failed is not None:
            self._failed(self._error)

    def _pour(self, sink: _Sink) -> None:
        self._sink = sink
        for block in self._blocks():
            if self._stopped:
                break
            try:
                if block is None:
                    sink.look()
                else:
                    sink.write(block)
            except (_Ended, _Failed):
                raise
            except BaseException:
                sink.abort()  # or its program would wait for more until this one ends
                raise
        if self._stopped:
            sink.abort()
        else:
            sink.close()

    def _blocks(self) -> Iterator[Samples | None]:
        """All that was fed and will be, from the first, in short pieces; None now and then while nothing is there."""
        step = max(1, round(_WRITE_SECONDS * self._rate))
        for number in itertools.count():
            while not self._ready(number):
                yield None
            with self._news:
                if len(self._chunks) <= number:
                    return
                chunk = self._chunks[number]
            for start in range(0, len(chunk), step):
                yield chunk[start : start + step]

    def _ready(self, number: int) -> bool:
        """Wait a moment for a chunk, or for the end."""
        with self._news:
            return self._news.wait_for(
                lambda: self._ended or len(self._chunks) > number, timeout=_LOOK_SECONDS
            )


def _sinks(rate: int, channels: int) -> Iterator[Callable[[], _Sink]]:
    """What can play here, the best first."""
    module = portaudio()
    if module is not None:
        yield lambda: Device(module, rate, channels)
    for program in _PROGRAMS:
        path = shutil.which(program.name)
        if path is not None:
            yield lambda path=path, program=program: _Pipe(path, program, rate, channels)  # type: ignore[misc]
