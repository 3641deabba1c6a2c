"""The starter's instruments: wavetables and a few partials, one note at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SAMPLING_RATE = 32_000
TABLE_SIZE = 8192
HIGHEST_PARTIAL_HZ = 11_000.0

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """How one instrument sounds.

    Attributes:
        family: `struck` instruments die away by themselves, `sustained` ones last as long as the note.
        slope: fall of the harmonics' amplitudes, as a power of their number.
        cutoff: frequency in Hz at which an exponential roll-off reaches 1/e.
        even: amplitude of the even harmonics relative to the odd ones.
        harmonics: amplitudes given one by one (organ, choir), instead of `slope`.
        formants: centre frequencies in Hz that are lifted (choir, brass).
        partials: (ratio, amplitude, decay factor) for inharmonic instruments; then no wavetable is used.
        attack: seconds to full level.
        decay: how fast a struck note dies, nepers a second at middle C.
        release: seconds of tail after the note's end.
        damping: how fast the upper harmonics die before the lower ones, 1/s; 0 keeps the timbre.
        vibrato: depth in cents.
        detune: cents of the oscillators that are summed.
        drive: amount of soft distortion of the whole part.
        centre: MIDI pitch around which it sounds best.
        gain: loudness correction.
    """

    family: str
    slope: float = 1.2
    cutoff: float = 3000.0
    even: float = 1.0
    harmonics: tuple[float, ...] = ()
    formants: tuple[float, ...] = ()
    partials: tuple[tuple[float, float, float], ...] = ()
    attack: float = 0.005
    decay: float = 2.0
    release: float = 0.12
    damping: float = 0.0
    vibrato: float = 0.0
    detune: tuple[float, ...] = (0.0,)
    drive: float = 0.0
    centre: int = 64
    gain: float = 1.0


STRUCK, SUSTAINED = "struck", "sustained"

INSTRUMENTS: dict[str, Instrument] = {
    "piano": Instrument(family=STRUCK, slope=1.05, cutoff=2600, attack=0.004, decay=1.0, release=0.3,
                        damping=2.5, detune=(-0.8, 0.8), centre=64),
    "electric piano": Instrument(family=STRUCK, centre=62, attack=0.006, decay=1.1, release=0.25, gain=0.9,
                                 partials=((1, 1.0, 1.0), (2, 0.22, 1.5), (3, 0.12, 1.8), (7, 0.10, 7.0),
                                           (14, 0.05, 11.0))),
    "acoustic guitar": Instrument(family=STRUCK, slope=0.9, cutoff=2800, attack=0.003, decay=1.7,
                                  release=0.15,
                                  damping=4.0, even=0.75, centre=57, gain=0.95),
    "electric guitar": Instrument(family=STRUCK, slope=0.95, cutoff=2300, attack=0.004, decay=0.7,
                                  release=0.1,
                                  damping=1.0, drive=3.0, centre=57, gain=0.8),
    "strings": Instrument(family=SUSTAINED, slope=1.15, cutoff=3000, attack=0.09, release=0.3, vibrato=9,
                          detune=(-6.0, 5.0), centre=62, gain=0.75),
    "violin": Instrument(family=SUSTAINED, slope=1.0, cutoff=3800, attack=0.05, release=0.15, vibrato=18,
                         centre=74, gain=0.75),
    "flute": Instrument(family=SUSTAINED, harmonics=(1.0, 0.32, 0.12, 0.05, 0.02), cutoff=9000, attack=0.04,
                        release=0.12, vibrato=12, centre=77, gain=1.0),
    "brass": Instrument(family=SUSTAINED, slope=0.75, cutoff=2600, attack=0.035, release=0.12, vibrato=4,
                        formants=(1300.0,), centre=60, gain=0.7),
    "trumpet": Instrument(family=SUSTAINED, slope=0.6, cutoff=3200, attack=0.025, release=0.1, vibrato=8,
                          formants=(1500.0,), centre=70, gain=0.7),
    "organ": Instrument(family=SUSTAINED, harmonics=(0.8, 1.0, 0.6, 0.5, 0.0, 0.3, 0.0, 0.25), cutoff=7000,
                        attack=0.012, release=0.08, vibrato=3, centre=62, gain=0.7),
    "bell": Instrument(family=STRUCK, attack=0.002, decay=1.3, release=0.6, centre=79, gain=0.8,
                       partials=((1, 1.0, 1.0), (2.0, 0.35, 1.4), (2.76, 0.35, 1.8), (5.4, 0.2, 3.0))),
    "music box": Instrument(family=STRUCK, attack=0.001, decay=2.2, release=0.5, centre=82, gain=0.85,
                            partials=((1, 1.0, 1.0), (2.0, 0.12, 1.5), (4.1, 0.22, 3.5), (6.3, 0.07, 5.0))),
    "marimba": Instrument(family=STRUCK, attack=0.002, decay=4.5, release=0.2, centre=67, gain=1.0,
                          partials=((1, 1.0, 1.0), (3.93, 0.3, 3.0), (9.2, 0.08, 6.0))),
    "harp": Instrument(family=STRUCK, slope=1.3, cutoff=3000, attack=0.003, decay=1.5, release=0.4,
                       damping=3.0, centre=67, gain=1.0),
    "synth lead": Instrument(family=SUSTAINED, slope=0.95, cutoff=4500, attack=0.008, release=0.08, vibrato=6,
                             detune=(-4.0, 4.0), centre=69, gain=0.6),
    "synth": Instrument(family=STRUCK, slope=0.9, cutoff=3500, attack=0.004, decay=3.0, release=0.1,
                        damping=6.0, detune=(-5.0, 5.0), centre=62, gain=0.7),
    "square lead": Instrument(family=SUSTAINED, slope=1.0, cutoff=9000, even=0.0, attack=0.002, release=0.03,
                              centre=71, gain=0.55),
    "synth pad": Instrument(family=SUSTAINED, slope=1.3, cutoff=1800, attack=0.15, release=0.5,
                            detune=(-7.0, 7.0), centre=60, gain=0.8),
    "choir": Instrument(family=SUSTAINED, slope=1.1, cutoff=2200, attack=0.12, release=0.35, vibrato=10,
                        detune=(-8.0, 7.0), formants=(700.0, 1150.0, 2700.0), centre=62, gain=0.8),
    "acoustic bass": Instrument(family=STRUCK, slope=1.5, cutoff=900, attack=0.006, decay=1.8, release=0.1,
                                damping=3.0, centre=38, gain=1.1),
    "electric bass": Instrument(family=STRUCK, slope=1.1, cutoff=1200, attack=0.004, decay=1.0, release=0.07,
                                damping=2.5, centre=38, gain=1.0),
    "synth bass": Instrument(family=SUSTAINED, slope=0.95, cutoff=1300, attack=0.004, release=0.05,
                             damping=4.0, centre=36, gain=0.8),
}  # fmt: skip

# For dark, neutral and bright tones: added slope, and factors of the cut-off and of the upper partials.
_TONE_SLOPE = (0.55, 0.0, -0.25)
_TONE_CUTOFF = (0.42, 1.0, 2.1)
_TONE_PARTIALS = (0.35, 1.0, 2.0)
NEUTRAL = 1


def midi_to_hz(midi: float) -> float:
    """Equal temperament, A4 (MIDI 69) at 440 Hz."""
    return float(440.0 * 2.0 ** ((midi - 69.0) / 12.0))


def _harmonic_amplitudes(instrument: Instrument, hz: float, tone: int, dull: bool) -> NDArray[np.float64]:
    count = max(1, int(HIGHEST_PARTIAL_HZ / hz))
    numbers = np.arange(1, min(count, 48) + 1, dtype=np.float64)
    slope = _TONE_SLOPE[tone] + (0.7 if dull else 0.0)
    cutoff = instrument.cutoff * _TONE_CUTOFF[tone] * (0.4 if dull else 1.0)
    if instrument.harmonics:
        given = np.zeros_like(numbers)
        used = min(len(given), len(instrument.harmonics))
        given[:used] = instrument.harmonics[:used]
        amplitudes = given * numbers**-slope
    else:
        amplitudes = numbers ** -(instrument.slope + slope)
    frequencies = numbers * hz
    # Counted from the fundamental, so that high notes do not lose their level.
    amplitudes = amplitudes * np.exp(-(frequencies - hz) / cutoff)
    amplitudes[1::2] *= instrument.even
    for formant in instrument.formants:
        amplitudes *= 1.0 + 1.6 * np.exp(-(((frequencies - formant) / (0.25 * formant)) ** 2))
    return np.asarray(amplitudes / np.sqrt(np.sum(amplitudes**2)))


@lru_cache(maxsize=4096)
def _wavetable(name: str, band: int, tone: int, dull: bool) -> Samples:
    """One cycle of unit RMS for the pitches `3 * band` to `3 * band + 2`, free of aliasing."""
    instrument = INSTRUMENTS[name]
    amplitudes = _harmonic_amplitudes(instrument, midi_to_hz(3 * band + 2), tone, dull)
    phases = np.random.default_rng(len(name)).uniform(0, 2 * np.pi, 64)[: len(amplitudes)]
    spectrum = np.zeros(TABLE_SIZE // 2 + 1, dtype=np.complex128)
    spectrum[1 : len(amplitudes) + 1] = amplitudes * np.exp(1j * phases)
    return np.fft.irfft(spectrum * TABLE_SIZE / np.sqrt(2), TABLE_SIZE).astype(np.float32)


@lru_cache(maxsize=8)
def _clock(samples: int) -> Samples:
    return np.arange(samples, dtype=np.float32) / np.float32(SAMPLING_RATE)


def _time(samples: int) -> Samples:
    """Seconds since the note's start; a view of a clock that is made once."""
    return _clock(1 << max(15, int(samples - 1).bit_length()))[:samples]


def _exponential(rate: float, samples: int) -> Samples:
    """`exp(-rate t)` by repeated doubling in float32: much cheaper than `np.exp` over a long note."""
    out = np.empty(samples, dtype=np.float32)
    block = min(samples, 512)
    out[:block] = np.exp(-rate * np.arange(block) / SAMPLING_RATE)
    while block < samples:
        step = min(block, samples - block)
        np.multiply(
            out[:step], np.float32(np.exp(-rate * block / SAMPLING_RATE)), out=out[block : block + step]
        )
        block += step
    return out


def _oscillate(table: Samples, hz: float, time: Samples, vibrato: float) -> tuple[Samples, NDArray[np.int32]]:
    step = round(hz * TABLE_SIZE / SAMPLING_RATE * 65536)
    whole = np.arange(len(time), dtype=np.int64) * step
    index = (whole >> 16).astype(np.int32)
    if vibrato > 0:
        rate = 5.3
        depth = hz * (2.0 ** (vibrato / 1200.0) - 1.0) / (2 * np.pi * rate)
        # Vibrato sets in after the attack, as players do.
        wobble = np.sin(time * np.float32(2 * np.pi * rate)) * np.float32(depth * TABLE_SIZE)
        wobble *= np.minimum(time * np.float32(3.0), np.float32(1.0))
        index += wobble.astype(np.int32)
    index &= TABLE_SIZE - 1
    return table[index], index


def _inharmonic(instrument: Instrument, hz: float, tone: int, samples: int) -> Samples:
    time = _time(samples)
    decay = instrument.decay * (hz / 261.6) ** 0.5
    out = np.zeros(samples, dtype=np.float32)
    for position, (ratio, amplitude, factor) in enumerate(instrument.partials):
        if ratio * hz > HIGHEST_PARTIAL_HZ:
            continue
        level = amplitude * (_TONE_PARTIALS[tone] if position else 1.0)
        # A partial that has died (-70 dB) is not computed further.
        alive = min(samples, int(SAMPLING_RATE * 8.0 / (decay * factor)))
        wave = np.sin(time[:alive] * np.float32(2 * np.pi * ratio * hz))
        wave *= _exponential(decay * factor, alive)
        wave *= np.float32(level)
        out[:alive] += wave
    return out


def _tabled(name: str, instrument: Instrument, midi: float, tone: int, samples: int) -> Samples:
    time = _time(samples)
    band = int(midi) // 3
    table = _wavetable(name, band, tone, False)
    out = np.zeros(samples, dtype=np.float32)
    for cents in instrument.detune:
        hz = midi_to_hz(midi + cents / 100.0)
        wave, index = _oscillate(table, hz, time, instrument.vibrato)
        if instrument.damping > 0:
            dull = _wavetable(name, band, tone, True)[index]
            wave -= dull
            wave *= _exponential(instrument.damping, samples)
            wave += dull
        out += wave
    out *= np.float32(1.0 / len(instrument.detune) ** 0.5)
    if instrument.family == STRUCK:
        out *= _exponential(instrument.decay * (midi_to_hz(midi) / 261.6) ** 0.5, samples)
    return out


def synthesise_note(name: str, midi: float, seconds: float, tone: int = NEUTRAL) -> Samples:
    """Synthesise one note, its release included.

    Args:
        name: a key of `INSTRUMENTS`.
        midi: pitch, 69 is A4.
        seconds: how long the key is held.
        tone: 0 dark, 1 neutral, 2 bright.

    Returns:
        `(samples,)` float32 at `SAMPLING_RATE`, about unit RMS at its loudest.
    """
    instrument = INSTRUMENTS[name]
    held = max(1, int(seconds * SAMPLING_RATE))
    samples = held + int(instrument.release * SAMPLING_RATE)
    if instrument.partials:
        out = _inharmonic(instrument, midi_to_hz(midi), tone, samples)
    else:
        out = _tabled(name, instrument, midi, tone, samples)
    attack = min(samples, max(8, int(instrument.attack * SAMPLING_RATE)))
    rise = np.linspace(0.0, 1.0, attack, dtype=np.float32)
    out[:attack] *= rise * rise * (3 - 2 * rise)
    tail = samples - held
    fall = np.linspace(1.0, 0.0, tail, dtype=np.float32)
    out[held:] *= fall * fall
    out *= np.float32(instrument.gain)
    return out
