"""A third part of the questions, made after the other two: by hand, and composed from another seed."""

import csv
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, Final

from indexing.evaluation.text import questions
from indexing.evaluation.text.corpus import DATA, EvalClip

_SEED: Final = 65_537
_MAKERS: Final = {
    "paraphrase": (questions.paraphrases, 40),
    "keyword": (questions.keywords, 40),
    "phrase": (questions.phrases, 60),
    "typo": (questions.typos, 60),
    "negation": (questions.negations, 40),
    "sound": (questions.sounds, 40),
}
_SHAPING: Final = frozenset({"a", "an", "the", "in", "with", "without", "no", "not", "but"})
_MEASURED: Final = {"bpm": "tempo_bpm", "energy": "energy"}
Question = tuple[str, str, dict[str, float]]
Allowed = Callable[[str, dict[str, float]], bool]


def fresh_questions(
    clips: Sequence[EvalClip], concepts: Any, asked: Collection[str], allowed: Allowed
) -> list[Question]:
    """Kind, words and graded answers of questions that were not asked before in other shape.

    Args:
        clips: Of the evaluation.
        concepts: The lists that captions are composed from.
        asked: The words of the other parts' questions.
        allowed: Whether a question of a kind may have these answers.
    """
    known = {_shape(words) for words in asked}
    found: list[Question] = []

    def take(made: Iterator[Question], most: int | None = None) -> None:
        for kind, words, gold in made:
            if most == 0:
                return
            if allowed(kind, gold) and _shape(words) not in known:
                known.add(_shape(words))
                found.append((kind, words, gold))
                most = None if most is None else most - 1

    take(_written(clips, concepts))
    for kind, (make, wanted) in _MAKERS.items():
        rng = random.Random(f"{_SEED}-{kind}")  # noqa: S311
        made = dict(make(rng, clips, concepts))
        take(((kind, words, made[words]) for words in rng.sample(sorted(made), len(made))), wanted)
    return found


def _shape(words: str) -> frozenset[str]:
    return frozenset(words.lower().replace(",", " ").split()) - _SHAPING


def _written(clips: Sequence[EvalClip], concepts: Any) -> Iterator[Question]:
    with (DATA / "fresh.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            grades = [partial(_grade, concepts, fact) for fact in row["answers"].split(";")]
            gold = {clip.id: min(grade(clip) for grade in grades) for clip in clips}
            yield row["kind"], row["words"], {id: grade for id, grade in gold.items() if grade}


def _grade(concepts: Any, fact: str, clip: EvalClip) -> float:
    """How far a fact as `fresh.tsv` writes it, `plays:organ|piano` or `!drums`, is true of a clip, 0 to 1."""
    if fact.startswith("!"):
        return 1.0 - _grade(concepts, fact[1:], clip)
    name, _, value = fact.partition(":")
    if name in _MEASURED:
        low, high = map(float, value.split("-"))
        measured = clip.sound[_MEASURED[name]]
        return float(measured is not None and low <= measured <= high)
    if name == "mood":  # a neighbouring mood counts half, as in the other parts
        near = set(concepts["moods"][value]["near"])
        return 1.0 if value in clip.moods else 0.5 if near & set(clip.moods) else 0.0
    true = {
        "is": clip.genre == value,
        "feels": value in clip.moods,
        "plays": bool(clip.instruments & set(value.split("|"))),
        "key": clip.sound["key"] == value,
        "drums": clip.drums is True,
        "drumless": clip.drums is False,
        "lyric": str(clip.lyric) == value,
    }
    return float(true.get(name, clip.id == name))
