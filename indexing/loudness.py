"""Integrated loudness as ITU-R BS.1770-4 measures it, over a stream of any length."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_STEP_SECONDS = 0.1  # a gating block is 400 ms, four of these; blocks overlap by 75 %
_BLOCK_STEPS = 4
_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0
_OFFSET = -0.691
# The longest part of the K filter is a high-pass at 38 Hz; after 85 ms it has died away by 90 dB.
_TAPS_SECONDS = 4096 / 48_000
# Stage 1 (the head's shelf) and stage 2 (RLB), BS.1770-4 tables 1 and 2, at 48 kHz.
_SHELF = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285),
    (1.0, -1.69065929318241, 0.73248077421585),
)
_HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
# A response cut at half the sampling rate also rings before its start; 5 ms of that are kept.
_LEAD = 1 / 16
_FRAMES_AT_ONCE = 1 << 17
_SURROUND = 1.41  # +1.5 dB for the channels behind


class LoudnessMeter:
    """Measures blocks of a stream; what it keeps is ten numbers a second."""

    def __init__(self, sampling_rate: int, channels: int) -> None:
        """Prepares the K filter for a sampling rate.

        Args:
            sampling_rate: Hz.
            channels: How many; five and six are taken as surround sound in the usual order.
        """
        self._weights = _channel_weights(channels)
        # Steps of a whole number of samples: at odd rates a block is up to 0.5 sample a step off 400 ms.
        self._step = max(1, round(_STEP_SECONDS * sampling_rate))
        taps = max(32, round(_TAPS_SECONDS * sampling_rate))
        self._size = 1 << (8 * taps - 1).bit_length()
        self._taps = taps
        self._response = _k_response(sampling_rate, taps, self._size)[:, None]
        self._history = np.zeros((taps - 1, channels), dtype=np.float32)
        self._waiting: list[NDArray[np.float32]] = []
        self._waiting_frames = 0
        self._rest = np.zeros(0, dtype=np.float64)
        self._steps: list[NDArray[np.float64]] = []

    def feed(self, block: NDArray[np.float32]) -> None:
        """Adds `(frames, channels)` samples."""
        self._waiting.append(block)
        self._waiting_frames += len(block)
        room = self._size - (self._taps - 1)
        if self._waiting_frames >= room:
            joined = np.concatenate(self._waiting)
            whole = len(joined) // room * room
            for start in range(0, whole, room):
                self._filter(joined[start : start + room])
            self._waiting = [joined[whole:].copy()]
            self._waiting_frames = len(joined) - whole

    def integrated(self) -> float | None:
        """LUFS of everything that was fed, or None where less than 400 ms is above the gate of -70 LUFS."""
        if self._waiting_frames:
            self._filter(np.concatenate(self._waiting))
            self._waiting, self._waiting_frames = [], 0
        steps = np.concatenate(self._steps) if self._steps else np.zeros(0)
        if len(steps) < _BLOCK_STEPS:
            return None
        blocks = np.convolve(steps, np.full(_BLOCK_STEPS, 1 / _BLOCK_STEPS), mode="valid")
        loud = blocks[blocks > _power(_ABSOLUTE_GATE)]
        if not len(loud):
            return None
        gated = loud[loud > _power(_lufs(float(loud.mean())) + _RELATIVE_GATE)]
        return _lufs(float(gated.mean()))

    def _filter(self, block: NDArray[np.float32]) -> None:
        """Overlap-save convolution of up to one FFT's worth of samples, then power in steps of 100 ms."""
        joined = np.concatenate([self._history, block])
        self._history = joined[len(joined) - (self._taps - 1) :]
        spectrum = np.fft.rfft(joined, self._size, axis=0)
        spectrum *= self._response
        heard = np.fft.irfft(spectrum, self._size, axis=0)[self._taps - 1 : self._taps - 1 + len(block)]
        power = np.concatenate([self._rest, (heard**2) @ self._weights])
        whole = len(power) // self._step * self._step
        self._steps.append(power[:whole].reshape(-1, self._step).mean(axis=1))
        self._rest = power[whole:]


def integrated_loudness(audio: NDArray[np.float32], sampling_rate: int) -> float | None:
    """LUFS of a whole sound, or None where less than 400 ms is above the gate of -70 LUFS.

    Args:
        audio: `(samples,)` or `(samples, channels)` float32; memory does not grow with its length.
        sampling_rate: Hz.
    """
    frames = audio[:, None] if audio.ndim == 1 else audio
    meter = LoudnessMeter(sampling_rate, frames.shape[1])
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        meter.feed(frames[start : start + _FRAMES_AT_ONCE])
    return meter.integrated()


def _channel_weights(channels: int) -> NDArray[np.float64]:
    weights = np.ones(channels, dtype=np.float64)
    if channels == 5:  # L R C Ls Rs
        weights[3:] = _SURROUND
    elif channels == 6:  # L R C LFE Ls Rs; low-frequency effects do not count
        weights[3:] = (0.0, _SURROUND, _SURROUND)
    return weights


@lru_cache(maxsize=8)
def _k_response(sampling_rate: int, taps: int, size: int) -> NDArray[np.complex64]:
    """The K filter at `sampling_rate` as the spectrum `(size / 2 + 1,)` of `taps` samples.

    The standard's coefficients are for 48 kHz. Their response is read off at this rate's frequencies, so
    that a sound has one loudness at every rate; above 24 kHz the filter stays as it is there.
    """
    hertz = np.minimum(np.fft.rfftfreq(size, 1 / sampling_rate), 24_000.0)
    delay = np.exp(-2j * np.pi * hertz / 48_000)
    response = np.ones(len(hertz), dtype=np.complex128)
    for above, below in (_SHELF, _HIGH_PASS):
        response *= np.polyval(above[::-1], delay) / np.polyval(below[::-1], delay)
    impulse = np.roll(np.fft.irfft(response, size), int(_LEAD * taps))
    return np.fft.rfft(impulse[:taps], size).astype(np.complex64)


def _lufs(power: float) -> float:
    return _OFFSET + 10 * math.log10(power)


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET) / 10))
