"""Melodies: short rhythms that come back, steps of the scale that lean on the chords."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generation.training.starter import theory
from generation.training.starter.attributes import PieceAttributes
from generation.training.starter.instruments import INSTRUMENTS, SUSTAINED

# (start in beats, length in beats, MIDI pitch, accent)
Beat = tuple[float, float, int, float]

# Lengths in beats of one bar of four; a negative length is a rest.
_CELLS: dict[str, tuple[tuple[float, ...], ...]] = {
    "slow": ((2, 2), (3, 1), (1, 1, 2), (2, 1, 1), (1.5, 0.5, 2), (2, -2), (1, 1, 1, -1)),
    "medium": ((1, 1, 1, 1), (1.5, 0.5, 1, 1), (0.5, 0.5, 1, 2), (1, 0.5, 0.5, 1, 1), (0.5, 0.5, 0.5, 0.5,
                                                                                       1, -1),
               (1, 1, 1.5, 0.5)),
    "fast": ((0.5,) * 8, (0.5, 0.5, 1, 0.5, 0.5, 1), (0.5, 0.5, 0.5, 0.5, 1, 1), (1, 0.5, 0.5, 0.5, 0.5,
                                                                                  0.5, 0.5),
             (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1), (0.75, 0.75, 0.5, 0.75, 0.75, 0.5)),
}  # fmt: skip
_LONG_TONES = ((4.0,), (2.0, 2.0), (3.0, 1.0))


def _bar_rhythm(cells: Sequence[tuple[float, ...]], meter: int, rng: np.random.Generator) -> list[float]:
    lengths: list[float] = []
    left = float(meter)
    for length in cells[int(rng.integers(len(cells)))]:
        if left <= 0:
            break
        lengths.append(float(np.sign(length)) * min(abs(length), left))
        left -= abs(length)
    return lengths


def _centre(attributes: PieceAttributes, rng: np.random.Generator) -> int:
    centre = INSTRUMENTS[attributes.lead or "piano"].centre
    if attributes.lead in ("piano", "electric piano", "acoustic guitar", "electric guitar"):
        centre += 8
    if attributes.tone == "dark":
        return centre - (12 if centre > 66 and rng.random() < 0.6 else 5)
    if attributes.tone == "bright":
        return centre + (12 if centre < 74 and rng.random() < 0.4 else 3)
    return centre


def write_melody(
    attributes: PieceAttributes, chords: Sequence[tuple[int, ...]], rng: np.random.Generator, *, alone: bool
) -> list[Beat]:
    """Write a melody of two-bar motifs (A A' B A) over the chords.

    Args:
        attributes: of the piece; pace decides the rhythm, tone the register.
        chords: pitch classes of each bar's chord.
        rng: source of every choice.
        alone: nothing else plays, so that the first beat is never a rest.
    """
    meter, tonic, mode = attributes.meter, attributes.tonic, attributes.mode
    slow_pad = attributes.lead in ("synth pad", "choir") and attributes.pace == "slow"
    cells = _LONG_TONES if slow_pad else _CELLS[attributes.pace]
    motifs = []
    for _ in range(2):
        rhythm = [_bar_rhythm(cells, meter, rng) for _ in range(2)]
        moves = rng.choice((-2, -1, -1, 1, 1, 2, 0, 3, -3), size=24)
        motifs.append((rhythm, moves))
    centre = _centre(attributes, rng)
    home = round((centre - tonic) * 7 / 12)
    legato = INSTRUMENTS[attributes.lead or "piano"].family == SUSTAINED
    beats: list[Beat] = []
    step = home + int(rng.integers(-2, 3))
    for bar, chord in enumerate(chords):
        rhythm, moves = motifs[(0, 0, 1, 0)[(bar // 2) % 4]]
        at = 0.0
        for number, length in enumerate(rhythm[bar % 2]):
            step += int(moves[(number + 8 * (bar % 2)) % len(moves)])
            # Drawn back towards the middle of the register.
            if abs(step - home) > 5:
                step = home + int(np.sign(step - home)) * 3
            if at % 2 == 0 or abs(length) >= 2:
                step = theory.nearest_chord_step(tonic, mode, step, chord)
            if length > 0 or (alone and bar == 0 and number == 0):
                held = abs(length) * (0.95 if legato else 1.0)
                pitch = theory.scale_pitch(tonic, mode, step)
                beats.append((bar * meter + at, held, pitch, 1.0 if at == 0 else 0.86))
            at += abs(length)
    return beats
