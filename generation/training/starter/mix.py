"""Mixdown: notes and strokes to samples, with one room and one tone control for the whole mix."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from generation.training.starter.attributes import TONES, PieceAttributes
from generation.training.starter.drums import synthesise_drum
from generation.training.starter.instruments import INSTRUMENTS, SAMPLING_RATE, Samples, synthesise_note
from generation.training.starter.piece import Part, Score
from generation.training.starter.recipes import MOODS

ROOM_SECONDS = 0.9
_SHELF_DB = (-14.0, 0.0, 5.0)  # of the highs, for dark, neutral and bright pieces
_DRUM_GAIN = {"none": 0.0, "light": 0.55, "heavy": 1.1}
_PEAK = {"quiet": 0.5, "medium": 0.72, "loud": 0.88}


@lru_cache(maxsize=64)
def _room_spectrum(size: int, tone: int, tenths: int) -> NDArray[np.complex64]:
    """Spectrum of direct sound plus room, times the shelf that sets the tone."""

    rng = np.random.default_rng(77)
    time = np.arange(int(ROOM_SECONDS * SAMPLING_RATE)) / SAMPLING_RATE
    tail = rng.standard_normal(len(time)) * np.exp(-time * (9.0 - 0.5 * tenths)) * (time > 0.012)
    # A soft room: its highs are absorbed.
    spectrum = np.fft.rfft(tail, size)
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLING_RATE)
    spectrum /= 1 + (frequencies / 3500.0) ** 2
    spectrum *= 0.035 * tenths / 10 / np.sqrt(np.mean(np.abs(spectrum[: size // 8]) ** 2)) * 12
    shelf = 10 ** (_SHELF_DB[tone] / 20 / (1 + (1200.0 / np.maximum(frequencies, 1.0)) ** 2))
    low_cut = 1 / (1 + (28.0 / np.maximum(frequencies, 1.0)) ** 4)
    return np.asarray(((1 + spectrum) * shelf * low_cut).astype(np.complex64))


def _perform(part: Part, samples: int, tone: int) -> Samples:
    """Render one part; equal notes are synthesised once."""
    bus = np.zeros(samples, dtype=np.float32)
    made: dict[tuple[int, int], Samples] = {}
    for note in part.notes:
        begin = int(note.start * SAMPLING_RATE)
        # Durations on a 10 ms grid, so that repeated notes are the same note.
        key = (note.midi, round(note.duration * 100))
        if key not in made:
            made[key] = synthesise_note(part.instrument, note.midi, max(0.03, key[1] / 100), tone)
        wave = made[key][: samples - begin]
        bus[begin : begin + len(wave)] += wave * np.float32(note.velocity)
    drive = INSTRUMENTS[part.instrument].drive
    if drive > 0:
        bus *= np.float32(drive)
        np.tanh(bus, out=bus)
        bus *= np.float32(1.0 / (0.5 + 0.5 * drive))
    return bus


def _drum_bus(score: Score, attributes: PieceAttributes, samples: int, tone: int) -> Samples:
    bus = np.zeros(samples, dtype=np.float32)
    if attributes.kit is None:
        return bus
    for number, hit in enumerate(score.hits):
        begin = int(hit.start * SAMPLING_RATE)
        wave = synthesise_drum(attributes.kit, hit.drum, tone, number % 3)[: samples - begin]
        bus[begin : begin + len(wave)] += wave * np.float32(hit.velocity)
    return bus


def mix(score: Score, attributes: PieceAttributes, seconds: float) -> Samples:
    """Render a score.

    Returns:
        `(samples,)` float32 at `SAMPLING_RATE`; the peak is at most 0.9.
    """

    import scipy.fft  # type: ignore[import-untyped]  # scipy ships no type hints

    samples = round(seconds * SAMPLING_RATE)
    tone = TONES.index(attributes.tone)
    pitched = np.zeros(samples, dtype=np.float32)
    for part in score.parts:
        pitched += _perform(part, samples, tone) * np.float32(part.gain)
    level = float(np.sqrt(np.mean(pitched**2)))
    if level > 0:
        # The pitched parts have one level, so that `heavy drums` are heavy whatever plays along.
        pitched *= np.float32(0.2 / level)
    size = scipy.fft.next_fast_len(samples + int(ROOM_SECONDS * SAMPLING_RATE), real=True)
    room = _room_spectrum(size, tone, round(10 * MOODS[attributes.mood].reverb))
    spectrum = scipy.fft.rfft(pitched, size)
    spectrum *= room
    out: Samples = scipy.fft.irfft(spectrum, size)[:samples].astype(np.float32, copy=False)
    out += _drum_bus(score, attributes, samples, tone) * np.float32(_DRUM_GAIN[attributes.drums])
    # Peaks are rounded off rather than letting one drum stroke make everything else quiet.
    out *= np.float32(1.0 / max(1e-6, 4.5 * float(np.sqrt(np.mean(out**2)))))
    np.tanh(out, out=out)
    out *= np.float32(_PEAK[attributes.level] / max(1e-6, float(np.max(np.abs(out)))))
    return out
