"""The first sketch's calls: one line from a sentence to a sound file or to the loudspeaker."""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.audio import Samples, save_audio
from generation.errors import AudioError
from generation.musicgen import MusicGen
from generation.playing import WAY_OUT, LivePlayer, can_play_live

_log = logging.getLogger(__name__)


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
            AudioError: There is no player on this machine, or none could play it.
        """
        player = LivePlayer(self.sampling_rate)
        player.feed(self.audio)
        player.finish()


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
    """`generate_audio`, heard while it is made; it returns when all of it was heard.

    What is returned is what `generate_audio` returns. Where playing fails on the way, a warning is logged at once and
    the music is still made and returned.

    Args:
        prompt: What it should sound like.
        model: Name or folder of a checkpoint on this machine; None for the default.
        **options: Those of `MusicGen.stream`: `duration`, `max_steps`, `seed`, `temperature`, ...

    Raises:
        GenerationError: as `generate_audio`; AudioError, before anything is made, where nothing can play.
    """
    if not can_play_live():
        raise AudioError(
            f"No player was found. {WAY_OUT} `generate_audio` makes music that can be saved without one."
        )
    loaded = _model(model, os.environ.get("AUDIOLIB_MODEL"))
    told: list[str] = []  # of a player that failed before the end, once

    def failed(reason: str) -> None:
        told.append(reason)
        _log.warning("The music is still made, but not heard. %s", reason)

    player = LivePlayer(loaded.sampling_rate, failed)
    stream = loaded.stream(prompt, **options)
    try:
        for chunk in stream:
            player.feed(chunk)
        made = GeneratedAudio(audio=stream.composition.audio, sampling_rate=loaded.sampling_rate)
    except BaseException:
        player.stop()
        raise
    try:
        player.finish()
    except AudioError as error:
        if not told:
            _log.warning("The music was made but not heard. %s", error)
    return made
