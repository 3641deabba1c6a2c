"""audiolib: text goes in, music comes out, and all that was made is found again."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audiolib.checking.findings import CheckReport, Finding
    from audiolib.clip import Clip, Recipe, SearchHit
    from audiolib.details import ClipDetails, Transcription
    from audiolib.duplicates import NEAR_SIMILARITY, DuplicateGroup
    from audiolib.errors import AudiolibError
    from audiolib.importing.values import ImportOutcome
    from audiolib.library import AudioLibrary
    from audiolib.lines import BatchOutcome
    from audiolib.models import Models
    from audiolib.outputs import Destination
    from audiolib.progress import ClipProgress, OnProgress
    from audiolib.promptfiles import BatchLine
    from audiolib.ranking import Score, Take
    from audiolib.requests import GenerationRequest
    from audiolib.reuse import REUSE_SCORE, ReusedOrMade
    from audiolib.statistics import LibraryStats
    from audiolib.trash import TrashedClip
    from audiolib.version import __version__
    from audiolib.waveform import Waveform
    from generation.bench_values import Benchmark
    from generation.errors import AudioError
    from generation.finish import SoundFinish
    from indexing.filters import Filters
    from indexing.query import Explanation

__all__ = [
    "NEAR_SIMILARITY",
    "REUSE_SCORE",
    "AudioError",
    "AudioLibrary",
    "AudiolibError",
    "BatchLine",
    "BatchOutcome",
    "Benchmark",
    "CheckReport",
    "Clip",
    "ClipDetails",
    "ClipProgress",
    "Destination",
    "DuplicateGroup",
    "Explanation",
    "Filters",
    "Finding",
    "GenerationRequest",
    "ImportOutcome",
    "LibraryStats",
    "Models",
    "OnProgress",
    "Recipe",
    "ReusedOrMade",
    "Score",
    "SearchHit",
    "SoundFinish",
    "Take",
    "Transcription",
    "TrashedClip",
    "Waveform",
    "__version__",
]

_HOMES = {
    "AudioError": "generation.errors",
    "AudioLibrary": "audiolib.library",
    "AudiolibError": "audiolib.errors",
    "BatchLine": "audiolib.promptfiles",
    "BatchOutcome": "audiolib.lines",
    "Benchmark": "generation.bench_values",
    "CheckReport": "audiolib.checking.findings",
    "Clip": "audiolib.clip",
    "ClipDetails": "audiolib.details",
    "ClipProgress": "audiolib.progress",
    "Destination": "audiolib.outputs",
    "DuplicateGroup": "audiolib.duplicates",
    "Explanation": "indexing.query",
    "Filters": "indexing.filters",
    "Finding": "audiolib.checking.findings",
    "GenerationRequest": "audiolib.requests",
    "ImportOutcome": "audiolib.importing.values",
    "LibraryStats": "audiolib.statistics",
    "Models": "audiolib.models",
    "NEAR_SIMILARITY": "audiolib.duplicates",
    "OnProgress": "audiolib.progress",
    "REUSE_SCORE": "audiolib.reuse",
    "Recipe": "audiolib.clip",
    "ReusedOrMade": "audiolib.reuse",
    "Score": "audiolib.ranking",
    "SearchHit": "audiolib.clip",
    "SoundFinish": "generation.finish",
    "Take": "audiolib.ranking",
    "Transcription": "audiolib.details",
    "TrashedClip": "audiolib.trash",
    "Waveform": "audiolib.waveform",
    "__version__": "audiolib.version",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import audiolib` stays instant."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'audiolib' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
