"""The last steps before a file is written: fades, loudness, peaks. What was done is said in sentences."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from generation.clipping import Clipping, cut_off
from generation.errors import AudioError, InvalidRequestError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]
    Meter = Callable[[Samples, int], float | None]

Strategy = Literal["peak", "loudness", "rms", "clip"]
STRATEGIES: Final = ("peak", "loudness", "rms", "clip")

# Defaults of audiocraft's `audio_write`; its 14 dB of headroom for loudness are a target of -14 LUFS.
_HEADROOM_DB: Final = {"peak": 1.0, "rms": 18.0, "clip": 1.0}
_LOUDNESS_LUFS: Final = -14.0
_MOST_HEADROOM_DB: Final = 60.0
_TARGETS_LUFS: Final = (-60.0, 0.0)
_CEILING_DB: Final = 1.0  # under full scale, for the limiter
_SILENCE_RMS: Final = 2e-3  # audiocraft's energy floor: what is quieter is noise, and stays so

_TOLERANCE_LU: Final = 0.1
_PROMISED_LU: Final = 0.5
_ATTEMPTS: Final = 8
_MOST_EXTRA_DB: Final = 12.0  # what is turned up more is a wall of sound
_LEAST_WORTH: Final = 0.1
_WORTH_TELLING_DB: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFinish:
    """How a sound is finished.

    Attributes:
        normalize: `peak`, `loudness`, `rms` or `clip`; None leaves the level as it is.
        headroom_db: How far under full scale peaks (`peak`, 1 dB by default), the mean (`rms`, 18 dB) or the cut
            (`clip`, 1 dB) are.
        loudness_lufs: Target of `loudness`, -14 by default.
        fade_in: Seconds from silence to full level.
        fade_out: Seconds to silence.
        dither: Noise of one step is added where samples are rounded to 16 or 24 bits.

    Raises:
        InvalidRequestError: a value makes no sense, or has no meaning for that strategy.
    """

    normalize: Strategy | None = None
    headroom_db: float | None = None
    loudness_lufs: float | None = None
    fade_in: float = 0.0
    fade_out: float = 0.0
    dither: bool = False

    def __post_init__(self) -> None:
        if self.normalize is not None and self.normalize not in STRATEGIES:
            raise InvalidRequestError(
                f"{self.normalize!r} is no way to normalize. Use one of {', '.join(STRATEGIES)}."
            )
        if self.headroom_db is not None:
            if self.normalize not in _HEADROOM_DB:
                raise InvalidRequestError(f"A headroom goes with one of {', '.join(_HEADROOM_DB)}.")
            if not 0 <= self.headroom_db <= _MOST_HEADROOM_DB:
                raise InvalidRequestError(
                    f"A headroom of {self.headroom_db:g} dB makes no sense. Use 0 to {_MOST_HEADROOM_DB:g}."
                )
        if self.loudness_lufs is not None:
            if self.normalize != "loudness":
                raise InvalidRequestError("A target in LUFS goes with normalizing to loudness.")
            if not _TARGETS_LUFS[0] <= self.loudness_lufs <= _TARGETS_LUFS[1]:
                raise InvalidRequestError(
                    f"A loudness of {self.loudness_lufs:g} LUFS makes no sense. Use -60 to 0; -14 is usual."
                )
        for name, seconds in (("in", self.fade_in), ("out", self.fade_out)):
            if not (math.isfinite(seconds) and seconds >= 0):
                raise InvalidRequestError(f"A fade-{name} of {seconds:g} seconds makes no sense.")

    def resolved(self) -> SoundFinish:
        """The same with every default written out, as recipes keep it."""
        if self.normalize is None:
            return self
        if self.normalize == "loudness":
            return replace(self, loudness_lufs=_or(self.loudness_lufs, _LOUDNESS_LUFS))
        return replace(self, headroom_db=_or(self.headroom_db, _HEADROOM_DB[self.normalize]))

    def changed(self, **changes: Any) -> SoundFinish:
        """The same but for some fields; a target of the old way to normalize does not outlive it.

        Args:
            **changes: Fields; `normalize` may be `none` as well, and a `loudness_lufs` alone means loudness.

        Raises:
            InvalidRequestError: a value makes no sense, or has no meaning for that strategy.
        """
        if "loudness_lufs" in changes:
            changes.setdefault("normalize", "loudness")
        if changes.get("normalize") == "none":
            changes["normalize"] = None
        if changes.get("normalize", self.normalize) != self.normalize:
            changes = {"headroom_db": None, "loudness_lufs": None, **changes}
        return replace(self, **changes)

    def check_length(self, seconds: float) -> None:
        """Refuse fades that are longer than the sound.

        Raises:
            InvalidRequestError: they are.
        """
        if self.fade_in + self.fade_out > seconds + 1e-6:  # 0.1 and 0.2 are a little more than 0.3
            raise InvalidRequestError(
                f"Fades of {self.fade_in + self.fade_out:g} seconds do not fit into {seconds:g}. Make them shorter."
            )


AS_IT_IS: Final = SoundFinish()
"""Nothing is done to the sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A sound that is ready to be written.

    Attributes:
        audio: Float32, of the shape that was given.
        notes: What the listener should know, a sentence each: what could not be reached, say.
        clipped: What was cut off; it tells whether that could be heard.
    """

    audio: Samples
    notes: tuple[str, ...] = ()
    clipped: Clipping | None = None

    def tell(self, logger: logging.Logger) -> None:
        """Log what the listener should know."""
        for note in self.notes:
            logger.warning(note)
        if self.clipped is not None:
            self.clipped.tell(logger)


def finish_sound(
    audio: npt.ArrayLike,
    sampling_rate: int,
    finish: SoundFinish = AS_IT_IS,
    *,
    meter: Meter | None = None,
    clip: bool = True,
) -> Finished:
    """Fade, normalize and keep within full scale, in this order.

    Args:
        audio: `(samples,)` or `(samples, channels)`, float or int16; it is not changed.
        sampling_rate: Hz.
        finish: What is to be done.
        meter: Measures loudness in LUFS, `indexing.loudness.integrated_loudness` for instance.
        clip: What is left over full scale is cut off, as 16 and 24 bits must; floats can hold it.

    Raises:
        InvalidRequestError: fades do not fit, or loudness is wanted and there is no meter.
        AudioError: samples are no numbers or of a type that is not known, there are none, or the rate is not above 0.
    """
    import numpy as np

    from generation.audio import as_floats

    wanted, given = finish.resolved(), np.asarray(audio)
    if sampling_rate <= 0 or given.ndim not in (1, 2) or not given.size:
        raise AudioError(f"Audio of shape {given.shape} at {sampling_rate} Hz cannot be finished.")
    samples = np.array(as_floats(given))  # a copy
    frames = samples[:, None] if samples.ndim == 1 else samples  # a view: what follows works in place
    wanted.check_length(len(frames) / sampling_rate)
    if not np.isfinite(frames).all():
        raise AudioError("The audio holds samples that are no numbers, so it is not finished.")
    _fade(frames[: round(wanted.fade_in * sampling_rate)])
    _fade(frames[::-1][: round(wanted.fade_out * sampling_rate)])
    notes: list[str] = []
    if wanted.normalize == "peak":
        _scale(frames, _peak_gain(frames, wanted.headroom_db or 0.0))
    elif wanted.normalize == "rms":
        notes += _to_rms(frames, sampling_rate, wanted.headroom_db or 0.0)
    elif wanted.normalize == "loudness":
        if meter is None:
            raise InvalidRequestError("Normalizing to loudness needs a meter; give one, or use peak or rms.")
        notes += _to_loudness(frames, sampling_rate, _or(wanted.loudness_lufs, _LOUDNESS_LUFS), meter)
    clipped = None
    if wanted.normalize == "clip":
        clipped = cut_off(frames, -(wanted.headroom_db or 0.0))
    elif clip:
        clipped = cut_off(frames)
    return Finished(audio=samples, notes=tuple(notes), clipped=clipped)


def _fade(frames: Samples) -> None:
    """A raised cosine from silence to full level over all of `frames`, in place."""
    import numpy as np

    if len(frames):
        rise = (1 - np.cos(np.pi * (np.arange(len(frames)) + 0.5) / len(frames))) / 2
        frames *= rise.astype(np.float32)[:, None]


def _to_rms(frames: Samples, sampling_rate: int, headroom_db: float) -> list[str]:
    from generation.limiter import hold_peaks, true_peaks

    level = _rms(frames)
    if level == 0:
        return []
    _scale(frames, round(-headroom_db - _db(level), 2))
    ceiling = _factor(-_CEILING_DB)
    return _held_note(hold_peaks(frames, true_peaks(frames, least=ceiling), sampling_rate, ceiling))


def _to_loudness(frames: Samples, sampling_rate: int, target: float, meter: Meter) -> list[str]:
    """Bring `frames` to a loudness, in place; the limiter takes some away, so the gain is found by trying."""
    from generation.limiter import hold_peaks, true_peaks

    measured = meter(frames, sampling_rate)
    if measured is None or _rms(frames) < _SILENCE_RMS:
        return ["The sound is too quiet or too short to be measured, so its loudness is as it was."]
    # Gains of whole hundredths: the last bits of another machine's meter change no sample.
    first = gain = round(target - measured, 2)
    most = round(first + _MOST_EXTRA_DB, 2)
    tried: list[tuple[float, float]] = []
    source, ceiling = frames.copy(), _factor(-_CEILING_DB)
    peaks = true_peaks(source, least=ceiling / _factor(first + _MOST_EXTRA_DB))
    while True:
        frames[:] = source
        _scale(frames, gain)
        held = hold_peaks(frames, peaks * _gain(gain), sampling_rate, ceiling)
        reached = _or(meter(frames, sampling_rate), -math.inf) if held else measured + gain
        missing = target - reached
        if abs(missing) <= _TOLERANCE_LU or len(tried) == _ATTEMPTS or gain >= most:
            break
        # What a decibel of gain still brings, once the limiter takes some of it away.
        worth = (reached - tried[-1][1]) / (gain - tried[-1][0]) if tried else 1.0
        tried.append((gain, reached))
        gain = round(min(gain + missing / min(1.0, max(_LEAST_WORTH, worth)), most), 2)
    if abs(target - reached) > _PROMISED_LU:
        return [
            f"The loudness is {reached:.1f} LUFS: {target:g} is more than peaks held under full scale allow."
        ]
    return _held_note(held)


def _held_note(held_db: float) -> list[str]:
    if held_db < _WORTH_TELLING_DB:
        return []
    return [f"Peaks were turned down by up to {held_db:.1f} dB. A lower target leaves them as they are."]


def _peak_gain(frames: Samples, headroom_db: float) -> float:
    peak = _peak(frames)
    # Rounded down, so that the headroom is there.
    return math.floor((-headroom_db - _db(peak)) * 100) / 100 if peak else 0.0


def _scale(frames: Samples, gain_db: float) -> None:
    frames *= _gain(gain_db)


def _gain(db: float) -> np.float32:
    import numpy as np

    return np.float32(_factor(db))


def _peak(audio: npt.NDArray[Any]) -> float:
    return float(max(audio.max(initial=0.0), -audio.min(initial=0.0)))


def _rms(frames: Samples) -> float:
    import numpy as np

    flat: Any = frames.reshape(-1)
    return (
        math.sqrt(float(np.einsum("i,i->", flat, flat, dtype=np.float64)) / len(flat)) if len(flat) else 0.0
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _factor(db: float) -> float:
    return float(10 ** (db / 20))


def _db(factor: float) -> float:
    return 20 * math.log10(factor)
