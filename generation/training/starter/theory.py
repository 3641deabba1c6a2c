"""Keys, chords and voice leading: the harmony that the renderer composes with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TONICS = ("C", "D flat", "D", "E flat", "E", "F", "G flat", "G", "A flat", "A", "B flat", "B")

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
}

# Scale degrees (0 is the tonic), one chord a bar; keyed by mode, then by the character of the harmony.
PROGRESSIONS: dict[str, dict[str, tuple[tuple[int, ...], ...]]] = {
    "major": {
        "plain": ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 3), (0, 3, 0, 4), (0, 2, 3, 4)),
        "gentle": ((0, 3, 0, 4), (0, 5, 1, 4), (0, 2, 3, 0), (0, 4, 3, 0), (0, 3, 5, 4), (3, 0, 3, 0)),
        "jazz": ((1, 4, 0, 5), (0, 5, 1, 4), (0, 3, 2, 5), (2, 5, 1, 4)),
        "static": ((0, 0, 3, 0), (0, 0, 0, 3), (0, 3, 0, 3), (0, 0, 4, 4)),
        "tense": ((0, 1, 0, 1), (0, 3, 1, 4), (5, 5, 3, 4)),
    },
    "minor": {
        "plain": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 6), (0, 5, 3, 4), (0, 2, 6, 5)),
        "gentle": ((0, 5, 2, 6), (0, 3, 0, 4), (0, 5, 3, 0), (0, 3, 5, 4), (0, 2, 3, 0)),
        "jazz": ((1, 4, 0, 0), (0, 3, 1, 4), (0, 5, 1, 4), (3, 6, 2, 5)),
        "static": ((0, 0, 5, 0), (0, 0, 6, 6), (0, 0, 3, 0), (0, 5, 0, 5)),
        "tense": ((0, 0, 5, 4), (0, 1, 0, 4), (0, 5, 0, 1), (0, 0, 1, 0)),
    },
}


def scale_pitch(tonic: int, mode: str, step: int) -> int:
    """Give the MIDI pitch `step` scale steps above `tonic` (steps may be negative or beyond an octave)."""
    scale = SCALES[mode]
    octave, degree = divmod(step, len(scale))
    return tonic + 12 * octave + scale[degree]


def chord_pitch_classes(tonic: int, mode: str, degree: int, *, seventh: bool = False) -> tuple[int, ...]:
    """Stack thirds on a scale degree; the first pitch class returned is the root.

    The dominant of a minor key gets its leading tone, as in harmonic minor.
    """
    steps = (0, 2, 4, 6) if seventh else (0, 2, 4)
    pitches = [scale_pitch(tonic, mode, degree + step) for step in steps]
    if mode == "minor" and degree % 7 == 4:
        pitches[1] += 1
    return tuple(pitch % 12 for pitch in pitches)


def choose_progression(mode: str, character: str, bars: int, rng: np.random.Generator) -> list[int]:
    """Choose a progression and repeat it over `bars` bars, from its first chord or from its middle."""
    choices = PROGRESSIONS[mode][character]
    degrees = choices[int(rng.integers(len(choices)))]
    start = 2 if rng.random() < 0.25 else 0
    return [degrees[(start + bar) % len(degrees)] for bar in range(bars)]


def voice_chord(pitch_classes: Sequence[int], previous: Sequence[int] | None, centre: int) -> tuple[int, ...]:
    """Choose the inversion that moves least from the previous voicing and stays around `centre`.

    Args:
        pitch_classes: of the chord, 0 to 11.
        previous: the MIDI pitches of the chord before, if any.
        centre: the MIDI pitch around which the chord lies.
    """
    best: tuple[float, tuple[int, ...]] | None = None
    for rotation in range(len(pitch_classes)):
        order = [*pitch_classes[rotation:], *pitch_classes[:rotation]]
        lowest = centre - 6 + (order[0] - (centre - 6)) % 12
        for base in (lowest - 12, lowest):
            pitches = [base]
            for pitch_class in order[1:]:
                pitches.append(pitches[-1] + 1 + (pitch_class - pitches[-1] - 1) % 12)
            away = abs(float(np.mean(pitches)) - centre)
            moved = (
                0.0
                if previous is None
                else float(sum(abs(a - b) for a, b in zip(pitches, previous, strict=False)))
            )
            cost = away + 0.7 * moved
            if best is None or cost < best[0]:
                best = (cost, tuple(pitches))
    return () if best is None else best[1]


def nearest_chord_step(tonic: int, mode: str, step: int, pitch_classes: Sequence[int]) -> int:
    """Move a scale step to the closest scale step that belongs to the chord."""
    for distance in range(4):
        for candidate in (step - distance, step + distance):
            if scale_pitch(tonic, mode, candidate) % 12 in pitch_classes:
                return candidate
    return step
