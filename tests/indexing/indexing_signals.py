"""Signals whose tempo, key and loudness are known."""

from __future__ import annotations

import numpy as np

RATE = 32_000


def clicks(
    bpm: float, seconds: float = 10.0, *, rate: int = RATE, hertz: float = 1500.0, decay: float = 0.003
) -> np.ndarray:
    """Short falling tones at a tempo, `(samples,)` float32."""
    time = np.arange(round(7 * decay * rate)) / rate
    click = np.exp(-time / decay) * np.sin(2 * np.pi * hertz * time)
    audio = np.zeros(round(seconds * rate), dtype=np.float32)
    for beat in np.arange(0, seconds, 60 / bpm):
        start = round(beat * rate)
        audio[start : start + len(click)] += click[: len(audio) - start]
    return 0.5 * audio


def tone(midi: float, seconds: float, *, rate: int = RATE) -> np.ndarray:
    """A plucked tone of six partials, `(samples,)` float32."""
    time = np.arange(round(seconds * rate)) / rate
    hertz = 440.0 * 2 ** ((midi - 69) / 12)
    envelope = np.minimum(1, time / 0.01) * np.exp(-1.5 * time) * np.clip((seconds - time) / 0.02, 0, 1)
    wave = sum(np.sin(2 * np.pi * hertz * n * time) / n for n in range(1, 7))
    return (0.15 * envelope * wave).astype(np.float32)


def pad(midi: tuple[int, ...], seconds: float, *, rate: int = RATE) -> np.ndarray:
    """A chord that is held, `(samples,)` float32."""
    time = np.arange(round(seconds * rate)) / rate
    envelope = np.minimum(1, time / 0.5)
    hertz = [440.0 * 2 ** ((note - 69) / 12) for note in midi]
    waves = sum(np.sin(2 * np.pi * each * n * time) / n**2 for each in hertz for n in range(1, 5))
    return (0.05 * envelope * waves).astype(np.float32)


def rendered(*, seed: int = 7, seconds: float = 10.0, **changes: object) -> np.ndarray:
    """A piece of the starter's renderer: piano, bass and light drums in C major at 100 unless changed."""
    from generation.training.starter.attributes import PieceAttributes
    from generation.training.starter.render import render_piece

    attributes: dict[str, object] = {
        "genre": None,
        "mood": "happy",
        "pace": "medium",
        "tempo_bpm": 100,
        "tone": "neutral",
        "drums": "light",
        "kit": "acoustic",
        "lead": "piano",
        "backing": "piano",
        "bass": "electric bass",
        "tonic": 0,
        "mode": "major",
        "level": "medium",
        "meter": 4,
    }
    return render_piece(PieceAttributes(**{**attributes, **changes}), seed, seconds=seconds)  # type: ignore[arg-type]
