"""Questions to the clips of the evaluation, each with the clips that answer it, graded where several do."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from indexing.evaluation.text import questions
from indexing.evaluation.text.corpus import EvalClip, load_concepts

CLASSES: Final = ("paraphrase", "keyword", "phrase", "typo", "mood", "negation", "lyrics", "sound")
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
        tuning: Whether it is of the half that may be looked at while the search is built.
    """

    words: str
    kind: str
    gold: Mapping[str, float]
    tuning: bool


def load_queries(clips: Sequence[EvalClip]) -> list[EvalQuery]:
    """The same questions in the same order for the same clips; half of each class is for tuning."""
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
        made = {
            words: gold
            for words, gold in makers[kind](rng, clips, concepts)
            if 0 < len(gold) and (len(gold) <= _BROADEST or kind == "mood")
        }
        order = rng.sample(sorted(made), min(len(made), _WANTED))
        queries += [
            EvalQuery(words=words, kind=kind, gold=made[words], tuning=place % 2 == 0)
            for place, words in enumerate(order)
        ]
    return queries
