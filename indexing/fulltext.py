"""A query's words looked up in LanceDB's full text index: phrases, typos, and what is not wanted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from indexing.keywords import STOP_WORDS, Document, Words, is_misspelt, misspellings, stem

if TYPE_CHECKING:
    from lancedb.expr import Expr
    from lancedb.query import FullTextQuery

    from indexing.store import ClipIndex

# What a clip's match is worth that has something unwanted, or that says that it has not got it.
UNWANTED_FACTOR: Final = 0.25
DENIED_FACTOR: Final = 1.2
# What a corrected word is worth beside an exact one.
CORRECTED_WORTH: Final = 0.8
# LanceDB may miss the best rows when it is asked for few.
_LEAST: Final = 100
_SHORTEST_CORRECTED: Final = 4
_MOST_CORRECTED: Final = 6
_CORRECTIONS: Final = 4
_SAMPLE: Final = 40
_COLUMN: Final = "document"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeywordMatches:
    """What a query's words found.

    Attributes:
        ranking: Ids, best first, with their BM25.
        corrections: For words that no clip has, those a letter away that some have.
    """

    ranking: tuple[tuple[str, float], ...]
    corrections: Mapping[str, tuple[str, ...]]

    def worth(self, words: Words, document: Document) -> float:
        """How much of the query a document has, 0 to 1; a corrected word counts for less than an exact one."""
        if not words.sought:
            return 0.0
        return sum(self._found(word, document) for word in words.sought) / len(words.sought)

    def matched(self, words: Words, document: Document) -> tuple[str, ...]:
        """The query's words that a document has, corrected ones with what they were taken for."""
        found = []
        for word in words.sought:
            if document.says(word):
                found.append(word)
            else:
                taken = next(
                    (other for other in self.corrections.get(word, ()) if document.says(other)), None
                )
                found += [f"{word} -> {taken}"] if taken else []
        return tuple(found)

    def _found(self, word: str, document: Document) -> float:
        if document.says(word):
            return 1.0
        return (
            CORRECTED_WORTH if any(document.says(other) for other in self.corrections.get(word, ())) else 0.0
        )


def find_words(index: "ClipIndex", words: Words, *, where: "Expr | None", limit: int) -> KeywordMatches:
    """The clips that have a query's words, by BM25.

    Every phrase must be there, and any of the other words; a word that no clip has stands for those that differ
    from it by one letter. Clips with something unwanted come after others that match as well.

    Raises:
        IndexingError: The index cannot be read.
    """
    sought = [word for word in words.wanted if word not in STOP_WORDS] or list(words.wanted)
    limit = max(limit, _LEAST)
    found = _ask(index, _query(words.phrases, sought), where, limit)
    documents = read_documents(index, [id for id, _ in found])
    known = set().union(*(map(stem, document.words) for document in documents.values()))
    missing = [word for word in sought if stem(word) not in known and len(word) >= _SHORTEST_CORRECTED]
    corrections = {
        word: some for word in missing[:_MOST_CORRECTED] if (some := _corrections(index, word, where))
    }
    if corrections:
        corrected = [other for word in sought for other in corrections.get(word, (word,))]
        found = _ask(index, _query(words.phrases, corrected), where, limit)
        documents |= read_documents(index, [id for id, _ in found if id not in documents])
    scored = [(id, score, score * fitness(words, documents.get(id))) for id, score in found]
    scored.sort(key=lambda row: (-row[2], row[0]))
    return KeywordMatches(ranking=tuple((id, score) for id, score, _ in scored), corrections=corrections)


def read_documents(index: "ClipIndex", ids: Sequence[str]) -> dict[str, Document]:
    """The documents of some clips by id; of those that are not there, none."""
    if not ids:
        return {}
    from lancedb.expr import col

    columns = index.columns(["id", _COLUMN], where=col("id").isin(list(ids)))
    return {id: Document(text or "") for id, text in zip(columns["id"], columns[_COLUMN], strict=True)}


def fitness(words: Words, document: Document | None) -> float:
    """A factor by what is not wanted: less for a clip that has it, more for one that says it has not."""
    if document is None:
        return 1.0
    factor = 1.0
    for run in words.unwanted:
        if document.says_all(run):
            factor *= UNWANTED_FACTOR
        elif document.denies(run):
            factor *= DENIED_FACTOR
    # "No drums" has the word and not the thing.
    if any(
        document.denies([word]) and not document.says(word) for word in words.sought if not words.unwanted
    ):
        factor *= UNWANTED_FACTOR
    return factor


def _match(text: str, **options: int) -> "FullTextQuery":
    from lancedb.query import MatchQuery

    make: Any = MatchQuery  # its defaults are declared in a way that type checkers do not see
    query: FullTextQuery = make(text, _COLUMN, **options)
    return query


def _any_of(*queries: "FullTextQuery") -> "FullTextQuery":
    from lancedb.query import BooleanQuery, Occur

    return BooleanQuery([(Occur.SHOULD, query) for query in queries])


def _query(phrases: Iterable[Sequence[str]], wanted: Sequence[str]) -> "FullTextQuery | None":
    from lancedb.query import BooleanQuery, Occur, PhraseQuery

    phrase: Any = PhraseQuery
    parts: list[tuple[Occur, FullTextQuery]] = [
        (Occur.MUST, phrase(" ".join(words), _COLUMN)) for words in phrases
    ]
    if wanted:
        parts.append((Occur.SHOULD, _match(" ".join(wanted))))
    return BooleanQuery(parts) if parts else None


def _corrections(index: "ClipIndex", word: str, where: "Expr | None") -> tuple[str, ...]:
    """The words a letter away from one that some clips have, the most frequent first."""
    near = _any_of(_match(word, fuzziness=1, max_expansions=100), _match(" ".join(misspellings(word))))
    # Stems are compared, and a typo in an ending leaves stems further apart than the words are.
    wide = _match(word, fuzziness=2, max_expansions=300)
    for query in (near, wide):
        ids = [id for id, _ in _ask(index, query, where, _SAMPLE)]
        seen = Counter(
            other
            for document in read_documents(index, ids).values()
            for other in set(document.words)
            if is_misspelt(word, other)
        )
        if seen:
            return tuple(sorted(seen, key=lambda other: (-seen[other], other))[:_CORRECTIONS])
    return ()


def _ask(
    index: "ClipIndex", query: "FullTextQuery | None", where: "Expr | None", limit: int
) -> list[tuple[str, float]]:
    return [] if query is None else index.keyword(query, where=where, limit=limit)
