"""What a clip sounds like, measured once from its audio and kept in its sidecar."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audiolib.vectors import encode

if TYPE_CHECKING:
    from indexing.analysis import Analysis

FIELDS: Final = (
    "tempo_bpm",
    "key",
    "loudness_lufs",
    "brightness_hz",
    "energy",
    "onset_density",
    "percussive_share",
)
"""Fields of `Clip` that are measured."""


def measured(analysis: "Analysis") -> dict[str, Any]:
    """Return the keys of a sidecar that hold an analysis.

    Args:
        analysis: What was measured.
    """
    from indexing.analysis import SOUND_SPACE
    from indexing.describe import DESCRIPTORS_VERSION

    found = analysis.descriptors
    confidence: Mapping[str, float] = {name: round(found.confidence.get(name, 0.0), 3) for name in FIELDS}
    return {
        **{name: getattr(found, name) for name in FIELDS},
        "descriptors": {"version": DESCRIPTORS_VERSION, "confidence": confidence},
        "vectors": {} if analysis.vector is None else {SOUND_SPACE: encode(analysis.vector)},
    }


def measure(path: Path) -> dict[str, Any]:
    """Read an audio file and return the keys of a sidecar that hold its analysis; see `measured`.

    Args:
        path: The file.

    Raises:
        AudioError: It cannot be read.
        OSError: It cannot be opened.
    """
    from generation.stream import open_audio
    from indexing.analysis import Analyser

    with open_audio(path) as stream:
        analyser = Analyser(stream.sampling_rate, stream.channels)
        for block in stream.blocks():
            analyser.feed(block)
    return measured(analyser.finish())
