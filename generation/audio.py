"""Sound files: samples in 16, 24 or 32 bits, a comment that travels inside the file, resampling.

A sample `x` is stored in 16 bits as `round(x * 32768)`, half to even, limited to -32768 .. 32767, and read as
`n / 32768`; so in 24 bits with 2^23. What was read and is stored again gives the same bits.
"""

from __future__ import annotations

import io
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from generation.clipping import Clipping, clipping_of
from generation.errors import AudioError
from generation.finish import AS_IT_IS, SoundFinish, finish_sound
from generation.formats import FORMATS, container_of
from generation.stream import open_audio, reason_of
from generation.texts import read_texts

if TYPE_CHECKING:
    from generation.finish import Meter

__all__ = [
    "FORMATS",
    "MAX_TEXT_BYTES",
    "as_floats",
    "encode_audio",
    "load_audio",
    "read_comment",
    "resample",
    "save_audio",
    "to_int16",
]

Samples = npt.NDArray[np.float32]

MAX_TEXT_BYTES = 32_000
"""Of a comment or a title in UTF-8: libsndfile drops longer ones from WAV without a word."""

_MAX_RATE = 655_350  # FLAC's; libsndfile crashes on some rates that are none, as 0
_BLOCK = 1 << 16  # libsndfile's Vorbis encoder overflows the stack on millions of samples at once
_PEAK_DATE = slice(12, 16)  # of the chunk, behind its name, size and version

logger = logging.getLogger(__name__)


def as_floats(audio: npt.ArrayLike) -> Samples:
    """Samples of the same shape as float32: `n / 32768` of 16-bit ones.

    Raises:
        AudioError: they are whole numbers of another size.
    """
    samples = np.asarray(audio)
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / np.float32(32768)
    if not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(f"Samples of type {samples.dtype} are not known; give floats in [-1, 1] or int16.")
    return samples.astype(np.float32, copy=False)


def to_int16(audio: npt.ArrayLike) -> npt.NDArray[np.int16]:
    """Samples as they are stored: `round(x * 32768)` limited to 16 bits, of the same shape.

    Raises:
        AudioError: a sample is no finite number.
    """
    samples = np.asarray(audio)
    if samples.dtype == np.int16:
        return samples
    return _rounded(samples, 16, None).astype(np.int16)


def encode_audio(
    audio: npt.ArrayLike,
    sampling_rate: int,
    suffix: str = ".wav",
    *,
    sample_format: str | None = None,
    dither_seed: int | None = None,
    comment: str | None = None,
    title: str | None = None,
) -> bytes:
    """The bytes of a sound file.

    Args:
        audio: `(samples,)` or `(samples, channels)`, float in [-1, 1] or int16. What is outside is clipped, with a
            warning in the log; floats hold it.
        sampling_rate: Hz.
        suffix: One of `FORMATS`; Ogg Vorbis and MP3 are lossy.
        sample_format: `pcm16` (where None), `pcm24` or, in WAV, `float`.
        dither_seed: Adds triangular noise of one step either way before rounding, always the same for a seed.
        comment: Kept inside the file (RIFF INFO, Vorbis comment, ID3).
        title: Likewise.

    Raises:
        AudioError: samples are not finite or have another shape, the format cannot hold such samples or that rate, or
            a text is too long or cannot be stored.
    """
    return _encoded(audio, sampling_rate, suffix, sample_format, dither_seed, comment, title)[0].getvalue()


def _encoded(
    audio: npt.ArrayLike,
    sampling_rate: int,
    suffix: str,
    sample_format: str | None,
    dither_seed: int | None,
    comment: str | None,
    title: str | None,
) -> tuple[io.BytesIO, Clipping | None]:
    import soundfile

    container, subtype = container_of(suffix, sample_format)
    if not 0 < sampling_rate <= _MAX_RATE:
        raise AudioError(f"Audio cannot be written at {sampling_rate} Hz.")
    samples = np.asarray(audio)
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise AudioError(f"Audio of shape {samples.shape} cannot be written; give (samples, channels).")
    clipped = None if subtype == "FLOAT" or samples.dtype == np.int16 else clipping_of(samples)
    if clipped is not None:
        clipped.tell(logger)
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
            for block in _stored_blocks(samples, subtype, dither_seed):
                file.write(block)
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise AudioError(
            f"{container} cannot hold {channels} channel(s) at {sampling_rate} Hz: {reason_of(error)}"
        ) from error
    if container == "MP3":
        _write_id3(buffer, **texts)
    if subtype == "FLOAT":
        _take_date_away(buffer)
    return buffer, clipped


def _stored_blocks(
    samples: npt.NDArray[Any], subtype: str, dither_seed: int | None
) -> Iterator[npt.NDArray[Any]]:
    """Samples as libsndfile takes them, block by block: memory does not grow with the clip."""
    noise = None if dither_seed is None else np.random.default_rng(dither_seed)
    for start in range(0, len(samples), _BLOCK):
        block = samples[start : start + _BLOCK]
        if subtype == "PCM_16":
            yield block if block.dtype == np.int16 else _rounded(block, 16, noise).astype(np.int16)
            continue
        if block.dtype == np.int16:
            block = as_floats(block)
        if subtype == "PCM_24":
            yield _rounded(block, 24, noise).astype(np.int32) << 8  # libsndfile takes the upper 24 of 32 bits
        elif subtype == "FLOAT":
            yield _finite(block).astype(np.float32)
        else:
            # libsndfile garbles stereo MP3 from 16-bit samples, so lossy encoders get the same values as floats.
            yield _rounded(block, 16, None).astype(np.float32) / 32768


def _rounded(
    samples: npt.NDArray[Any], bits: int, noise: np.random.Generator | None
) -> npt.NDArray[np.float64]:
    """Whole numbers of so many bits."""
    full = 1 << (bits - 1)
    scaled = _finite(samples).astype(np.float64) * full
    if noise is not None:
        # Two even ones make a triangular one (TPDF), in the order of the samples however they are cut into blocks.
        first, second = np.moveaxis(noise.random((*scaled.shape, 2)), -1, 0)
        scaled += first - second
    return np.clip(np.rint(scaled), -full, full - 1)


def _finite(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if not np.isfinite(samples).all():
        raise AudioError("The audio holds samples that are no numbers, so it is not written.")
    return samples


def _take_date_away(buffer: io.BytesIO) -> None:
    """libsndfile dates the PEAK chunk of float WAVs; the same sound should give the same bytes."""
    content = buffer.getbuffer()
    at = 12  # behind RIFF, size and WAVE, then from chunk to chunk: a text may hold any word
    while at + 8 <= len(content) and bytes(content[at : at + 4]) not in (b"PEAK", b"data"):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    if bytes(content[at : at + 4]) == b"PEAK":
        content[at + _PEAK_DATE.start : at + _PEAK_DATE.stop] = bytes(4)


def save_audio(
    path: str | os.PathLike[str],
    audio: npt.ArrayLike,
    sampling_rate: int,
    *,
    sample_format: str | None = None,
    finish: SoundFinish = AS_IT_IS,
    meter: Meter | None = None,
    dither_seed: int = 0,
    comment: str | None = None,
    title: str | None = None,
) -> Clipping | None:
    """Write a sound file whole or not at all; the suffix decides the format.

    Args:
        path: Ends in one of `FORMATS`; a file of that name is replaced.
        audio: As for `encode_audio`.
        sampling_rate: Hz.
        sample_format: As for `encode_audio`.
        finish: Fades, normalizing and dither; see `SoundFinish`. What the listener should know is logged.
        meter: Measures loudness, for `finish`; see `finish_sound`.
        dither_seed: Of the dither, where `finish` asks for it.
        comment: Kept inside the file, for `read_comment`.
        title: Likewise.

    Returns:
        What was over full scale and cut off, if anything was.

    Raises:
        AudioError: as `encode_audio`, or the file cannot be written; then the system's `OSError` is its cause.
        InvalidRequestError: as `finish_sound`.
    """
    target, cut = Path(path), None
    if finish != AS_IT_IS:
        container_of(target.suffix, sample_format)  # before any work
        finished = finish_sound(audio, sampling_rate, finish, meter=meter, clip=sample_format != "float")
        finished.tell(logger)
        audio, cut = finished.audio, finished.clipped
    noise = dither_seed if finish.dither else None
    buffer, clipped = _encoded(audio, sampling_rate, target.suffix, sample_format, noise, comment, title)
    try:
        _write_atomically(target, buffer.getbuffer())
    except OSError as error:
        raise AudioError(f"{target} cannot be written: {error.strerror or error}.") from error
    return cut or clipped


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
        AudioError: a rate is not above 0, or as `as_floats`.
    """
    import soxr

    if from_hz <= 0 or to_hz <= 0:
        raise AudioError(f"Audio cannot be resampled from {from_hz} to {to_hz} Hz.")
    samples = as_floats(audio)
    if from_hz == to_hz:
        return samples
    resampled: Samples = soxr.resample(samples, from_hz, to_hz, quality="HQ").astype(np.float32, copy=False)
    return resampled


def _write_atomically(target: Path, data: memoryview) -> None:
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
