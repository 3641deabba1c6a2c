"""Audio to descriptors and a sound vector, in one pass over a stream of any length.

NumPy is imported where audio is: the names in here are wanted by commands that hear none.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from indexing.describe import Descriptors

if TYPE_CHECKING:
    import numpy as np

    from indexing.excerpts import Excerpt

SOUND_SPACE = "sound-1"  # another name for every change after which old and new vectors cannot be compared
SOUND_DIMENSION = 128

_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000
_LOUDEST = 1e4
_SHORTEST_SECONDS = 0.4  # a gating block of loudness; what is shorter is too short for all else too


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What is known of a clip by its sound.

    Attributes:
        descriptors: Numbers, each with its confidence.
        vector: `(SOUND_DIMENSION,)` float32 of unit length; None for silence and what is under 0.4 seconds.
    """

    descriptors: Descriptors
    vector: "np.ndarray | None"


class Analyser:
    """Analyses audio that comes in blocks.

    Loudness is measured over everything; the other numbers come from excerpts of 30 seconds that are spread
    evenly, at most 16 of them, so that memory is bounded. What comes out does not depend on how the audio
    was cut into blocks. Audio at less than 1 kHz or more than 768 kHz is not analysed: all is unknown.
    """

    def __init__(self, sampling_rate: int, channels: int) -> None:
        """Prepares for audio of `sampling_rate` Hz with `channels` channels.

        Raises:
            ValueError: There is no channel.
        """
        if channels < 1:
            raise ValueError("Audio has one channel at least.")
        self._rate = sampling_rate
        self._channels = channels
        self._frames = 0
        self._usable = _LOWEST_RATE <= sampling_rate <= _HIGHEST_RATE
        if self._usable:
            from indexing.excerpts import Excerpts
            from indexing.loudness import LoudnessMeter

            self._meter = LoudnessMeter(sampling_rate, channels)
            self._excerpts = Excerpts(sampling_rate)

    def feed(self, block: "np.ndarray") -> None:
        """Adds `(frames, channels)` finite float32 samples; a single channel may be `(frames,)`.

        Raises:
            ValueError: The block has another shape.
        """
        import numpy as np

        samples = np.asarray(block, dtype=np.float32)
        if samples.ndim == 1:
            samples = samples[:, None]
        if samples.ndim != 2 or samples.shape[1] != self._channels:
            raise ValueError(f"A block has shape {block.shape}, not (frames, {self._channels}).")
        if self._usable and len(samples):
            self._frames += len(samples)
            # Floats can be anything, and squares of 1e30 overflow; this is 80 dB over full scale.
            samples = np.clip(samples, -_LOUDEST, _LOUDEST)
            self._meter.feed(samples)
            self._excerpts.feed(samples.mean(axis=1))

    def finish(self) -> Analysis:
        """What the audio so far amounts to; nothing can be fed afterwards."""
        if not self._usable or self._frames < _SHORTEST_SECONDS * self._rate:
            return Analysis(descriptors=Descriptors(), vector=None)
        excerpts = self._excerpts.finish()
        loudness = self._meter.integrated()
        if not excerpts:
            return Analysis(descriptors=Descriptors(), vector=None)
        from indexing.sound import sound_vector

        vector = sound_vector([excerpt.sound for excerpt in excerpts])
        return Analysis(descriptors=_descriptors(excerpts, loudness), vector=vector)


def analyse(audio: "np.ndarray", sampling_rate: int) -> Analysis:
    """Analyses a whole clip.

    Args:
        audio: `(samples,)` or `(samples, channels)`, finite.
        sampling_rate: Hz.
    """
    import numpy as np

    samples = np.asarray(audio)
    analyser = Analyser(sampling_rate, samples.shape[1] if samples.ndim == 2 else 1)
    analyser.feed(samples)
    return analyser.finish()


def _descriptors(excerpts: "list[Excerpt]", loudness: float | None) -> Descriptors:
    import numpy as np

    from indexing.key import estimate_key
    from indexing.tempo import estimate_tempo

    seconds = sum(excerpt.seconds for excerpt in excerpts)
    beating = [(e.periodicity, e.seconds) for e in excerpts if e.periodicity is not None]
    onsets = sum(excerpt.onsets for excerpt in excerpts)
    tempo, tempo_sure = estimate_tempo([p for p, _ in beating], [s for _, s in beating], onsets)
    key, key_sure = estimate_key(np.sum([excerpt.chroma for excerpt in excerpts], axis=0), seconds)
    brightness = sum(e.centroid * e.seconds for e in excerpts) / seconds
    density = onsets / seconds
    percussive = sum(e.percussive for e in excerpts) / max(sum(e.magnitude for e in excerpts), 1e-12)
    values: dict[str, Any] = {
        "tempo_bpm": tempo,
        "key": key,
        "loudness_lufs": None if loudness is None else round(loudness, 2),
        "brightness_hz": round(brightness, 1),
        "energy": None if loudness is None else _energy(loudness, density, brightness),
        "onset_density": round(density, 3),
        "percussive_share": round(float(np.clip(percussive, 0.0, 1.0)), 3),
    }
    # What is short says less of the clip's rhythm.
    long_enough = round(min(1.0, seconds / 3.0), 3)
    confidence = {
        "tempo_bpm": tempo_sure,
        "key": key_sure,
        "loudness_lufs": 1.0,
        "brightness_hz": 1.0,
        "energy": long_enough,
        "onset_density": long_enough,
        "percussive_share": long_enough,
    }
    return Descriptors(**values, confidence=confidence)


def _energy(loudness: float, density: float, brightness: float) -> float:
    """Half loudness (-40 to -8 LUFS), three tenths onsets (0 to 8 a second), two tenths brightness."""
    import numpy as np

    parts = ((loudness + 40) / 32, density / 8, np.log2(max(brightness, 1.0) / 300) / 4)
    loud, busy, bright = (float(np.clip(part, 0.0, 1.0)) for part in parts)
    return round(0.5 * loud + 0.3 * busy + 0.2 * bright, 3)
