"""Questions to the clips of the evaluation, each with the clips that answer it, graded where several do."""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from indexing.evaluation.text.corpus import EvalClip, load_concepts

CLASSES: Final = ("paraphrase", "keyword", "phrase", "typo", "mood", "negation", "lyrics", "sound")
_SEED: Final = 4711
_WANTED: Final = 70  # queries of a class, where there can be so many
_BROADEST: Final = 40  # a question that more clips answer says nothing of the order
_WORD = re.compile(r"[a-z0-9']+")
_SMALL = frozenset(
    "a an and the of in on for to with without no not by at like over its it this until her his".split()
)


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
    makers: dict[str, Callable[..., Iterable[tuple[str, dict[str, float]]]]] = {
        "paraphrase": _paraphrases,
        "keyword": _keywords,
        "phrase": _phrases,
        "typo": _typos,
        "mood": _moods,
        "negation": _negations,
        "lyrics": _lyrics,
        "sound": _sounds,
    }
    queries = []
    for kind in CLASSES:
        rng = random.Random(f"{_SEED}-{kind}")  # noqa: S311
        made = {
            words: gold
            for words, gold in makers[kind](rng, clips, concepts)
            if 0 < len(gold) <= _BROADEST or kind == "mood"
        }
        order = rng.sample(sorted(made), min(len(made), _WANTED if kind != "paraphrase" else 2 * _WANTED))
        queries += [
            EvalQuery(words=words, kind=kind, gold=made[words], tuning=place % 2 == 0)
            for place, words in enumerate(order)
        ]
    return queries


def _paraphrases(
    rng: random.Random, clips: Sequence[EvalClip], concepts: Any
) -> Iterable[tuple[str, dict[str, float]]]:
    for clip in clips:
        if clip.paraphrase:
            yield clip.paraphrase, {clip.id: 1.0}
        elif clip.prompt and rng.random() < 0.4:

            def other(forms: Sequence[str], clip: EvalClip = clip) -> str:
                return rng.choice([form for form in forms if form not in clip.mentions] or list(forms))

            melodic = sorted(i for i in clip.instruments if i not in concepts["percussion"])
            played = " and ".join(other(concepts["instruments"][name]) for name in melodic)
            genre = other(concepts["genres"][clip.genre]["forms"])
            mood = other(concepts["moods"][clip.moods[0]]["forms"])
            era, use = f"{clip.era} " if clip.era else "", f", {clip.use}" if clip.use else ""
            words = rng.choice(
                (
                    f"{era}{genre} played on {played}, {mood} feeling{use}",
                    f"{played} in some {mood} {era}{genre}{use}",
                )
            )
            same = {
                c.id: 0.5
                for c in clips
                if c.genre == clip.genre and set(melodic) <= c.instruments and set(clip.moods) <= set(c.moods)
            }
            yield words, same | {clip.id: 1.0}


def _keywords(
    rng: random.Random, clips: Sequence[EvalClip], concepts: Any
) -> Iterable[tuple[str, dict[str, float]]]:
    def form(forms: Sequence[str]) -> str:
        return forms[0] if rng.random() < 0.6 else rng.choice(forms)

    for name, forms in concepts["instruments"].items():
        yield form(forms), _fit(clips, lambda c, name=name: name in c.instruments)
    for name, genre in concepts["genres"].items():
        yield form(genre["forms"]), _fit(clips, lambda c, name=name: c.genre == name)
    for _ in range(60):
        clip = rng.choice(clips)
        name = rng.choice(sorted(clip.instruments & concepts["instruments"].keys()) or ["piano"])
        if rng.random() < 0.5 and clip.genre in concepts["genres"]:
            words = f"{form(concepts['genres'][clip.genre]['forms'])} {form(concepts['instruments'][name])}"
            yield (
                words,
                _fit(clips, lambda c, name=name, clip=clip: name in c.instruments and c.genre == clip.genre),
            )
        elif clip.moods[0] in concepts["moods"]:
            words = f"{form(concepts['moods'][clip.moods[0]]['forms'])} {form(concepts['instruments'][name])}"
            yield (
                words,
                _fit(
                    clips, lambda c, name=name, clip=clip: name in c.instruments and clip.moods[0] in c.moods
                ),
            )
    for clip in clips:
        if clip.title and rng.random() < 0.5:
            yield clip.title.lower(), {clip.id: 1.0}


def _phrases(
    rng: random.Random, clips: Sequence[EvalClip], concepts: Any
) -> Iterable[tuple[str, dict[str, float]]]:
    for clip in rng.sample(list(clips), 150):
        parts = [part.split() for part in re.split(r"[,.:|]+", clip.text.lower()) if len(part.split()) >= 2]
        if not parts:
            continue
        part = rng.choice(parts)
        length = min(len(part), rng.choice((2, 2, 3, 4)))
        start = rng.randrange(len(part) - length + 1)
        phrase = " ".join(part[start : start + length])
        if sum(word not in _SMALL for word in phrase.split()) < 2:
            continue
        holds = [c for c in clips if _spaced(phrase) in _spaced(c.text)]
        if rng.random() < 0.33:
            rest = sorted({word for other in parts for word in other} - set(phrase.split()) - _SMALL)
            if rest:
                word = rng.choice(rest)
                gold = {c.id: 1.0 if _spaced(word) in _spaced(c.text) else 0.5 for c in holds}
                yield f'"{phrase}" {word}', gold
                continue
        yield f'"{phrase}"', {c.id: 1.0 for c in holds}


def _typos(
    rng: random.Random, clips: Sequence[EvalClip], concepts: Any
) -> Iterable[tuple[str, dict[str, float]]]:
    for clip in rng.sample(list(clips), 150):
        content = [
            w for w in dict.fromkeys(_WORD.findall(clip.text.lower())) if w not in _SMALL and len(w) > 2
        ]
        long = [word for word in content if len(word) >= 5 and word.isalpha()]
        if not long or len(content) < 2:
            continue
        wrong = rng.choice(long)
        others = [word for word in content if word != wrong]
        chosen = [wrong, *rng.sample(others, min(len(others), rng.choice((0, 1, 1, 2))))]
        gold = {c.id: 1.0 for c in clips if all(_spaced(word) in _spaced(c.text) for word in chosen)}
        chosen[0] = misspell(rng, wrong)
        chosen.sort(key=lambda _: rng.random())
        yield " ".join(chosen), gold


def misspell(rng: random.Random, word: str) -> str:
    """A word with one letter left out, doubled up, changed, or swapped with the next."""
    place = rng.randrange(1, len(word) - 1)
    letter = rng.choice("abcdefghijklmnopqrstuvwxyz")
    made = rng.choice(
        (
            word[:place] + word[place + 1 :],
            word[:place] + letter + word[place:],
            word[:place] + letter + word[place + 1 :],
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
        )
    )
    return made if made != word else misspell(rng, word)


def _moods(
    rng: random.Random, clips: Sequence[EvalClip], concepts: Any
) -> Iterable[tuple[str, dict[str, float]]]:
    for name, mood in concepts["moods"].items():
        near = set(mood["near"])
        gold = {
            c.id: 1.0 if name in c.moods else 0.5 for c in clips if name in c.moods or near & set(c.moods)
        }
        for words in mood["asks"]:
            yield words, gold


def _negations(
    rng: random.Random, clips: Sequence[EvalClip], concepts: Any
) -> Iterable[tuple[str, dict[str, float]]]:
    shapes = ("{} without {}", "{}, no {}", "{} but no {}", "{} with no {}")
    for name, forms in concepts["instruments"].items():
        if name in concepts["percussion"]:
            continue
        beat = rng.choice(("drums", "drums", "percussion", "beat"))
        yield (
            rng.choice(shapes).format(forms[0], beat),
            _fit(clips, lambda c, n=name: n in c.instruments and c.drums is False),
        )
        beside = sorted({i for c in clips if name in c.instruments for i in c.instruments} - {name})
        if beside:
            other = rng.choice(beside)
            yield (
                rng.choice(shapes).format(forms[0], concepts["instruments"].get(other, [other])[0]),
                _fit(clips, lambda c, n=name, o=other: n in c.instruments and o not in c.instruments),
            )
    for name, genre in concepts["genres"].items():
        yield (
            rng.choice(shapes).format(genre["forms"][0], "drums"),
            _fit(clips, lambda c, n=name: c.genre == n and c.drums is False),
        )
        mood = rng.choice(sorted({m for c in clips if c.genre == name for m in c.moods}))
        yield (
            rng.choice(("{} but not {}", "{}, not {}", "not {1} {0}")).format(genre["forms"][0], mood),
            _fit(clips, lambda c, n=name, m=mood: c.genre == n and m not in c.moods),
        )


def _lyrics(
    rng: random.Random, clips: Sequence[EvalClip], concepts: Any
) -> Iterable[tuple[str, dict[str, float]]]:
    sung = {clip.lyric: clip.id for clip in clips if clip.lyric is not None}
    for number, (_, words, meaning) in enumerate(concepts["lyrics"]):
        yield words, {sung[number]: 1.0}
        yield f"a song about {meaning}" if rng.random() < 0.5 else meaning, {sung[number]: 1.0}


def _sounds(
    rng: random.Random, clips: Sequence[EvalClip], concepts: Any
) -> Iterable[tuple[str, dict[str, float]]]:
    def tempo(low: float, high: float) -> Callable[[EvalClip], bool]:
        return lambda c: c.sound["tempo_bpm"] is not None and low <= c.sound["tempo_bpm"] <= high

    speeds = {"slow": tempo(0, 76), "fast": tempo(132, 999)}
    for name in (*concepts["instruments"], *concepts["genres"]):
        forms = concepts["instruments"].get(name) or concepts["genres"][name]["forms"]
        word = rng.choice(("slow", "fast", "minor", "major", "bpm"))
        has = lambda c, n=name: n in c.instruments or c.genre == n  # noqa: E731
        if word in speeds:
            yield f"{word} {forms[0]}", _fit(clips, lambda c, h=has, w=word: h(c) and speeds[w](c))
        elif word == "bpm":
            known = [round(c.sound["tempo_bpm"]) for c in clips if has(c) and c.sound["tempo_bpm"]]
            if known:
                bpm = rng.choice(known)
                gold = _fit(clips, lambda c, h=has: h(c) and c.sound["tempo_bpm"] is not None)
                yield (
                    f"{bpm} bpm {forms[0]}",
                    {
                        c.id: 1.0 if tempo(bpm - 1, bpm + 1)(c) else 0.4
                        for c in clips
                        if c.id in gold and tempo(bpm - 6, bpm + 6)(c)
                    },
                )
        else:
            keys = [c.sound["key"] for c in clips if has(c) and (c.sound["key"] or "").endswith(word)]
            if keys:
                key = rng.choice(keys)
                yield (
                    f"{forms[0]} in {key}",
                    _fit(clips, lambda c, h=has, k=key: h(c) and c.sound["key"] == k),
                )


def _fit(clips: Sequence[EvalClip], fits: Callable[[EvalClip], bool]) -> dict[str, float]:
    return {clip.id: 1.0 for clip in clips if fits(clip)}


def _spaced(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.lower()))} "
