"""What sound files can be written: containers, and how each one stores its samples."""

from __future__ import annotations

from typing import Final

from generation.errors import AudioError

SAMPLE_FORMATS: Final = ("pcm16", "pcm24", "float")
"""Whole numbers of 16 or 24 bits, or 32-bit floats."""

# libsndfile's names of the container and of each way to store samples; None is the only way of a lossy format.
_CONTAINERS: Final[dict[str, tuple[str, dict[str | None, str]]]] = {
    ".wav": ("WAV", {"pcm16": "PCM_16", "pcm24": "PCM_24", "float": "FLOAT"}),
    ".flac": ("FLAC", {"pcm16": "PCM_16", "pcm24": "PCM_24"}),
    ".ogg": ("OGG", {None: "VORBIS"}),
    ".mp3": ("MP3", {None: "MPEG_LAYER_III"}),
}
FORMATS: Final = tuple(_CONTAINERS)
"""The suffixes that can be written."""

_NAMES: Final = {"pcm16": "16-bit samples", "pcm24": "24-bit samples", "float": "floats"}


def container_of(suffix: str, sample_format: str | None = None) -> tuple[str, str]:
    """libsndfile's container and subtype for a file.

    Args:
        suffix: One of `FORMATS`, in upper or lower case.
        sample_format: One of `SAMPLE_FORMATS`; None is 16 bit where samples are stored as they are, and the only way
            there is for a lossy format.

    Raises:
        AudioError: there is no such format, or it cannot hold such samples.
    """
    if suffix.lower() not in _CONTAINERS:
        raise AudioError(f"Audio cannot be written as {suffix!r}; use one of {', '.join(FORMATS)}.")
    if sample_format is not None and sample_format not in SAMPLE_FORMATS:
        raise AudioError(f"{sample_format!r} is no sample format; use one of {', '.join(SAMPLE_FORMATS)}.")
    container, subtypes = _CONTAINERS[suffix.lower()]
    chosen = "pcm16" if sample_format is None and None not in subtypes else sample_format
    if chosen in subtypes:
        return container, subtypes[chosen]
    if None in subtypes:
        raise AudioError(f"{container} is lossy and has no sample format; leave it out, or use WAV or FLAC.")
    raise AudioError(
        f"{container} cannot hold {_NAMES[chosen or 'pcm16']}; use WAV, or another sample format."
    )
