"""Rows of the index from sidecars; nothing but the words' vectors needs a model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audiolib.folder import LibraryFolder
from audiolib.sidecars import Sidecar
from audiolib.vectors import decode

if TYPE_CHECKING:
    from indexing.describe import Descriptors
    from indexing.embed import Embedder
    from indexing.schema import IndexRow


def document_of(sidecar: Sidecar) -> str:
    """Return the text that stands for a clip in the search for words and meaning.

    Args:
        sidecar: The clip.
    """
    from indexing.document import compose_document

    clip = sidecar.clip
    return compose_document(
        prompt=clip.prompt,
        title=clip.title,
        tags=clip.tags,
        transcript=clip.transcript,
        descriptors=_descriptors(sidecar),
    )


def _descriptors(sidecar: Sidecar) -> "Descriptors | None":
    """What was measured of a clip; `None` where people's edits left values that mean nothing."""
    from indexing.describe import NAMES, Descriptors

    values = {name: getattr(sidecar.clip, name) for name in NAMES}
    try:
        return Descriptors(**values, confidence=sidecar.confidence)
    except ValueError:
        return None


def rows_of(
    folder: LibraryFolder, sidecars: Sequence[Sidecar], embedder: "Embedder | None"
) -> list["IndexRow"]:
    """Return the rows of some clips.

    Args:
        folder: Their library.
        sidecars: The clips.
        embedder: Turns their words into vectors; pending without one.
    """
    from indexing import remembered
    from indexing.analysis import SOUND_DIMENSION, SOUND_SPACE
    from indexing.schema import IndexRow

    documents = [document_of(sidecar) for sidecar in sidecars]
    vectors = remembered.embed(embedder, documents, folder.index) if embedder else [None] * len(documents)
    rows = []
    for sidecar, document, vector in zip(sidecars, documents, vectors, strict=True):
        clip = sidecar.clip
        sound = decode(sidecar.vectors.get(SOUND_SPACE, ""), dimension=SOUND_DIMENSION)
        fields = clip.to_json()
        fields |= {"path": folder.relative(clip.path), "tags": clip.tags, "has_speech": clip.has_speech}
        fields |= {"segments": sidecar.segments, "embedder": embedder.name if embedder else None}
        fields |= {"sound_vector": sound, "sound_space": None if sound is None else SOUND_SPACE}
        rows.append(IndexRow(**fields, document=document, vector=vector))
    return rows
