"""Questions to the clips of the evaluation, each with the clips that answer it, graded where several do."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from indexing.evaluation.text import questions
from indexing.evaluation.text.corpus import EvalClip, load_concepts
from indexing.evaluation.text.fresh import fresh_questions

CLASSES: Final = ("paraphrase", "keyword", "phrase", "typo", "mood", "negation", "lyrics", "sound")
# Halves of the first questions, one of them for tuning; and questions that were made after the tuning was done.
PARTS: Final = ("held-out", "tuning", "fresh")
_SEED: Final = 8128
_WANTED: Final = 200  # queries of a class, where there can be so many
_BROADEST: Final = 40  # a question that more clips answer says nothing of the order


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalQuery:
    """A question.

    Attributes:
        words: What somebody would type.
        kind: One of `CLASSES`.
        gold: Grades, above 0 up to 1, by the ids of the clips that answer it.
        part: One of `PARTS`; only `tuning` may be looked at while the search is built.
    """

    words: str
    kind: str
    gold: Mapping[str, float]
    part: str


def load_queries(clips: Sequence[EvalClip]) -> list[EvalQuery]:
    """The same questions in the same order for the same clips."""
    concepts = load_concepts()
    makers = {
        "paraphrase": questions.paraphrases,
        "keyword": questions.keywords,
        "phrase": questions.phrases,
        "typo": questions.typos,
        "mood": questions.moods,
        "negation": questions.negations,
        "lyrics": questions.lyrics,
        "sound": questions.sounds,
    }
    queries = []
    for kind in CLASSES:
        rng = random.Random(f"{_SEED}-{kind}")  # noqa: S311
        made = {words: gold for words, gold in makers[kind](rng, clips, concepts) if _allowed(kind, gold)}
        order = rng.sample(sorted(made), min(len(made), _WANTED))
        queries += [
            EvalQuery(words=words, kind=kind, gold=made[words], part="held-out" if place % 2 else "tuning")
            for place, words in enumerate(order)
        ]
    fresh = fresh_questions(clips, concepts, [query.words for query in queries], _allowed)
    return queries + [
        EvalQuery(words=words, kind=kind, gold=gold, part="fresh") for kind, words, gold in fresh
    ]


def _allowed(kind: str, gold: Mapping[str, float]) -> bool:
    return 0 < len(gold) and (len(gold) <= _BROADEST or kind == "mood")
