"""What is measured on a table: how long questions take, how exact the answers are, what writing costs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from indexing.bench.captions import captions, sized_captions
from indexing.bench.library import row_of

if TYPE_CHECKING:
    import numpy as np

    from indexing.embed import Embedder
    from indexing.store import ClipIndex

_WARM_UP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Milliseconds of a call: the median, nine of ten, the best."""

    p50: float
    p90: float
    best: float


def timed(call: Callable[[int], object], times: int) -> Timing:
    """Times calls after some that warm up; each gets the number of its round."""
    for number in range(min(_WARM_UP, times)):
        call(number)
    took = []
    for number in range(times):
        began = time.perf_counter()
        call(number)
        took.append(1_000 * (time.perf_counter() - began))
    took.sort()
    return Timing(p50=took[len(took) // 2], p90=took[len(took) * 9 // 10], best=took[0])


def questions(
    index: "ClipIndex", texts: Sequence[str], queries: "np.ndarray", *, rounds: int
) -> dict[str, Timing]:
    """How long a search takes: its parts, and as a whole, with filters and without."""
    from indexing.filters import Filters
    from indexing.query import search

    filters = {
        "": Filters(),
        ", tempo": Filters(bpm=(80, 120)),
        ", tempo and key": Filters(bpm=(80, 120), key="A minor"),
        ", tag": Filters(tags=("tag 3",)),
        ", model": Filters(model="musicgen-small"),
        ", tag and model": Filters(tags=("mood 2",), model="starter"),
        ", date": Filters(since="2026-06"),
        ", rating": Filters(rating=4),
        ", rating, length and tag": Filters(rating=3, min_duration=10, tags=("mood 2",)),
        ", tag, model, tempo and rating": Filters(tags=("mood 2",), model="starter", bpm=(80, 120), rating=3),
    }

    def ask(number: int, wanted: Filters, words: int | None) -> None:
        text, query = texts[number % len(texts)], queries[number % len(queries)]
        if words is None:
            index.nearest(query, where=wanted.expression(), limit=10)
        else:
            search(index, " ".join(text.split()[:words]), query, filters=wanted)

    result = {"words": timed(lambda n: index.keyword(texts[n % len(texts)], limit=100), rounds)}
    for name, wanted in filters.items():
        result[f"vector{name}"] = timed(partial(ask, wanted=wanted, words=None), rounds)
        result[f"hybrid, three words{name}"] = timed(partial(ask, wanted=wanted, words=3), rounds)
        result[f"hybrid, sentences{name}"] = timed(partial(ask, wanted=wanted, words=1_000), rounds)
    return result


def recall(index: "ClipIndex", queries: "np.ndarray", rows: "np.ndarray") -> float:
    """Share of the exact ten nearest rows `(Q, 10)` that a search finds."""
    found = 0
    for query, best in zip(queries, rows, strict=True):
        found += len({row_of(hit.id) for hit in index.nearest(query, limit=10)} & set(best.tolist()))
    return found / rows.size


def adding(index: "ClipIndex", embedder: "Embedder", *, rows: int, words: int) -> dict[str, float]:
    """Rows a second into the table, their documents embedded, all of them new.

    Args:
        index: The table.
        embedder: Makes the vectors.
        rows: How many.
        words: Of each document.
    """
    from indexing.schema import IndexRow

    texts = [f"{text} {number}" for number, text in enumerate(sized_captions(rows, words - 1, seed=7))]
    embedding = writing = 0.0
    for start in range(0, rows, 500):
        some = texts[start : start + 500]
        began = time.perf_counter()
        vectors = embedder.embed(some)
        embedding += time.perf_counter() - began
        began = time.perf_counter()
        index.upsert([_row(IndexRow, start + i, text, vectors[i], embedder) for i, text in enumerate(some)])
        writing += time.perf_counter() - began
    return {
        "rows": rows,
        "embedding_s": embedding,
        "writing_s": writing,
        "rows_per_s": rows / (embedding + writing),
    }


def _row(make: Any, number: int, text: str, vector: "np.ndarray", embedder: "Embedder") -> Any:
    return make(
        id=f"added {number}",
        document=text,
        prompt=text,
        path=f"audio/added-{number}.wav",
        duration=10.0,
        sample_rate=32_000,
        channels=1,
        created_at="2026-11-22T10:00:00.000Z",
        kind="imported",
        vector=vector,
        embedder=embedder.name,
    )


def embedding(embedder: "Embedder", *, texts: int) -> dict[int, float]:
    """Texts a second, by their number of words; the best of two rounds."""
    result = {}
    for words in (6, 20, 40):
        some = sized_captions(texts, words)
        embedder.embed(some[:32])
        best = min(_seconds(partial(embedder.embed, some)) for _ in range(2))
        result[words] = texts / best
    return result


def ageing(index: "ClipIndex", queries: "np.ndarray", *, writes: int) -> dict[str, Timing]:
    """The vector search before and after so many writes of one row each, and how long a write takes."""
    from indexing.embed import DEFAULT_EMBEDDER
    from indexing.schema import IndexRow

    def look(number: int) -> None:
        index.nearest(queries[number % len(queries)], limit=10)

    def write(number: int) -> None:
        vector, text = queries[number % len(queries)], captions(1, seed=number)[0]
        index.upsert(
            [
                IndexRow(
                    id=f"single {number}",
                    document=text,
                    path="audio/single.wav",
                    duration=10.0,
                    sample_rate=32_000,
                    channels=1,
                    created_at="2026-11-22T10:00:00.000Z",
                    kind="generated",
                    vector=vector,
                    embedder=DEFAULT_EMBEDDER,
                )
            ]
        )

    before = timed(look, 40)
    writing = timed(write, writes)
    return {"before": before, "one write": writing, "after": timed(look, 40)}


def forget(index: "ClipIndex") -> None:
    """Removes the rows that an earlier measurement wrote, so that the table is what was built."""
    index.remove([id for id in index.ids() if " " in id])
    index.optimise()


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
