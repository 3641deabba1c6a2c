"""Which parts of a stream are listened to closely, and what is heard in each."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexing.key import fine_chroma
from indexing.onsets import onset_frames, onset_strength, percussive_power
from indexing.sound import SoundStatistics, sound_statistics
from indexing.spectra import RATE, Array, Spectra, frequencies, spectra_of
from indexing.tempo import Periodicity, periodicity

SECONDS = 30
MOST = 16
_SILENCE = 10 ** (-70 / 20)  # RMS without a constant offset
_LOWEST_HZ = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """What was heard in one stretch of audio that is not silent.

    Attributes:
        seconds: Its duration.
        level: RMS.
        onsets: How many sounds begin.
        percussive: Sum of the percussive magnitude; `magnitude` is all of it.
        magnitude: Sum of the magnitude.
        centroid: Hz.
        periodicity: Of the onsets, None where there are none.
        chroma: Strength of tones, octaves folded.
        sound: What the sound vector needs.
    """

    seconds: float
    level: float
    onsets: int
    percussive: float
    magnitude: float
    centroid: float
    periodicity: Periodicity | None
    chroma: NDArray[np.float64]
    sound: SoundStatistics


class Excerpts:
    """Cuts a mono stream into stretches of 30 seconds and keeps what was heard in some, evenly spread.

    Every stretch is taken until there are too many; then every second one is let go, and only every second
    one is taken from there on, and so forth.
    """

    def __init__(self, sampling_rate: int) -> None:
        """Prepares for a stream of `sampling_rate` Hz."""
        import soxr

        self._stream = soxr.ResampleStream(sampling_rate, RATE, 1, dtype="float32", quality="HQ")
        self._copied = sampling_rate == RATE
        self._room = np.zeros(SECONDS * RATE, dtype=np.float32)
        self._filled = 0
        self._number = 0  # of the stretch that is being filled
        self._stride = 1
        self._kept: list[tuple[int, Excerpt | None]] = []

    def feed(self, samples: Array) -> None:
        """Adds `(samples,)`."""
        # In bounded pieces: the resampler's output is as long as its input.
        for start in range(0, len(samples), 1 << 20):
            piece = samples[start : start + (1 << 20)]
            self._fill(piece if self._copied else self._stream.resample_chunk(piece))

    def finish(self) -> list[Excerpt]:
        """The kept excerpts that are not silent, in order of time."""
        if not self._copied:
            self._fill(self._stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
        self._close()
        return [excerpt for _, excerpt in self._kept if excerpt is not None]

    def _fill(self, samples: Array) -> None:
        while len(samples):
            taken = samples[: len(self._room) - self._filled]
            self._room[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            samples = samples[len(taken) :]
            if self._filled == len(self._room):
                self._close()

    def _close(self) -> None:
        """Listens to the stretch in the room, if it is one to keep, and begins the next one."""
        # A rest of a fraction of a second says nothing, unless it is all there is.
        enough = self._filled > RATE or (self._number == 0 and self._filled > 0)
        if enough and self._number % self._stride == 0:
            if len(self._kept) == MOST:
                self._kept = self._kept[::2]
                self._stride *= 2
            if self._number % self._stride == 0:
                self._kept.append((self._number, listen(self._room[: self._filled], self._number > 0)))
        self._number += 1
        self._filled = 0


def listen(samples: Array, continues: bool) -> Excerpt | None:
    """What is heard in `(samples,)` at `RATE`; None for silence.

    Args:
        samples: Finite.
        continues: Whether they go on from others, so that their start is no onset.
    """
    clean = samples - samples.mean(dtype=np.float64).astype(np.float32)
    level = float(np.sqrt(np.mean(clean**2, dtype=np.float64)))
    if level < _SILENCE:
        return None
    spectra = spectra_of(clean, continues=continues)
    strength = onset_strength(spectra)
    percussive, magnitude = percussive_power(spectra)
    beating = periodicity(strength)
    chroma = fine_chroma(clean)
    return Excerpt(
        seconds=spectra.seconds,
        level=level,
        onsets=len(onset_frames(strength)),
        percussive=percussive,
        magnitude=magnitude,
        centroid=_centroid(spectra),
        periodicity=beating,
        chroma=chroma,
        sound=sound_statistics(spectra, chroma, beating),
    )


def _centroid(spectra: Spectra) -> float:
    """Centre of gravity of the magnitudes in Hz, without what is 60 dB below the loudest bin."""
    spectrum = spectra.magnitudes.sum(axis=0, dtype=np.float64)
    hertz = frequencies()
    spectrum[(spectrum < 1e-3 * spectrum.max()) | (hertz < _LOWEST_HZ)] = 0.0
    return float(spectrum @ hertz / max(float(spectrum.sum()), 1e-12))
