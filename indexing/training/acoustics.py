"""Rooms, loudness, other speakers' throats and sounds that are no speech, as functions of a random generator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLING_RATE = 16_000
Samples = NDArray[np.float32]


def warp(samples: Samples, factor: float) -> Samples:
    """The same speech from a throat of another size: played `factor` times as fast."""
    import soxr

    warped: Samples = soxr.resample(samples, SAMPLING_RATE * factor, SAMPLING_RATE)
    return warped


def reverberate(samples: Samples, rng: np.random.Generator) -> Samples:
    """Exponentially decaying noise as the room (Polack's model), 0.1 to 0.6 s to -60 dB; the tail is cut."""
    seconds = rng.uniform(0.1, 0.6)
    length = int(seconds * SAMPLING_RATE)
    times = np.arange(length) / SAMPLING_RATE
    room = rng.standard_normal(length) * 10 ** (-3 * times / seconds)
    room *= rng.uniform(0.1, 0.6) / np.sqrt((room**2).sum())
    room[0] += 1.0
    size = 1 << int(np.ceil(np.log2(len(samples) + length)))
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(room, size), size)
    return wet[: len(samples)].astype(np.float32)


def at_level(samples: Samples, decibels: float) -> Samples:
    """Scaled to a root mean square of `decibels` under full scale, and never over full scale."""
    rms = float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
    if rms < 1e-7:
        return samples
    scaled = samples * (10 ** (decibels / 20) / rms)
    peak = float(np.abs(scaled).max())
    return np.asarray(scaled / max(1.0, peak / 0.99), dtype=np.float32)


def coloured_noise(samples: int, exponent: float, rng: np.random.Generator) -> Samples:
    """Noise whose power falls with frequency to the power of `exponent`: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** (exponent / 2)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, samples)
    return np.asarray(noise / (np.abs(noise).max() + 1e-9), dtype=np.float32)


def _tones(samples: int, rng: np.random.Generator) -> Samples:
    """Chords of steady or plucked tones with overtones, a new one every 0.2 to 2 s."""
    times = np.arange(samples) / SAMPLING_RATE
    out = np.zeros(samples)
    begin = 0
    while begin < samples:
        end = min(samples, begin + int(rng.uniform(0.2, 2.0) * SAMPLING_RATE))
        span = times[begin:end] - times[begin]
        decay = np.exp(-span * rng.uniform(0, 6))
        for _ in range(int(rng.integers(1, 5))):
            pitch = 55 * 2 ** (rng.integers(0, 60) / 12)
            for overtone in range(1, int(rng.integers(2, 9))):
                if pitch * overtone < SAMPLING_RATE / 2:
                    out[begin:end] += decay * np.sin(2 * np.pi * pitch * overtone * span) / overtone
        begin = end
    return np.asarray(out / (np.abs(out).max() + 1e-9), dtype=np.float32)


def _sweep(samples: int, rng: np.random.Generator) -> Samples:
    """A tone that wanders and wobbles, as sirens and theremins do."""
    steps = max(2, samples // 4000)
    heights = np.interp(np.arange(samples), np.linspace(0, samples, steps), rng.uniform(5, 11.5, steps))
    wobble = rng.uniform(0, 0.05) * np.sin(2 * np.pi * rng.uniform(3, 8) * np.arange(samples) / SAMPLING_RATE)
    phase = 2 * np.pi * np.cumsum(2 ** (heights + wobble)) / SAMPLING_RATE
    return np.sin(phase).astype(np.float32)


def _clicks(samples: int, rng: np.random.Generator) -> Samples:
    """Beats of decaying noise at an even tempo."""
    out = np.zeros(samples, np.float32)
    for begin in range(0, samples, int(rng.uniform(0.1, 0.8) * SAMPLING_RATE)):
        length = min(samples - begin, int(rng.uniform(0.005, 0.15) * SAMPLING_RATE))
        envelope = np.exp(-np.arange(length) / (length / 5 + 1))
        out[begin : begin + length] += (rng.standard_normal(length) * envelope * rng.uniform(0.3, 1)).astype(
            np.float32
        )
    return out


def not_speech(seconds: float, rng: np.random.Generator) -> Samples:
    """Silence, noise of any colour, tones, sweeps or beats, at any level."""
    samples = int(seconds * SAMPLING_RATE)
    kind = rng.random()
    if kind < 0.08:
        return np.zeros(samples, np.float32)
    if kind < 0.4:
        sound = coloured_noise(samples, float(rng.uniform(0, 2.2)), rng)
        if rng.random() < 0.5:  # swelling, as wind and waves do
            swell = np.interp(np.arange(samples), np.linspace(0, samples, 8), rng.uniform(0.05, 1, 8))
            sound = (sound * swell).astype(np.float32)
    elif kind < 0.7:
        sound = _tones(samples, rng)
    elif kind < 0.85:
        sound = _sweep(samples, rng)
    else:
        sound = _clicks(samples, rng)
    if rng.random() < 0.3:
        sound = sound + 0.3 * _clicks(samples, rng)
    return at_level(sound, float(rng.uniform(-50, -9)))
