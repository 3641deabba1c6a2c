"""What can be asked of the index: words by meaning, by letter or both, among the clips that meet conditions."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from indexing.candidates import Candidates
from indexing.errors import InvalidQueryError
from indexing.filters import Filters, parse_bpm, parse_key, parse_loudness, parse_range
from indexing.fulltext import KeywordMatches, find_words
from indexing.keywords import Document, Words, read_words, text_to_avoid, text_to_embed
from indexing.unwanted import objections

if TYPE_CHECKING:
    import numpy as np

    from indexing.store import ClipIndex

__all__ = [
    "MODES",
    "Explanation",
    "Filters",
    "Hit",
    "parse_bpm",
    "parse_key",
    "parse_loudness",
    "parse_range",
    "search",
    "text_to_avoid",
    "text_to_embed",
]

MODES: Final = ("hybrid", "semantic", "keyword")

# How many of each ranking are fused. Fixed, so that a page shows the same whichever page was asked for before.
_FUSED: Final = 100
# Ranked by words alone: so many at first, then twice as many, and so on.
_WORDS_AT_ONCE: Final = 1_000
# Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009) of two rankings, a constant for each,
# chosen on the tuning half of `python -m indexing.evaluation`. Places by words count as far as some clip has the
# query's words together: where none has them, the query does not speak as the clips' documents do, and the
# meaning is all there is. The longer a query, the more of it must be found, for a few common words always are.
# Trust under the least would do no more than shuffle near neighbours in meaning.
_MEANING_CONSTANT: Final = 8
_WORDS_CONSTANT: Final = 10
_WORDS_WEIGHT: Final = 24.0
_LEAST_SHARE: Final = 0.5
_LENGTH_FACTOR: Final = 0.2
_SHARE_POWER: Final = 2
_LEAST_TRUST: Final = 0.02
# Scores by words this near share a place, so that meaning decides between them.
_TIE: Final = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a clip was found.

    Attributes:
        semantic_rank: Its place among the clips nearest in meaning, from 1; None when it is not among the first.
        keyword_rank: Its place among the clips that have the words, from 1; None when it has none of them.
        similarity: Cosine of its document and the query, -1 to 1; None without one of the vectors.
        matched: The query's words that it has; `guintar -> guitar` where a letter was taken for a typo.
        bm25: How well its words match, by LanceDB's full text search; only to be compared within one search.
        fused: What the hits of a hybrid search are ordered by.
        unwanted: What it has and the query does not want.
        lacks: What it says it has not, as the query wants it.
        denied: What it says it has not, though the query asks for it.
        likeness: Cosine of its document and what is not wanted, where the order goes by it.
    """

    semantic_rank: int | None = None
    keyword_rank: int | None = None
    similarity: float | None = None
    matched: tuple[str, ...] = ()
    bm25: float | None = None
    fused: float | None = None
    unwanted: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    likeness: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A clip that was found.

    Attributes:
        id: The clip's id.
        score: max(0, cosine similarity) to the query, 0 to 1; None where the query or the clip has no vector.
        why: What it was found by.
    """

    id: str
    score: float | None
    why: Explanation


def search(
    index: "ClipIndex",
    words: str,
    vector: "np.ndarray | None",
    *,
    mode: str = "hybrid",
    filters: Filters | None = None,
    unwanted: "np.ndarray | None" = None,
    limit: int = 10,
    offset: int = 0,
) -> list[Hit]:
    """The clips that fit some words best.

    Args:
        index: Where to look.
        words: What was typed; words in quotes are a phrase that a clip must have.
        vector: `(D,)` embedding of `text_to_embed(words)`; without one a hybrid search goes by the words alone.
        mode: `semantic` orders by cosine similarity, `keyword` by BM25, `hybrid` by both.
        filters: Conditions that a clip must meet.
        unwanted: `(D,)` embedding of `text_to_avoid(words)`; the nearer clips are to it, the later a hybrid search
            shows them.
        limit: Hits wanted, at least 1.
        offset: Hits passed over, for the next page.

    Returns:
        Hits, best first; of equal ones the smaller id is first.

    Raises:
        InvalidQueryError: An unknown mode, or a semantic search without a vector.
        IndexingError: The index cannot be read.
        ValueError: `limit` or `offset` is out of range.
    """
    if mode not in MODES:
        raise InvalidQueryError(f"There is no search mode '{mode}'. Use one of {', '.join(MODES)}.")
    if mode == "semantic" and vector is None:
        raise InvalidQueryError("A semantic search needs an embedder. `--mode keyword` does without.")
    if limit < 1 or offset < 0:
        raise ValueError("a search needs limit >= 1 and offset >= 0")
    asked = _Search(index, read_words(words), vector, filters or Filters(), unwanted)
    if mode == "semantic":
        return asked.by_meaning(limit, offset)
    if mode == "keyword" or vector is None:
        return asked.by_words(limit, offset)
    return asked.by_both(limit, offset)


class _Search:
    """One search: its rankings and how they come together."""

    def __init__(
        self,
        index: "ClipIndex",
        words: Words,
        vector: "np.ndarray | None",
        filters: Filters,
        unwanted: "np.ndarray | None",
    ) -> None:
        self._words, self._unwanted = words, unwanted
        self._alike: dict[str, float] = {}
        self._rows = Candidates(index, vector, filters.expression())

    def by_meaning(self, limit: int, offset: int) -> list[Hit]:
        ids = self._rows.nearest(limit, offset)
        why = {id: Explanation(semantic_rank=place) for place, id in enumerate(ids, offset + 1)}
        return self._hits(ids, why, KeywordMatches(ranking=(), worth=(), corrections={}))

    def by_words(self, limit: int, offset: int) -> list[Hit]:
        # Of rows that tie with the last one LanceDB gives any, and what is not wanted comes last among those that were
        # found: so what a smaller question has found keeps its place, and pages join whatever their size.
        size, ranking = _WORDS_AT_ONCE, dict[str, float]()
        while True:
            matches = find_words(self._rows, self._words, limit=size)
            ranking |= {id: bm25 for id, bm25 in matches.ranking if id not in ranking}
            if size >= offset + limit or len(matches.ranking) < size:
                break
            size *= 2
        page = list(ranking.items())[offset : offset + limit]
        why = {id: Explanation(keyword_rank=n, bm25=bm25) for n, (id, bm25) in enumerate(page, offset + 1)}
        return self._hits([id for id, _ in page], why, matches)

    def by_both(self, limit: int, offset: int) -> list[Hit]:
        # LanceDB works outside Python's lock, so both questions are answered at once.
        with ThreadPoolExecutor(1) as beside:
            asked = beside.submit(self._rows.nearest, _FUSED)
            matches = find_words(self._rows, self._words, limit=_FUSED)
            near = asked.result()
        by_words = {id: (n, bm25) for n, (id, bm25) in enumerate(matches.ranking[:_FUSED], 1)}
        # A phrase in quotes must be there, unless no clip has it at all.
        candidates = (
            list(by_words) if self._words.phrases and by_words else [*near, *(by_words.keys() - set(near))]
        )
        fused = self._fuse(candidates, matches)
        ranks = {id: n for n, id in enumerate(near, 1)}
        why = {
            id: Explanation(
                semantic_rank=ranks.get(id),
                keyword_rank=by_words[id][0] if id in by_words else None,
                bm25=by_words[id][1] if id in by_words else None,
                fused=fused[id],
            )
            for id in fused
        }
        order = sorted(fused, key=lambda id: (-fused[id], id))
        if offset + limit > len(order) and not (self._words.phrases and by_words):
            # Behind what was fused come the others by their meaning; all that is fused may be among the nearest.
            more = self._rows.nearest(offset + limit + len(order))
            why |= {id: Explanation(semantic_rank=n) for n, id in enumerate(more, 1) if id not in why}
            order += [id for id in more if id not in fused]
        return self._hits(order[offset : offset + limit], why, matches)

    def _fuse(self, candidates: Sequence[str], matches: KeywordMatches) -> dict[str, float]:
        """Weighted reciprocal rank fusion; see the constants above."""
        similarity = self._rows.similarities(candidates)
        documents = self._rows.documents(candidates)
        coverage = matches.coverage(self._words, documents)
        nearest = sorted(similarity, key=lambda id: (-similarity[id], id))
        fused = dict.fromkeys(candidates, 0.0)
        for place, id in enumerate(nearest, 1):
            fused[id] += _reciprocal(place, _MEANING_CONSTANT)
        trust = _WORDS_WEIGHT * self._trust(max(coverage.values(), default=0.0))
        for id, place in matches.places(_TIE).items():
            if id in fused:
                share = coverage.get(id, 0.0) ** _SHARE_POWER
                fused[id] += trust * share * _reciprocal(place, _WORDS_CONSTANT)
        if self._unwanted is not None:
            self._alike = self._rows.likeness(self._unwanted, candidates)
        return {id: value * self._fitness(id, documents.get(id)) for id, value in fused.items()}

    def _fitness(self, id: str, document: Document | None) -> float:
        """By what is not wanted: less for a clip that has it or is like it, more for one that says it has not."""
        said = objections(self._words, document).factor
        return said if said > 1 else said * (1 - max(0.0, self._alike.get(id, 0.0)))

    def _trust(self, best: float) -> float:
        """How far the ranking by words is to be trusted, 0 to 1, by the best share of the query in one clip."""
        if best and (self._words.keys or self._words.tempos):
            return 1.0  # an embedding hardly knows one key or tempo from another
        share = max(0.0, best - _LEAST_SHARE) / (1 - _LEAST_SHARE)
        trust = float(share ** (_LENGTH_FACTOR * self._words.length**2))
        return trust if trust >= _LEAST_TRUST else 0.0

    def _hits(self, ids: Sequence[str], why: Mapping[str, Explanation], matches: KeywordMatches) -> list[Hit]:
        similarity, documents = self._rows.similarities(ids), self._rows.documents(ids)
        hits = []
        for id in ids:
            cosine = similarity.get(id)
            matched = matches.matched(self._words, documents[id]) if id in documents else ()
            said = objections(self._words, documents.get(id))
            reasons = replace(
                why[id],
                similarity=cosine,
                matched=matched,
                unwanted=said.has,
                lacks=said.lacks,
                denied=said.denied,
                likeness=None if said.factor > 1 else self._alike.get(id),
            )
            score = None if cosine is None else min(1.0, max(0.0, cosine))
            hits.append(Hit(id=id, score=score, why=reasons))
        return hits


def _reciprocal(place: int, constant: int) -> float:
    """1 for the first place, less for later ones; the larger the constant, the slower."""
    return (constant + 1) / (constant + place)
