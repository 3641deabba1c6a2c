"""Composition: from a piece's attributes to the notes and strokes that are played."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generation.training.starter import theory
from generation.training.starter.attributes import PieceAttributes
from generation.training.starter.drums import Hit, play_pattern
from generation.training.starter.instruments import INSTRUMENTS, STRUCK
from generation.training.starter.melody import Beat, write_melody
from generation.training.starter.recipes import GENRES, MOODS


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One note: start and duration in seconds, MIDI pitch, velocity from 0 to 1."""

    start: float
    duration: float
    midi: int
    velocity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one instrument plays, and how loud it is in the mix."""

    instrument: str
    notes: tuple[Note, ...]
    gain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A piece, ready to be rendered."""

    parts: tuple[Part, ...]
    hits: tuple[Hit, ...]


class _Writer:
    """Writes the parts of one piece over one chord progression."""

    def __init__(self, attributes: PieceAttributes, rng: np.random.Generator, seconds: float) -> None:
        self.piece = attributes
        self.rng = rng
        self.seconds = seconds
        genre = GENRES[attributes.genre] if attributes.genre else None
        self.genre = genre
        self.beat = 60.0 / attributes.tempo_bpm
        self.bars = int(np.ceil(seconds / (self.beat * attributes.meter)))
        self.swing = genre.swing if genre else 0.0
        sevenths = rng.random() < (genre.sevenths if genre else 0.15)
        character = "jazz" if attributes.genre == "jazz" else MOODS[attributes.mood].harmony
        self.degrees = theory.choose_progression(attributes.mode, character, self.bars, rng)
        self.chords = [
            theory.chord_pitch_classes(attributes.tonic, attributes.mode, degree, seventh=bool(sevenths))
            for degree in self.degrees
        ]

    def notes(self, beats: list[Beat], velocity: float) -> tuple[Note, ...]:
        """Turn beats into seconds, with swing and small human differences."""
        loose = 0.0 if self.piece.kit == "electronic" or self.piece.genre == "chiptune" else 0.006
        written = []
        for start, length, midi, accent in beats:
            late = self.swing * 0.5 if abs(start % 1.0 - 0.5) < 0.01 else 0.0
            at = max(0.0, (start + late) * self.beat + float(self.rng.normal(0.0, loose)))
            if at < self.seconds - 0.02:
                level = velocity * accent * float(self.rng.uniform(0.9, 1.0))
                written.append(Note(start=at, duration=length * self.beat, midi=midi, velocity=level))
        return tuple(written)

    def voicings(self, centre: int) -> list[tuple[int, ...]]:
        """Voice every bar's chord around `centre`, each close to the one before; at most three voices."""
        voiced: list[tuple[int, ...]] = []
        previous = None
        for chord in self.chords:
            # With a bass the fifth is spared, as pianists do: the codec hears few voices at once well.
            heard = (chord[0], chord[1], chord[3]) if len(chord) == 4 else chord
            previous = theory.voice_chord(heard, previous, centre)
            voiced.append(previous)
        return voiced

    def backing(self, instrument: str) -> list[Beat]:
        """Accompany: held chords, pulses or broken chords, as pace and instrument allow."""
        meter, pace = self.piece.meter, self.piece.pace
        shift = {"dark": -5, "neutral": 0, "bright": 5}[self.piece.tone]
        voiced = self.voicings(int(np.clip(INSTRUMENTS[instrument].centre, 58, 66)) + shift)
        struck = INSTRUMENTS[instrument].family == STRUCK
        broken = struck and self.rng.random() < 0.6
        if broken or (instrument == "square lead" and pace != "slow"):
            return self._broken_chords(voiced, ring=struck)
        driving = self.piece.lead is not None or self.piece.drums != "none"
        if struck:
            period = {"slow": float(meter), "medium": 1.0, "fast": 0.5}[pace]
            if pace == "slow" and meter == 4 and self.rng.random() < 0.5:
                period = 2.0
        elif (
            pace == "slow"
            or (pace == "medium" and self.rng.random() < 0.5)
            or (driving and self.rng.random() < 0.4)
        ):
            period = float(meter)
        else:
            period = 1.0 if pace == "medium" else 0.5
        length = period * (1.0 if struck or period >= 2 else 0.62)
        offbeat = period == 1.0 and self.piece.drums != "none" and self.rng.random() < 0.35
        return [
            (bar * meter + at + (0.5 if offbeat else 0.0), length if not offbeat else 0.4, pitch, accent)
            for bar, pitches in enumerate(voiced)
            for at in np.arange(0.0, meter, period)
            for accent in (1.0 if at == 0 else 0.8,)
            for pitch in pitches
        ]

    def _broken_chords(self, voiced: list[tuple[int, ...]], *, ring: bool) -> list[Beat]:
        meter, bpm = self.piece.meter, self.piece.tempo_bpm
        if self.piece.pace == "slow":
            step = 0.5 if bpm < 66 and self.rng.random() < 0.5 else 1.0
        elif self.piece.pace == "medium":
            step = 0.5
        else:
            step = 0.25 if bpm < 150 and self.rng.random() < 0.5 else 0.5
        orders = ((0, 1, 2, 3), (0, 2, 1, 2), (3, 2, 1, 0), (0, 1, 2, 1), (0, 2, 3, 1))
        order = orders[int(self.rng.integers(len(orders)))]
        beats: list[Beat] = []
        for bar, pitches in enumerate(voiced):
            tones = (*pitches, pitches[0] + 12)
            for number, at in enumerate(np.arange(0.0, meter, step)):
                # A held pedal: the note rings to the bar's end, but not beyond what is heard.
                length = min(meter - at, max(step, 1.4 / self.beat)) if ring else step * 0.8
                accent = 1.0 if number % 4 == 0 else 0.78
                beats.append((bar * meter + float(at), float(length), tones[order[number % 4]], accent))
        return beats

    def bass_line(self, instrument: str) -> list[Beat]:
        """Write the bass: roots, roots and fifths, walking or eighths."""
        meter, pace = self.piece.meter, self.piece.pace
        low = INSTRUMENTS[instrument].centre - 6
        if self.genre is not None and self.genre.sevenths == 1.0 and pace != "slow":
            style = "walking"
        elif pace == "fast":
            style = ("eighths", "octaves", "quarters")[int(self.rng.integers(3))]
        else:
            style = "roots" if pace == "slow" else ("quarters", "fifths")[int(self.rng.integers(2))]
        beats: list[Beat] = []
        for bar, chord in enumerate(self.chords):
            root = low + (chord[0] - low) % 12
            fifth = root + 7
            third = root + (chord[1] - chord[0]) % 12
            line: list[tuple[float, int]]
            if style == "roots":
                line = [(0.0, root)]
            elif style == "fifths":
                line = [(0.0, root), (2.0, fifth)]
            elif style == "walking":
                line = list(zip((0.0, 1.0, 2.0, 3.0), (root, third, fifth, root + 9), strict=True))
            elif style == "quarters":
                line = [(float(at), root) for at in range(meter)]
            else:
                high = root + 12 if style == "octaves" else root
                line = [(at / 2, high if at % 2 else root) for at in range(2 * meter)]
            line = [entry for entry in line if entry[0] < meter]
            ends = [*(at for at, _ in line[1:]), float(meter)]
            beats += [
                (bar * meter + at, (end - at) * 0.92, pitch, 1.0 if at == 0 else 0.88)
                for (at, pitch), end in zip(line, ends, strict=True)
            ]
        return beats

    def strokes(self) -> tuple[Hit, ...]:
        """Choose and play a drum pattern that suits style and pace."""
        piece = self.piece
        if piece.kit is None:
            return ()
        if piece.meter == 3:
            name = "waltz"
        elif piece.drums == "heavy":
            heavy = {"slow": ("half time", "ballad", "toms"), "medium": ("rock", "toms", "floor"),
                     "fast": ("drive", "rock", "floor", "toms")}[piece.pace]  # fmt: skip
            own = [
                name
                for name in (self.genre.patterns if self.genre else ())
                if name not in ("brush", "shaker")
            ]
            names = own if own and piece.pace != "slow" else heavy
            name = names[int(self.rng.integers(len(names)))]
        elif piece.pace == "slow":
            slow = (
                ("lofi", "ballad") if piece.genre in ("lofi", "hip hop") else ("half time", "ballad", "brush")
            )
            name = slow[int(self.rng.integers(len(slow)))]
        else:
            names = self.genre.patterns if self.genre else ("rock", "floor", "shaker")
            name = names[int(self.rng.integers(len(names)))]
        hits = play_pattern(
            name,
            bars=self.bars,
            bpm=piece.tempo_bpm,
            swing=self.swing,
            heavy=piece.drums == "heavy",
            rng=self.rng,
        )
        return tuple(hit for hit in hits if hit.start < self.seconds - 0.02)


def compose(attributes: PieceAttributes, rng: np.random.Generator, seconds: float) -> Score:
    """Compose `seconds` of a piece that has these attributes; it starts on a first beat and has no end."""
    writer = _Writer(attributes, rng, seconds)
    parts: list[Part] = []
    if attributes.backing is not None:
        gain = 0.62 if attributes.lead else 0.95
        notes = writer.notes(writer.backing(attributes.backing), 0.85)
        parts.append(Part(instrument=attributes.backing, notes=notes, gain=gain))
    if attributes.bass is not None:
        notes = writer.notes(writer.bass_line(attributes.bass), 0.9)
        parts.append(Part(instrument=attributes.bass, notes=notes, gain=0.75))
    if attributes.lead is not None:
        alone = attributes.backing is None and attributes.bass is None
        beats = write_melody(attributes, writer.chords, rng, alone=alone)
        parts.append(Part(instrument=attributes.lead, notes=writer.notes(beats, 0.95), gain=1.0))
    return Score(parts=tuple(parts), hits=writer.strokes())
