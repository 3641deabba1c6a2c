"""The evaluation itself: an index of the clips, every question in every mode, figures."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from indexing.evaluation.text.corpus import EvalClip, load_clips
from indexing.evaluation.text.measure import Figures, figures
from indexing.evaluation.text.queries import CLASSES, EvalQuery, load_queries
from indexing.evaluation.text.templates import TEMPLATES
from indexing.keywords import text_to_avoid, text_to_embed
from indexing.query import MODES, search
from indexing.schema import IndexRow
from indexing.store import ClipIndex

if TYPE_CHECKING:
    import numpy as np

    from indexing.embed import Embedder

# The modes of a search, and what is typed embedded whole: the plain search that the others are measured by.
WAYS: Final = (*MODES, "as typed")
_DEPTH: Final = 50
Progress = Callable[[str], None]
Table = dict[str, dict[str, Figures]]


class CachedEmbedder:
    """An embedder that keeps its vectors in a file and is loaded only for texts that are not in it.

    Args:
        folder: Where the vectors are kept.
        load: Loads the embedder.
        name: Its name.
    """

    def __init__(self, folder: Path, load: "Callable[[], Embedder]", name: str) -> None:
        import numpy as np

        self.name = name
        self._load = load
        self._file = folder / f"vectors-{hashlib.sha256(name.encode()).hexdigest()[:12]}.npz"
        self._known: dict[str, np.ndarray] = {}
        if self._file.exists():
            with np.load(self._file) as stored:
                self._known = {key: stored[key] for key in stored.files}

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Returns `(N, D)` float32 of unit length."""
        import numpy as np

        keys = [hashlib.sha256(text.encode()).hexdigest()[:24] for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if missing:
            vectors = self._load().embed(list(missing.values()))
            self._known |= dict(zip(missing, vectors, strict=True))
            self._file.parent.mkdir(parents=True, exist_ok=True)
            scratch = self._file.with_suffix(f".{os.getpid()}.npz")
            np.savez(scratch, **self._known)  # type: ignore[arg-type]  # named arrays
            scratch.replace(self._file)
        return np.stack([self._known[key] for key in keys])


def evaluate(
    embedder: CachedEmbedder,
    *,
    template: str = "shipped",
    part: str = "held-out",
    ways: Sequence[str] = WAYS,
    progress: Progress | None = None,
) -> Table:
    """Figures by way of searching and class of questions; the class `all` is all of them.

    Args:
        embedder: For documents and questions.
        template: One of `TEMPLATES`.
        part: Which of `PARTS` of the questions.
        ways: Which of `WAYS`.
        progress: Called with a sentence now and then.
    """
    clips = load_clips()
    queries = [query for query in load_queries(clips) if query.part == part]
    with tempfile.TemporaryDirectory() as folder:
        index = build(clips, template, embedder, Path(folder))
        table = {}
        for way in ways:
            if progress is not None:
                progress(f"{way}: {len(queries)} questions, {len(clips)} clips")
            table[way] = _figures(queries, _rankings(index, queries, embedder, way))
    return table


def build(clips: Sequence[EvalClip], template: str, embedder: CachedEmbedder, folder: Path) -> ClipIndex:
    """An index of the clips."""
    documents = [TEMPLATES[template](clip) for clip in clips]
    rows = [
        IndexRow(
            id=clip.id,
            document=document,
            vector=vector,
            embedder=embedder.name,
            path=f"audio/{clip.id}.wav",
            duration=10.0,
            sample_rate=32_000,
            channels=1,
            created_at="2026-11-22T10:00:00.000Z",
            kind="generated" if clip.prompt else "imported",
            tags=clip.tags,
        )
        for clip, document, vector in zip(clips, documents, embedder.embed(documents), strict=True)
    ]
    index = ClipIndex(folder)
    index.upsert(rows)
    index.optimise()
    return index


def shortfalls(table: Table) -> dict[str, float]:
    """By how much hybrid is worse than the better of the two others, by class and figure; empty is what is wanted."""
    found = {}
    for kind in CLASSES:
        for name in ("recall_at_1", "recall_at_10", "mrr"):
            better = max(getattr(table[mode][kind], name) for mode in ("keyword", "semantic"))
            missing = better - getattr(table["hybrid"][kind], name)
            if missing > 1e-9:
                found[f"{kind} {name}"] = round(missing, 4)
    return found


def _rankings(
    index: ClipIndex, queries: Sequence[EvalQuery], embedder: CachedEmbedder, way: str
) -> list[list[str]]:
    texts = [query.words if way == "as typed" else text_to_embed(query.words) for query in queries]
    mode: Any = "semantic" if way == "as typed" else way
    avoided = [text_to_avoid(query.words) or "" for query in queries]
    return [
        [
            hit.id
            for hit in search(
                index, query.words, vector, mode=mode, unwanted=unwanted if away else None, limit=_DEPTH
            )
        ]
        for query, vector, away, unwanted in zip(
            queries, embedder.embed(texts), avoided, embedder.embed(avoided), strict=True
        )
    ]


def _figures(queries: Sequence[EvalQuery], rankings: Sequence[Sequence[str]]) -> dict[str, Figures]:
    pairs = list(zip(queries, rankings, strict=True))
    table = {
        kind: figures((ranking, query.gold) for query, ranking in pairs if query.kind == kind)
        for kind in CLASSES
    }
    return table | {"all": figures((ranking, query.gold) for query, ranking in pairs)}
