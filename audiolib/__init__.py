"""audiolib: text goes in, music comes out, and all that was made is found again."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audiolib.checking.findings import CheckReport, Finding
    from audiolib.clip import Clip, Recipe, SearchHit
    from audiolib.errors import AudiolibError
    from audiolib.importing.values import ImportOutcome
    from audiolib.library import AudioLibrary
    from audiolib.models import Models
    from audiolib.outputs import Destination
    from audiolib.requests import GenerationRequest
    from audiolib.studio import ClipProgress
    from audiolib.version import __version__
    from indexing.filters import Filters
    from indexing.query import Explanation

__all__ = [
    "AudioLibrary",
    "AudiolibError",
    "CheckReport",
    "Clip",
    "ClipProgress",
    "Destination",
    "Explanation",
    "Filters",
    "Finding",
    "GenerationRequest",
    "ImportOutcome",
    "Models",
    "Recipe",
    "SearchHit",
    "__version__",
]

_HOMES = {
    "AudioLibrary": "audiolib.library",
    "AudiolibError": "audiolib.errors",
    "CheckReport": "audiolib.checking.findings",
    "Clip": "audiolib.clip",
    "ClipProgress": "audiolib.studio",
    "Destination": "audiolib.outputs",
    "Explanation": "indexing.query",
    "Filters": "indexing.filters",
    "Finding": "audiolib.checking.findings",
    "GenerationRequest": "audiolib.requests",
    "ImportOutcome": "audiolib.importing.values",
    "Models": "audiolib.models",
    "Recipe": "audiolib.clip",
    "SearchHit": "audiolib.clip",
    "__version__": "audiolib.version",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import audiolib` stays instant."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'audiolib' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
