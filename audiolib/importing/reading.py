"""One sound file read once, block by block: digests, facts, analysis, what it says of itself."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from audiolib.errors import AudiolibError
from audiolib.files import TOLERATED_FRAMES, SamplesDigest

if TYPE_CHECKING:
    from indexing.analysis import Analysis

MIN_RATE, MAX_RATE, MAX_CHANNELS = 1_000, 768_000, 8
CONTAINERS: Final = {
    "WAV": ".wav",
    "WAVEX": ".wav",
    "RF64": ".wav",
    "FLAC": ".flac",
    "OGG": ".ogg",
    "MP3": ".mp3",
    "AIFF": ".aiff",
}
"""libsndfile's names of the formats that are taken, and what such files end in here."""
_CHUNK_BYTES: Final = 1 << 20


class NotAddedError(AudiolibError):
    """A file that is not taken in; the message is a sentence that does not name it."""


class Stopped(Exception):  # no error: the caller asked for it
    """Reading ended because it was asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """What was read off a file.

    Attributes:
        duration: Seconds.
        sampling_rate: Hz.
        channels: How many.
        container: libsndfile's name of the format.
        audio_sha256: Over the decoded samples, as `audiolib.files.samples_sha256`.
        analysis: How it sounds.
        note: What is odd about it, in a sentence.
    """

    duration: float
    sampling_rate: int
    channels: int
    container: str
    audio_sha256: str
    analysis: "Analysis"
    note: str | None


def hash_file(file: BinaryIO, *, stopped: Callable[[], bool], copy_to: BinaryIO | None = None) -> str:
    """Return the SHA-256 in hex of what a file holds from here on.

    Args:
        file: Open for reading.
        stopped: Asked again and again whether to end.
        copy_to: Where the same bytes are written.

    Raises:
        NotAddedError: It cannot be read.
        Stopped: `stopped` said so.
        OSError: It cannot be written.
    """
    digest = hashlib.sha256()
    while chunk := _read(file):
        if stopped():
            raise Stopped
        digest.update(chunk)
        if copy_to is not None:
            copy_to.write(chunk)
    return digest.hexdigest()


def check_sound(path: Path) -> None:
    """Say at once what the beginning of a file tells: no sound file, or of a kind that makes no sense.

    Args:
        path: The file.

    Raises:
        NotAddedError: It is not taken.
    """
    from generation.errors import AudioError
    from generation.stream import open_audio

    try:
        with open_audio(path) as stream:
            _check(stream.container, stream.sampling_rate, stream.channels)
    except AudioError as error:
        raise NotAddedError(without_path(str(error), path)) from error


def read_sound(path: Path, *, stopped: Callable[[], bool] = lambda: False) -> Sound:
    """Decode a file in memory that does not grow with its length.

    Args:
        path: The file.
        stopped: Asked again and again whether to end.

    Raises:
        NotAddedError: It is no sound file, damaged, empty, or of a kind that makes no sense.
        Stopped: `stopped` said so.
    """
    from generation.errors import AudioError
    from generation.stream import open_audio
    from indexing.analysis import Analyser

    digest = SamplesDigest()
    frames = 0
    try:
        with open_audio(path) as stream:
            _check(stream.container, stream.sampling_rate, stream.channels)
            analyser = Analyser(stream.sampling_rate, stream.channels)
            for block in stream.blocks():
                if stopped():
                    raise Stopped
                digest.update(block)
                analyser.feed(block)
                frames += len(block)
    except AudioError as error:
        raise NotAddedError(without_path(str(error), path)) from error
    if frames == 0:
        raise NotAddedError("It holds no samples.")
    return Sound(
        duration=frames / stream.sampling_rate,
        sampling_rate=stream.sampling_rate,
        channels=stream.channels,
        container=stream.container,
        audio_sha256=digest.hexdigest(),
        analysis=analyser.finish(),
        note=_note(frames, stream.promised, stream.sampling_rate, cut=stream.cut),
    )


def against_rate(sampling_rate: int) -> str | None:
    """Return why a sample rate is none that sound can be heard in, as a sentence; `None` where it is one.

    Args:
        sampling_rate: Hz.
    """
    if MIN_RATE <= sampling_rate <= MAX_RATE:
        return None
    return f"Its sample rate is {sampling_rate:,} Hz; {MIN_RATE:,} to {MAX_RATE:,} Hz are taken. Resample it first."


def _read(file: BinaryIO) -> bytes:
    try:
        return file.read(_CHUNK_BYTES)
    except OSError as error:  # a bad file is its own matter, a full disk everybody's
        raise NotAddedError(f"It cannot be read: {error.strerror or error}.") from error


def _check(container: str, sampling_rate: int, channels: int) -> None:
    if container not in CONTAINERS:
        raise NotAddedError(f"It is of the format {container}; WAV, FLAC, OGG, MP3 and AIFF are taken.")
    if (sentence := against_rate(sampling_rate)) is not None:
        raise NotAddedError(sentence)
    if channels > MAX_CHANNELS:
        raise NotAddedError(
            f"It has {channels} channels; at most {MAX_CHANNELS} are taken. Mix it down first."
        )


def _note(frames: int, promised: int | None, rate: int, *, cut: bool) -> str | None:
    if cut:
        return "Its end is missing: it may have been cut short. What is there was added."
    if promised is None or promised - frames <= TOLERATED_FRAMES:
        return None
    return (
        f"Its header promises {promised / rate:,.1f} s and {frames / rate:,.1f} s are there: "
        "it may have been cut short. What is there was added."
    )


def without_path(sentence: str, path: Path) -> str:
    """Return a sentence about a file that does not name it: its path stands beside it, and may hold anything.

    Args:
        sentence: One that begins with the path.
        path: The file.
    """
    return "It" + sentence.removeprefix(os.fspath(path)) if sentence.startswith(os.fspath(path)) else sentence
