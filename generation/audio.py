"""Sound files: 16-bit samples in, float32 samples out, a comment that travels inside the file, resampling.

A sample `x` is stored as `round(x * 32768)`, half to even, limited to -32768 .. 32767, and read as `n / 32768`. So what
was read and is stored again gives the same 16 bits.
"""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from generation.errors import AudioError
from generation.stream import open_audio, reason_of
from generation.texts import read_texts

Samples = npt.NDArray[np.float32]

_SUBTYPES = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
FORMATS = tuple(_SUBTYPES)
"""The suffixes that can be written."""

MAX_TEXT_BYTES = 32_000
"""Of a comment or a title in UTF-8: libsndfile drops longer ones from WAV without a word."""

_MAX_RATE = 655_350  # FLAC's; libsndfile crashes on some rates that are none, as 0
_BLOCK = 1 << 16  # libsndfile's Vorbis encoder overflows the stack on millions of samples at once


def to_int16(audio: npt.ArrayLike) -> npt.NDArray[np.int16]:
    """Samples as they are stored: `round(x * 32768)` limited to 16 bits, of the same shape.

    Raises:
        AudioError: a sample is no finite number.
    """
    samples = np.asarray(audio)
    if samples.dtype == np.int16:
        return samples
    if not np.isfinite(samples).all():
        raise AudioError("The audio holds samples that are no numbers, so it is not written.")
    scaled = np.rint(samples.astype(np.float64) * 32768)
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def encode_audio(
    audio: npt.ArrayLike,
    sampling_rate: int,
    suffix: str = ".wav",
    *,
    comment: str | None = None,
    title: str | None = None,
) -> bytes:
    """The bytes of a sound file.

    Args:
        audio: `(samples,)` or `(samples, channels)`, float in [-1, 1] (what is outside is clipped) or int16.
        sampling_rate: Hz.
        suffix: One of `FORMATS`: WAV and FLAC keep the 16 bits, Ogg Vorbis and MP3 are lossy.
        comment: Kept inside the file (RIFF INFO, Vorbis comment, ID3).
        title: Likewise.

    Raises:
        AudioError: samples are not finite or have another shape, the format cannot be written at that rate, or a text
            is too long or cannot be stored.
    """
    import soundfile

    if suffix.lower() not in _SUBTYPES:
        raise AudioError(f"Audio cannot be written as {suffix!r}; use one of {', '.join(FORMATS)}.")
    container, subtype = _SUBTYPES[suffix.lower()]
    if not 0 < sampling_rate <= _MAX_RATE:
        raise AudioError(f"Audio cannot be written at {sampling_rate} Hz.")
    samples = to_int16(audio)
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise AudioError(f"Audio of shape {samples.shape} cannot be written; give (samples, channels).")
    # libsndfile garbles stereo MP3 from 16-bit samples, so lossy encoders get the same values as floats.
    given = samples if subtype == "PCM_16" else samples.astype(np.float32) / 32768
    texts = {"comment": _storable(comment), "title": _storable(title)}
    buffer = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    try:
        with soundfile.SoundFile(
            buffer, "w", int(sampling_rate), channels, subtype=subtype, format=container
        ) as file:
            # Texts come before the samples, or they are not stored. ID3's are written below, in Unicode.
            if container != "MP3":
                for name, text in texts.items():
                    if text:
                        setattr(file, name, text)
            for start in range(0, len(samples), _BLOCK):
                file.write(given[start : start + _BLOCK])
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise AudioError(
            f"{container} cannot hold {channels} channel(s) at {sampling_rate} Hz: {reason_of(error)}"
        ) from error
    if container == "MP3":
        _write_id3(buffer, **texts)
    return buffer.getvalue()


def save_audio(
    path: str | os.PathLike[str],
    audio: npt.ArrayLike,
    sampling_rate: int,
    *,
    comment: str | None = None,
    title: str | None = None,
) -> None:
    """Write a sound file whole or not at all; the suffix decides the format.

    Args:
        path: Ends in one of `FORMATS`; a file of that name is replaced.
        audio: `(samples,)` or `(samples, channels)`, float in [-1, 1] (what is outside is clipped) or int16.
        sampling_rate: Hz.
        comment: Kept inside the file, for `read_comment`.
        title: Likewise.

    Raises:
        AudioError: as `encode_audio`, or the file cannot be written; then the system's `OSError` is its cause.
    """
    target = Path(path)
    data = encode_audio(audio, sampling_rate, target.suffix, comment=comment, title=title)
    try:
        _write_atomically(target, data)
    except OSError as error:
        raise AudioError(f"{target} cannot be written: {error.strerror or error}.") from error


def load_audio(path: str | os.PathLike[str]) -> tuple[Samples, int]:
    """Read a sound file of any format that libsndfile knows.

    Returns:
        `(samples,)` or `(samples, channels)` float32 in [-1, 1], and the sampling rate in Hz.

    Raises:
        AudioError: the file is missing, empty, no sound file, or holds samples that are no numbers.
    """
    with open_audio(path) as stream:
        blocks = list(stream.blocks())
        if not blocks:
            raise AudioError(f"{path} holds no samples.")
        audio = np.concatenate(blocks)
        return (audio[:, 0] if stream.channels == 1 else audio), stream.sampling_rate


def read_comment(path: str | os.PathLike[str]) -> str | None:
    """The comment inside a sound file; None where there is none.

    Raises:
        AudioError: the file is missing or no sound file.
    """
    return read_texts(path).comment


def resample(audio: npt.ArrayLike, from_hz: int, to_hz: int) -> Samples:
    """Change the sampling rate with soxr's high quality filter: `(samples,)` or `(samples, channels)`.

    Raises:
        AudioError: a rate is not above 0.
    """
    import soxr

    if from_hz <= 0 or to_hz <= 0:
        raise AudioError(f"Audio cannot be resampled from {from_hz} to {to_hz} Hz.")
    samples = np.asarray(audio, dtype=np.float32)
    if from_hz == to_hz:
        return samples
    resampled: Samples = soxr.resample(samples, from_hz, to_hz, quality="HQ").astype(np.float32)
    return resampled


def _write_atomically(target: Path, data: bytes) -> None:
    """A hidden file beside the target, synced, then renamed; removed on any failure, Ctrl+C included."""
    temporary = target.with_name(f".{target.stem[:100]}.{secrets.token_hex(4)}.tmp{target.suffix}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _storable(text: str | None) -> str | None:
    if not text:
        return None
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise AudioError(
            "A text with lone surrogates (broken Unicode) cannot be stored in a sound file."
        ) from error
    if "\0" in text:
        raise AudioError("A text with a NUL character cannot be stored in a sound file.")
    if size > MAX_TEXT_BYTES:
        raise AudioError(
            f"A text of {size} bytes is too long for a sound file; the limit is {MAX_TEXT_BYTES}."
        )
    return text


def _write_id3(buffer: io.BytesIO, comment: str | None, title: str | None) -> None:
    """Texts in UTF-8, which libsndfile's own ID3 writer cannot do."""
    from mutagen.id3 import COMM, ID3, TIT2

    tags: Any = ID3()
    if comment:
        tags.add(COMM(encoding=3, lang="eng", desc="", text=[comment]))
    if title:
        tags.add(TIT2(encoding=3, text=[title]))
    if comment or title:
        buffer.seek(0)
        tags.save(buffer)
