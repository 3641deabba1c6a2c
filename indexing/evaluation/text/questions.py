"""Makers of questions, a kind each: words and the grades of the clips that answer them, by id."""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final

from indexing.evaluation.text.corpus import EvalClip

Clips = Sequence[EvalClip]
Questions = Iterable[tuple[str, dict[str, float]]]
Fact = Callable[[EvalClip], bool]

_WORD: Final = re.compile(r"[a-z0-9']+")
_SMALL: Final = frozenset(
    "a an and the of in on for to with without no not by at like over its it this until her his".split()
)


def paraphrases(rng: random.Random, clips: Clips, concepts: Any) -> Questions:
    """Captions in other words, written by hand or from the lists' other forms."""
    for clip in clips:
        if clip.paraphrase:
            yield clip.paraphrase, {clip.id: 1.0}
        elif clip.prompt:

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


def keywords(rng: random.Random, clips: Clips, concepts: Any) -> Questions:
    """Instruments, genres, moods, alone and in twos, whichever way a caption puts them; titles."""

    def form(forms: Sequence[str]) -> str:
        return forms[0] if rng.random() < 0.6 else rng.choice(forms)

    for name, forms in concepts["instruments"].items():
        yield form(forms), _fit(clips, _plays(name))
    for name, genre in concepts["genres"].items():
        yield form(genre["forms"]), _fit(clips, _is(name))
    for _ in range(240):
        clip = rng.choice(clips)
        name = rng.choice(sorted(clip.instruments & concepts["instruments"].keys()) or ["piano"])
        if rng.random() < 0.5 and clip.genre in concepts["genres"]:
            first, fits = form(concepts["genres"][clip.genre]["forms"]), _is(clip.genre)
        elif clip.moods[0] in concepts["moods"]:
            first, fits = form(concepts["moods"][clip.moods[0]]["forms"]), _feels(clip.moods[0])
        else:
            continue
        yield f"{first} {form(concepts['instruments'][name])}", _fit(clips, _plays(name), fits)
    for clip in clips:
        if clip.title and rng.random() < 0.5:
            yield clip.title.lower(), {clip.id: 1.0}


def phrases(rng: random.Random, clips: Clips, concepts: Any) -> Questions:
    """Words of a clip in quotes, sometimes with another of its words behind."""
    for clip in rng.sample(list(clips), len(clips)):
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


def typos(rng: random.Random, clips: Clips, concepts: Any) -> Questions:
    """Words of a clip, one of them misspelt by a letter."""
    for clip in rng.sample(list(clips), len(clips)):
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


def moods(rng: random.Random, clips: Clips, concepts: Any) -> Questions:
    """Feelings and occasions, none of which a caption names; a neighbouring mood counts half."""
    for name, mood in concepts["moods"].items():
        near = set(mood["near"])
        gold = {
            c.id: 1.0 if name in c.moods else 0.5 for c in clips if name in c.moods or near & set(c.moods)
        }
        for words in mood["asks"]:
            yield words, gold


def negations(rng: random.Random, clips: Clips, concepts: Any) -> Questions:
    """What there is to be and what not: an instrument without drums, a genre without a mood."""
    shapes = ("{} without {}", "{}, no {}", "{} but no {}", "{} with no {}")
    for name, forms in concepts["instruments"].items():
        if name in concepts["percussion"]:
            continue
        for beat in rng.sample(("drums", "percussion", "beat"), 2):
            yield rng.choice(shapes).format(forms[0], beat), _fit(clips, _plays(name), _drumless)
        beside = sorted({i for c in clips if name in c.instruments for i in c.instruments} - {name})
        for other in rng.sample(beside, min(len(beside), 2)):
            unwanted = concepts["instruments"].get(other, [other])[0]
            gold = _fit(clips, _plays(name), _but(_plays(other)))
            yield rng.choice(shapes).format(forms[0], unwanted), gold
    for name, genre in concepts["genres"].items():
        yield rng.choice(shapes).format(genre["forms"][0], "drums"), _fit(clips, _is(name), _drumless)
        present = sorted({m for c in clips if c.genre == name for m in c.moods})
        for mood in rng.sample(present, min(len(present), 3)):
            words = rng.choice(("{} but not {}", "{}, not {}", "not {1} {0}"))
            yield words.format(genre["forms"][0], mood), _fit(clips, _is(name), _but(_feels(mood)))


def lyrics(rng: random.Random, clips: Clips, concepts: Any) -> Questions:
    """What is sung, by some of its words and by what it is about."""
    sung = {clip.lyric: clip.id for clip in clips if clip.lyric is not None}
    for number, (_, words, meaning) in enumerate(concepts["lyrics"]):
        yield words, {sung[number]: 1.0}
        yield f"a song about {meaning}" if rng.random() < 0.5 else meaning, {sung[number]: 1.0}


def sounds(rng: random.Random, clips: Clips, concepts: Any) -> Questions:
    """What was measured: slow and fast, tempos (near ones count for less), keys."""
    for name in (*concepts["instruments"], *concepts["genres"]):
        word = (concepts["instruments"].get(name) or concepts["genres"][name]["forms"])[0]
        has = _is(name) if name in concepts["genres"] else _plays(name)
        fitting = [clip for clip in clips if has(clip)]
        for kind in rng.sample(("slow", "fast", "minor", "major", "bpm", "bpm"), 4):
            if kind in ("minor", "major"):
                keys = sorted({c.sound["key"] for c in fitting if (c.sound["key"] or "").endswith(kind)})
                for key in rng.sample(keys, min(1, len(keys))):
                    yield f"{word} in {key}", {c.id: 1.0 for c in fitting if c.sound["key"] == key}
            elif kind == "bpm":
                tempos = sorted({round(c.sound["tempo_bpm"]) for c in fitting if c.sound["tempo_bpm"]})
                for bpm in rng.sample(tempos, min(1, len(tempos))):
                    near = _fit(fitting, _tempo(bpm - 6, bpm + 6))
                    yield (
                        f"{bpm} bpm {word}",
                        dict.fromkeys(near, 0.4) | _fit(fitting, _tempo(bpm - 1, bpm + 1)),
                    )
            else:
                yield f"{kind} {word}", _fit(fitting, _tempo(0, 76) if kind == "slow" else _tempo(132, 999))


def _plays(name: str) -> Fact:
    return lambda clip: name in clip.instruments


def _is(genre: str) -> Fact:
    return lambda clip: clip.genre == genre


def _feels(mood: str) -> Fact:
    return lambda clip: mood in clip.moods


def _drumless(clip: EvalClip) -> bool:
    return clip.drums is False


def _but(fact: Fact) -> Fact:
    return lambda clip: not fact(clip)


def _tempo(low: float, high: float) -> Fact:
    return lambda clip: clip.sound["tempo_bpm"] is not None and low <= clip.sound["tempo_bpm"] <= high


def _fit(clips: Clips, *facts: Fact) -> dict[str, float]:
    return {clip.id: 1.0 for clip in clips if all(fact(clip) for fact in facts)}


@cache
def _spaced(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.lower()))} "
