"""A clip's words and numbers, stored in LanceDB and found again by meaning.

Nothing heavy is imported until a name is used: LanceDB alone takes more than a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indexing.document import compose_document
    from indexing.embed import DEFAULT_EMBEDDER, Embedder, load_embedder
    from indexing.errors import (
        EmbedderMismatchError,
        EmbedderUnavailableError,
        IndexDamagedError,
        IndexingError,
        InvalidQueryError,
        TranscriberUnavailableError,
    )
    from indexing.filters import Filters
    from indexing.query import Explanation, Hit, search
    from indexing.schema import IndexRow
    from indexing.store import ClipIndex, IndexHit
    from indexing.transcribe import Segment, Transcriber, Transcript, find_whisper

__all__ = [
    "DEFAULT_EMBEDDER",
    "ClipIndex",
    "Embedder",
    "EmbedderMismatchError",
    "EmbedderUnavailableError",
    "Explanation",
    "Filters",
    "Hit",
    "IndexDamagedError",
    "IndexHit",
    "IndexRow",
    "IndexingError",
    "InvalidQueryError",
    "Segment",
    "Transcriber",
    "TranscriberUnavailableError",
    "Transcript",
    "compose_document",
    "find_whisper",
    "load_embedder",
    "search",
]

_ROOMS = {
    "compose_document": "document",
    "DEFAULT_EMBEDDER": "embed",
    "Embedder": "embed",
    "load_embedder": "embed",
    "EmbedderMismatchError": "errors",
    "EmbedderUnavailableError": "errors",
    "IndexDamagedError": "errors",
    "IndexingError": "errors",
    "TranscriberUnavailableError": "errors",
    "InvalidQueryError": "errors",
    "Filters": "filters",
    "Explanation": "query",
    "Hit": "query",
    "search": "query",
    "IndexRow": "schema",
    "ClipIndex": "store",
    "IndexHit": "store",
    "Segment": "transcribe",
    "Transcriber": "transcribe",
    "Transcript": "transcribe",
    "find_whisper": "transcribe",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
