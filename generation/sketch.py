"""The first sketch's calls: one line from a sentence to a sound file or to the loudspeaker."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.audio import Samples, save_audio
from generation.errors import AudioError
from generation.musicgen import MusicGen


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedAudio:
    """A waveform with its rate.

    Attributes:
        audio: `(samples,)`, stereo `(samples, 2)`, float32 in [-1, 1].
        sampling_rate: Hz.
    """

    audio: Samples
    sampling_rate: int

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a sound file; the suffix decides the format.

        Raises:
            AudioError: it cannot be written.
        """
        save_audio(path, self.audio, self.sampling_rate)

    def play(self) -> None:
        """Play it and wait for the end.

        Raises:
            AudioError: sounddevice is not installed, or there is no output device.
        """
        try:
            import sounddevice
        except (ImportError, OSError) as error:  # OSError: the PortAudio library is missing
            raise AudioError(
                "Playing needs the package sounddevice (with PortAudio): pip install 'audiolib-mlx[play]'. "
                "The audio can be saved without it."
            ) from error
        try:
            sounddevice.play(self.audio, self.sampling_rate, blocking=True)
        except sounddevice.PortAudioError as error:
            raise AudioError(f"The audio cannot be played here: {error}.") from error


@functools.lru_cache(maxsize=1)
def _model(name: str | Path | None, _environment: str | None) -> MusicGen:
    return MusicGen.from_pretrained(name)


def generate_audio(prompt: str, *, model: str | Path | None = None, **options: Any) -> GeneratedAudio:
    """Make music from one prompt. The model stays loaded between calls.

    Args:
        prompt: What it should sound like.
        model: Name or folder of a checkpoint on this machine; None for the default.
        **options: Those of `MusicGen.generate`: `duration`, `max_steps`, `seed`, `temperature`, ...

    Raises:
        GenerationError: the model is not on this machine, or what was asked for cannot be done.
    """
    loaded = _model(model, os.environ.get("AUDIOLIB_MODEL"))
    return GeneratedAudio(audio=loaded.generate(prompt, **options), sampling_rate=loaded.sampling_rate)


def generate_and_play(prompt: str, *, model: str | Path | None = None, **options: Any) -> GeneratedAudio:
    """`generate_audio`, then play it.

    Raises:
        GenerationError: as `generate_audio`; AudioError when it cannot be played.
    """
    made = generate_audio(prompt, model=model, **options)
    made.play()
    return made
