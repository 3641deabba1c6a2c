"""A query's words looked up in LanceDB's full text index: phrases and typos."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from indexing.candidates import Candidates
from indexing.keywords import STOP_WORDS, TEMPO_REACH, Document, Words, fold, is_misspelt, spellings, stem
from indexing.unwanted import objections

if TYPE_CHECKING:
    from lancedb.query import FullTextQuery

# What a corrected word is worth beside an exact one.
CORRECTED_WORTH: Final = 0.8
# What a small word, "in" or "the", is worth beside one that tells clips from one another.
SMALL_WORTH: Final = 0.25
# LanceDB may miss the best rows when it is asked for few.
_LEAST: Final = 100
# The longest English words have some thirty letters; what differs by one is twice the letters times the alphabet.
_SHORTEST_CORRECTED, _LONGEST_CORRECTED = 4, 40
_MOST_CORRECTED: Final = 6
_CORRECTIONS: Final = 4
_SAMPLE: Final = 40
_FEW: Final = 20
_COLUMN: Final = "document"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeywordMatches:
    """What a query's words found.

    Attributes:
        ranking: Ids, best first, with their BM25.
        worth: What the ids are ordered by: BM25, lowered for what is not wanted.
        corrections: For words that no clip has, those a letter away that some have.
    """

    ranking: tuple[tuple[str, float], ...]
    worth: tuple[float, ...]
    corrections: Mapping[str, tuple[str, ...]]

    def matched(self, words: Words, document: Document) -> tuple[str, ...]:
        """The query's words that a document has, corrected ones with what they were taken for."""
        found = []
        for run in words.sought:
            typed = " ".join(run)
            if document.says(run):
                found.append(typed)
            else:
                taken = next(
                    (other for other in self.corrections.get(typed, ()) if document.says([other])), None
                )
                found += [f"{typed} -> {taken}"] if taken else []
        found += [f"{tempo} bpm" for tempo in words.tempos if document.keeps(tempo)]
        return tuple(found)

    def places(self, tie: float) -> dict[str, int]:
        """Places from 1; what is worth at least `tie` of the first of a place shares it."""
        places: dict[str, int] = {}
        place, first = 0, math.inf
        for number, ((id, _), worth) in enumerate(zip(self.ranking, self.worth, strict=True), 1):
            if worth < tie * first:
                place, first = number, worth
            places[id] = place
        return places

    def coverage(self, words: Words, documents: Mapping[str, Document]) -> dict[str, float]:
        """How much of the query each document has, 0 to 1.

        A word counts by how few of these documents have it (inverse document frequency, Sparck Jones 1972), those
        that nearly have it in part, and one that none has like one that a single one has. The small words of a
        sentence count for less: a line of a song has them all, another way to say a thing has others. A word that was
        typed three times is there in part where it stands once.
        """
        share = dict.fromkeys(documents, 0.0)
        total = 0.0
        runs = [*((run, 1.0) for run in words.sought), *(((word,), SMALL_WORTH) for word in words.small)]
        shares = [
            ({id: self._has(run, d, words) for id, d in documents.items()}, worth) for run, worth in runs
        ]
        shares += [({id: d.keeps(tempo) for id, d in documents.items()}, 1.0) for tempo in words.tempos]
        for has, worth in shares:
            weight = worth * math.log(1 + len(documents) / max(1.0, sum(has.values())))
            total += weight
            for id, value in has.items():
                share[id] += weight * value
        return {id: value / total for id, value in share.items()} if total else share

    def _has(self, run: Sequence[str], document: Document, words: Words) -> float:
        if worth := document.worth(run, words.repeated.get(run[0], 1) if len(run) == 1 else 1):
            return worth
        others = self.corrections.get(" ".join(run), ())
        return CORRECTED_WORTH * max((document.worth([other]) for other in others), default=0.0)


def find_words(rows: Candidates, words: Words, *, limit: int) -> KeywordMatches:
    """The clips that have a query's words, by BM25.

    Every phrase must be there, and any of the other words; a word that no clip has stands for those that differ
    from it by one letter. Clips with something unwanted come after others that match as well.

    Raises:
        IndexingError: The index cannot be read.
    """
    sought = [word for word in words.wanted if word not in STOP_WORDS] or (
        [] if words.keys else list(words.wanted)
    )
    limit = max(limit, _LEAST)
    found = rows.with_words(_query(words, sought), limit)
    corrections = _corrections(rows, _unknown(rows, sought, found))
    if corrections:
        corrected = [other for word in sought for other in corrections.get(word, (word,))]
        found = rows.with_words(_query(words, corrected), limit)
    read = rows.documents(id for id, _ in found)
    scored = [(id, score, score * objections(words, read.get(id)).factor) for id, score in found]
    scored.sort(key=lambda row: (-row[2], row[0]))
    return KeywordMatches(
        ranking=tuple((id, score) for id, score, _ in scored),
        worth=tuple(worth for _, _, worth in scored),
        corrections=corrections,
    )


def _match(text: str, **options: int) -> "FullTextQuery":
    from lancedb.query import MatchQuery

    make: Any = MatchQuery  # its defaults are declared in a way that type checkers do not see
    query: FullTextQuery = make(text, _COLUMN, **options)
    return query


def _query(words: Words, wanted: Sequence[str]) -> "FullTextQuery | None":
    from lancedb.query import BooleanQuery, Occur, PhraseQuery

    phrase: Any = PhraseQuery
    parts: list[tuple[Occur, FullTextQuery]] = [
        (occur, phrase(" ".join(run), _COLUMN))
        for occur, runs in ((Occur.MUST, words.phrases), (Occur.SHOULD, words.keys))
        for run in runs
    ]
    if single := [*wanted, *(str(near) for tempo in words.tempos for near in _around(tempo))]:
        parts.append((Occur.SHOULD, _match(" ".join(single))))
    # One that stands alone is answered many times as fast: the best are found without scoring all that match.
    return parts[0][1] if len(parts) == 1 else BooleanQuery(parts) if parts else None


def _around(tempo: int) -> range:
    reach = int(tempo * TEMPO_REACH)
    return range(tempo - reach, tempo + reach + 1)


def _unknown(rows: Candidates, sought: Sequence[str], found: Sequence[tuple[str, float]]) -> list[str]:
    """The words that no clip has: neither those that were found nor any further down, with or without the filter."""
    # "1970s" is no typo for "1920s".
    right = range(_SHORTEST_CORRECTED, _LONGEST_CORRECTED + 1)
    words = [w for w in sought if len(w) in right and not any(map(str.isdigit, w))]
    missing = _unseen(rows, words, found)[:_MOST_CORRECTED]
    while missing and (found := rows.anywhere(_match(" ".join(missing)), _FEW)):
        left = _unseen(rows, missing, found)
        if len(left) == len(missing):  # these have them in forms that only LanceDB takes for the same
            there = [word for word in left if rows.anywhere(_match(word), 1)]
            rows.seen.update(map(stem, there))
            return [word for word in left if word not in there]
        missing = left
    return missing


def _unseen(rows: Candidates, words: Sequence[str], found: Sequence[tuple[str, float]]) -> list[str]:
    """The words that no form of is in the documents of what was found, now or in an earlier search."""
    if any(stem(word) not in rows.seen for word in words):
        documents = rows.documents(id for id, _ in found).values()
        rows.seen.update(stem(word) for document in documents for word in document.words)
    return [word for word in words if stem(word) not in rows.seen]


def _corrections(rows: Candidates, missing: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For words that no clip has, the words a letter away that some have, the most frequent first.

    Those with the same first letter alone, where there are any: few typos are in the first letter (Kukich,
    ACM Computing Surveys 1992), and right words are near many others, as "past" is near "fast" and "last".
    """
    corrections: dict[str, tuple[str, ...]] = {}
    for fuzzy in (False, True):
        if not (left := [word for word in missing if word not in corrections]):
            break
        # LanceDB's own search for typos comes second: it knows letters that are in no alphabet here.
        near_words = left if fuzzy else [other for word in left for other in spellings(word)]
        query = _match(" ".join(near_words), fuzziness=int(fuzzy))
        found = rows.with_words(query, _SAMPLE * len(left))
        documents = rows.documents(id for id, _ in found)
        seen = Counter(other for document in documents.values() for other in set(document.words))
        for word in left:
            near = sorted((o for o in seen if is_misspelt(word, o)), key=lambda other: (-seen[other], other))
            alike = [other for other in near if fold(other)[0] == fold(word)[0]]
            if near:
                corrections[word] = tuple((alike or near)[:_CORRECTIONS])
    return corrections
