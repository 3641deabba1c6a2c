"""Single-voice melodies whose notes are known: for judging what a codec does to pitch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generation.training.starter import theory
from generation.training.starter.instruments import INSTRUMENTS, SAMPLING_RATE, Samples, synthesise_note
from generation.training.starter.piece import Note

VOICES = (
    "piano",
    "flute",
    "violin",
    "trumpet",
    "acoustic guitar",
    "synth lead",
    "electric piano",
    "square lead",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Melody:
    """`audio` is `(samples,)` float32 at 32 kHz; `notes` are what is heard in it, one at a time."""

    audio: Samples
    instrument: str
    notes: tuple[Note, ...]


def render_melody(seed: int, *, seconds: float = 4.0, instrument: str | None = None) -> Melody:
    """Render a scale-bound melody without chords, drums or room; the same seed gives the same melody.

    Args:
        seed: decides key, notes and, if none is given, the instrument.
        seconds: length.
        instrument: a key of `INSTRUMENTS`.
    """
    rng = np.random.default_rng([seed, 5])
    name = instrument or VOICES[int(rng.integers(len(VOICES)))]
    tonic, mode = int(rng.integers(12)), "major" if rng.random() < 0.5 else "minor"
    step = round((INSTRUMENTS[name].centre + 4 - tonic) * 7 / 12)
    audio = np.zeros(round(seconds * SAMPLING_RATE), dtype=np.float32)
    notes = []
    start = 0.0
    while start < seconds - 0.15:
        duration = min(float(rng.choice((0.25, 0.4, 0.5, 0.8))), seconds - start)
        step += int(rng.integers(-3, 4))
        midi = theory.scale_pitch(tonic, mode, step)
        begin = int(start * SAMPLING_RATE)
        # The release is cut with the note: two notes never sound together.
        wave = synthesise_note(name, midi, duration)[: int(duration * SAMPLING_RATE)].copy()
        fade = min(len(wave), 320)
        wave[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
        wave = wave[: len(audio) - begin]
        audio[begin : begin + len(wave)] += wave
        notes.append(Note(start=start, duration=duration, midi=midi, velocity=1.0))
        start += duration
    audio *= np.float32(0.7 / max(1e-6, float(np.max(np.abs(audio)))))
    return Melody(audio=audio, instrument=name, notes=tuple(notes))
