"""Sound files from elsewhere, for the tests of importing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from generation.audio import encode_audio

RATE = 8_000


def melody(seed: int, *, seconds: float = 0.5, channels: int = 1) -> np.ndarray:
    """Sound `(samples,)` or `(samples, channels)` that another seed does not have."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(RATE * seconds)) / RATE
    notes = [np.sin(2 * np.pi * hertz * time) for hertz in rng.uniform(200, 2000, 3 * channels)]
    sound = 0.1 * np.sum(np.reshape(notes, (channels, 3, -1)), axis=1).T.astype(np.float32)
    return sound[:, 0] if channels == 1 else sound


def write_sound(path: Path, seed: int = 0, *, channels: int = 1, seconds: float = 0.5, **texts: str) -> Path:
    """A sound file; the suffix decides the format, `texts` are its title, artist, genre and comment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = melody(seed, channels=channels, seconds=seconds)
    if path.suffix == ".mp3":
        path.write_bytes(encode_audio(sound, RATE, ".mp3", **texts))
        return path
    with soundfile.SoundFile(path, "w", RATE, channels) as file:
        for name, text in texts.items():
            setattr(file, name, text)
        file.write(sound)
    return path


def write_album(folder: Path, number: int, *, first: int = 0) -> list[Path]:
    """Short WAV files in a folder, each with a sound of its own."""
    return [write_sound(folder / f"{n:03d}.wav", seed=n, seconds=0.1) for n in range(first, first + number)]
