"""Speech synthesisers: espeak-ng through its library, with the time of each word, and flite through its program.

`ESPEAK_LIBRARY`, `ESPEAK_DATA_PATH` and `FLITE` name copies that are not installed in the system.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexing.errors import IndexingError

SAMPLING_RATE = 16_000
Samples = NDArray[np.float32]


class EngineUnavailableError(IndexingError):
    """No such synthesiser on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """How something is said.

    Attributes:
        engine: `espeak` or `flite`.
        name: The engine's voice, with espeak-ng's variant after a plus: `en-us+f2`.
        rate: Words a minute with espeak-ng; 175 is usual. flite stretches by 175 / rate.
        pitch: 0 to 100 with espeak-ng; 50 is usual. flite has its own.
    """

    engine: str
    name: str
    rate: int = 175
    pitch: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """Synthesised speech.

    Attributes:
        samples: `(samples,)` at 16 kHz.
        starts: Where each word begins, in seconds; None where the engine does not tell.
    """

    samples: Samples
    starts: tuple[float, ...] | None


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)
_SYNCHRONOUS, _WORD, _UTF8, _RATE, _PITCH = 2, 1, 1, 1, 3


class Espeak:
    """espeak-ng's library in this process; it has one state, so one object a process."""

    def __init__(self) -> None:
        """Loads the library.

        Raises:
            EngineUnavailableError: It is not installed.
        """
        name = os.environ.get("ESPEAK_LIBRARY") or ctypes.util.find_library("espeak-ng")
        try:
            self._library = ctypes.CDLL(name or "libespeak-ng.so.1")
        except OSError as error:
            raise EngineUnavailableError(
                "Synthesis needs espeak-ng (`apt-get install espeak-ng`), or ESPEAK_LIBRARY naming its library."
            ) from error
        data = os.environ.get("ESPEAK_DATA_PATH")
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 500, data.encode() if data else None, 0)
        if self._rate <= 0:
            raise EngineUnavailableError(
                "espeak-ng does not find its data; ESPEAK_DATA_PATH names its folder."
            )
        self._blocks: list[Samples] = []
        self._words: dict[int, float] = {}
        self._callback = _CALLBACK(self._take)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, words: tuple[str, ...], voice: Voice) -> Utterance:
        """One utterance.

        Raises:
            EngineUnavailableError: No such voice.
        """
        language, _, variant = voice.name.partition("+")
        if self._library.espeak_SetVoiceByName(f"{language}+{variant}".rstrip("+").encode()) != 0:
            raise EngineUnavailableError(f"espeak-ng has no voice {voice.name}.")
        self._library.espeak_SetParameter(_RATE, voice.rate, 0)
        self._library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        self._blocks, self._words = [], {}
        text = " ".join(words).encode()
        self._library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        samples = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.float32)
        return Utterance(samples=_resample(samples, self._rate), starts=self._starts(words))

    def _take(self, samples: object, count: int, events: object) -> int:
        if samples and count:
            block = np.ctypeslib.as_array(samples, shape=(count,))
            self._blocks.append(np.asarray(block / 32768, dtype=np.float32))
        index = 0
        while events and events[index].type:  # type: ignore[index]
            event = events[index]  # type: ignore[index]
            if event.type == _WORD:
                self._words.setdefault(event.text_position - 1, event.audio_position / 1000)
            index += 1
        return 0

    def _starts(self, words: tuple[str, ...]) -> tuple[float, ...]:
        """espeak-ng joins some small words to the next or the last one; they share its time."""
        starts, position, last = [], 0, 0.0
        for word in words:
            last = self._words.get(position, last)
            starts.append(last)
            position += len(word) + 1
        return tuple(starts)


@functools.cache
def _espeak() -> Espeak:
    return Espeak()


def say(words: tuple[str, ...], voice: Voice) -> Utterance:
    """Speak words with a voice.

    Raises:
        EngineUnavailableError: The engine or the voice is not there.
    """
    return _espeak().say(words, voice) if voice.engine == "espeak" else _flite(words, voice)


def _flite(words: tuple[str, ...], voice: Voice) -> Utterance:
    program = os.environ.get("FLITE") or shutil.which("flite")
    if program is None:
        raise EngineUnavailableError("Synthesis needs flite (`apt-get install flite`), or FLITE naming it.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        stretch = f"duration_stretch={175 / voice.rate:.3f}"
        command = [program, "-voice", voice.name, "--setf", stretch, "-t", " ".join(words), "-o", str(path)]
        try:
            subprocess.run(  # noqa: S603
                command, check=True, capture_output=True, timeout=60
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EngineUnavailableError(
                f"flite cannot speak with the voice {voice.name}: {error}"
            ) from error
        samples, rate = _read_wav(path)
    return Utterance(samples=_resample(samples, rate), starts=None)


def _read_wav(path: Path) -> tuple[Samples, int]:
    import wave

    with wave.open(str(path)) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return np.asarray(frames / 32768, dtype=np.float32), file.getframerate()


def _resample(samples: Samples, rate: int) -> Samples:
    import soxr

    if rate == SAMPLING_RATE or not len(samples):
        return samples
    resampled: Samples = soxr.resample(samples, rate, SAMPLING_RATE)
    return resampled
