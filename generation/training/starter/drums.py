"""Drum kits and drum patterns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from generation.training.starter.instruments import SAMPLING_RATE, Samples

KITS = ("acoustic", "electronic", "soft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One stroke: when in seconds, on which drum, how hard (0 to 1)."""

    start: float
    drum: str
    velocity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sound:
    """A drum is a falling sine and a burst of band-passed noise."""

    seconds: float
    tone_hz: tuple[float, float] = (0.0, 0.0)
    tone_decay: float = 10.0
    tone_level: float = 0.0
    noise_band: tuple[float, float] = (2000.0, 9000.0)
    noise_decay: float = 20.0
    noise_level: float = 0.0
    gain: float = 1.0


_SOUNDS: dict[tuple[str, str], _Sound] = {
    ("acoustic", "kick"): _Sound(seconds=0.3, tone_hz=(130, 55), tone_decay=14, tone_level=1.0,
                                 noise_band=(800, 4000), noise_decay=150, noise_level=0.3, gain=1.0),
    ("acoustic", "snare"): _Sound(seconds=0.25, tone_hz=(230, 185), tone_decay=26, tone_level=0.5,
                                  noise_band=(900, 8000), noise_decay=20, noise_level=0.8, gain=0.8),
    ("acoustic", "hat"): _Sound(seconds=0.09, noise_band=(6000, 12000), noise_decay=60, noise_level=1.0,
                                gain=0.33),
    ("acoustic", "open"): _Sound(seconds=0.35, noise_band=(5500, 12000), noise_decay=11, noise_level=1.0,
                                 gain=0.33),
    ("acoustic", "tom"): _Sound(seconds=0.4, tone_hz=(150, 95), tone_decay=9, tone_level=1.0,
                                noise_band=(500, 3000), noise_decay=60, noise_level=0.15, gain=0.9),
    ("acoustic", "crash"): _Sound(seconds=1.2, noise_band=(3000, 12000), noise_decay=3.5, noise_level=1.0,
                                  gain=0.4),
    ("electronic", "kick"): _Sound(seconds=0.4, tone_hz=(190, 46), tone_decay=9, tone_level=1.0,
                                   noise_band=(2000, 6000), noise_decay=250, noise_level=0.3, gain=1.1),
    ("electronic", "snare"): _Sound(seconds=0.22, tone_hz=(200, 180), tone_decay=40, tone_level=0.25,
                                    noise_band=(1200, 10000), noise_decay=22, noise_level=1.0, gain=0.7),
    ("electronic", "hat"): _Sound(seconds=0.06, noise_band=(7500, 14000), noise_decay=80, noise_level=1.0,
                                  gain=0.35),
    ("electronic", "open"): _Sound(seconds=0.25, noise_band=(7000, 14000), noise_decay=14, noise_level=1.0,
                                   gain=0.35),
    ("electronic", "tom"): _Sound(seconds=0.35, tone_hz=(220, 90), tone_decay=10, tone_level=1.0, gain=0.9),
    ("electronic", "crash"): _Sound(seconds=0.9, noise_band=(4000, 13000), noise_decay=4.5, noise_level=1.0,
                                    gain=0.35),
    ("soft", "kick"): _Sound(seconds=0.3, tone_hz=(90, 50), tone_decay=13, tone_level=1.0,
                             noise_band=(300, 1500), noise_decay=120, noise_level=0.2, gain=0.8),
    ("soft", "snare"): _Sound(seconds=0.25, tone_hz=(190, 170), tone_decay=40, tone_level=0.25,
                              noise_band=(900, 5500), noise_decay=17, noise_level=0.8, gain=0.55),
    ("soft", "hat"): _Sound(seconds=0.08, noise_band=(4500, 9000), noise_decay=55, noise_level=1.0,
                            gain=0.24),
    ("soft", "open"): _Sound(seconds=0.3, noise_band=(4000, 9000), noise_decay=12, noise_level=1.0,
                             gain=0.22),
    ("soft", "tom"): _Sound(seconds=0.35, tone_hz=(130, 85), tone_decay=11, tone_level=1.0, gain=0.6),
    ("soft", "crash"): _Sound(seconds=1.0, noise_band=(3000, 8000), noise_decay=4, noise_level=1.0,
                              gain=0.22),
}  # fmt: skip

# Upper edge of the noise and its level for dark, neutral and bright pieces.
_TONE_CEILING = (0.5, 1.0, 1.1)
_TONE_NOISE = (0.6, 1.0, 1.2)


@lru_cache(maxsize=256)
def synthesise_drum(kit: str, drum: str, tone: int, variant: int) -> Samples:
    """Make one drum stroke; strokes of other `variant` differ in their noise, as real ones do.

    Returns:
        `(samples,)` float32, peak about 1; not to be written to, it is shared.
    """
    sound = _SOUNDS[kit, drum]
    samples = int(sound.seconds * SAMPLING_RATE)
    time = np.arange(samples) / SAMPLING_RATE
    rng = np.random.default_rng([KITS.index(kit), *drum.encode(), variant])
    out = np.zeros(samples)
    if sound.tone_level > 0:
        high, low = sound.tone_hz
        phase = low * time + (high - low) * 0.03 * (1 - np.exp(-time / 0.03))
        out += sound.tone_level * np.sin(2 * np.pi * phase) * np.exp(-sound.tone_decay * time)
    if sound.noise_level > 0:
        spectrum = np.fft.rfft(rng.standard_normal(samples))
        frequencies = np.fft.rfftfreq(samples, 1 / SAMPLING_RATE)
        low, high = sound.noise_band[0], sound.noise_band[1] * _TONE_CEILING[tone]
        low = min(low, 0.6 * high)
        spectrum *= 1 / (1 + (low / np.maximum(frequencies, 1)) ** 6) / (1 + (frequencies / high) ** 6)
        noise = np.fft.irfft(spectrum, samples)
        noise *= np.exp(-sound.noise_decay * time) / (np.std(noise) * 3)
        out += sound.noise_level * _TONE_NOISE[tone] * noise
    out[-64:] *= np.linspace(1, 0, 64)
    return (sound.gain * out).astype(np.float32)


# Sixteen steps a bar of four beats; a digit is a stroke's loudness (9 is full), a dot is silence.
PATTERNS: dict[str, dict[str, str]] = {
    "half time": {"kick": "9.........6.....", "snare": "........8.......", "hat": "5...5...5...5..."},
    "ballad": {"kick": "9.......7.......", "snare": "....7.......7...", "hat": "6...5...6...5..."},
    "lofi": {"kick": "9......6..7.....", "snare": "....8.......8...", "hat": "6.4.6.4.6.4.6.4."},
    "rock": {"kick": "9.....6.9.7.....", "snare": "....9.......9...", "hat": "7.6.7.6.7.6.7.6."},
    "drive": {"kick": "9...6...9.7.6...", "snare": "....9.......9..5", "hat": "8.7.8.7.8.7.8.7."},
    "floor": {"kick": "9...9...9...9...", "snare": "....7.......7...", "hat": "4.8.4.8.4.8.4.8."},
    "techno": {"kick": "9...9...9...9...", "hat": "4.7.4.7.4.7.4.74", "open": "..6...6...6...6."},
    "swing": {"kick": "7.......5.......", "snare": "....4.......5...", "hat": "7...7..57...7..5"},
    "funk": {"kick": "9.6....6..7..6..", "snare": "....9..4.4..9...", "hat": "7565756575657565"},
    "march": {"kick": "9.......9.......", "snare": "8..58.5.8..58545"},
    "toms": {"kick": "9.....7.9.......", "tom": "7..6..6.7..6..7.", "snare": "............8..."},
    "brush": {"hat": "6...5...6...5...", "snare": "....4.......4..."},
    "shaker": {"hat": "6.4.5.4.6.4.5.4.", "kick": "7.......6......."},
    "waltz": {"kick": "9...........", "snare": "....5...5...", "hat": "5...6...6..."},
}

HEAVY_LIFT = {"kick": 1.35, "snare": 1.35, "tom": 1.4, "hat": 1.25, "open": 1.25, "crash": 1.3}


def play_pattern(
    name: str, *, bars: int, bpm: float, swing: float, heavy: bool, rng: np.random.Generator
) -> list[Hit]:
    """Play a pattern over `bars` bars with small human differences.

    Args:
        name: a key of `PATTERNS`.
        bars: how many bars.
        bpm: quarter notes a minute.
        swing: delay of every second eighth note, as a share of an eighth note.
        heavy: louder strokes, a crash on the first beat and a doubled kick.
        rng: source of the differences.
    """
    pattern = PATTERNS[name]
    steps = max(len(line) for line in pattern.values())
    step_seconds = 60.0 / bpm / 4
    hits: list[Hit] = []
    for bar in range(bars):
        for drum, line in pattern.items():
            for step, mark in enumerate(line):
                if mark == ".":
                    continue
                late = swing * 2 * step_seconds if step % 4 == 2 else 0.0
                start = (bar * steps + step) * step_seconds + late
                velocity = int(mark) / 9 * float(rng.uniform(0.88, 1.0))
                hits.append(
                    Hit(start=start, drum=drum, velocity=velocity * (HEAVY_LIFT[drum] if heavy else 1.0))
                )
        if heavy and bar % 4 == 0:
            hits.append(Hit(start=bar * steps * step_seconds, drum="crash", velocity=0.8))
    return hits
