"""Captions: many wordings of what is true of a piece, and of nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from generation.training.starter.attributes import PieceAttributes, surprising_drums
from generation.training.starter.lexicon import (
    DRUM_NOUNS,
    DRUM_PHRASES,
    GENRE_WORDS,
    INSTRUMENT_WORDS,
    KIT_PHRASES,
    MOOD_PACE_WORDS,
    MOOD_WORDS,
    NOUNS,
    PACE_WORDS,
    TONE_WORDS,
    USES,
)
from generation.training.starter.prompts import HELD_OUT, normalise
from generation.training.starter.theory import TONICS

# `an ambient ambient track`, `with with drums`, `songs song`: two draws that met.
_REPEATED = re.compile(r"\b([a-z0-9-]+)s?,? \1\b")
QUIET_WORDS = ("quiet", "soft", "gentle")
LOUD_WORDS = ("loud", "strong", "big")


class _Words:
    """Draws words for one piece."""

    def __init__(self, piece: PieceAttributes, rng: np.random.Generator) -> None:
        self.piece = piece
        self.rng = rng
        # What nobody would expect is said: plain "techno" must still mean techno with drums.
        self.surprising = surprising_drums(piece)

    def pick(self, choices: Sequence[str]) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def says_drums(self, share: float) -> bool:
        """Whether a caption speaks of the drums: in a share of them, nearly always where they surprise."""
        return self.chance(0.85 if self.surprising else share)

    def mood(self) -> str:
        """The first word of a mood is its plainest, and the one users type most."""
        piece = self.piece
        if self.chance(0.3):
            return piece.mood
        extra = MOOD_PACE_WORDS.get((piece.mood, piece.pace), ())
        return self.pick((*MOOD_WORDS[piece.mood], *extra))

    def pace(self) -> str:
        return (
            self.piece.pace
            if self.piece.pace != "medium" and self.chance(0.4)
            else self.pick(PACE_WORDS[self.piece.pace])
        )

    def tone(self) -> str:
        return self.piece.tone if self.chance(0.35) else self.pick(TONE_WORDS[self.piece.tone])

    def level(self) -> str:
        return self.pick(QUIET_WORDS if self.piece.level == "quiet" else LOUD_WORDS)

    def genre(self) -> str:
        name = self.piece.genre or ""
        return name if self.chance(0.45) else self.pick(GENRE_WORDS[name])

    def instrument(self, name: str) -> str:
        return self.pick(INSTRUMENT_WORDS[name])

    def drums(self) -> str:
        """A phrase that stands at the end: `no drums`, `with heavy drums`."""
        piece = self.piece
        kit = KIT_PHRASES.get((piece.kit or "", piece.drums), ())
        return self.pick(kit) if kit and self.chance(0.3) else self.pick(DRUM_PHRASES[piece.drums])

    def adjectives(self, most: int) -> list[str]:
        """Up to `most` different adjectives, in random order."""
        piece = self.piece
        drawn: list[tuple[float, str]] = [(0.9, "mood")]
        drawn.append((0.35 if piece.pace == "medium" else 1.0, "pace"))
        if piece.tone != "neutral":
            drawn.append((1.0, "tone"))
        if piece.level != "medium":
            drawn.append((0.4, "level"))
        weights = np.array([weight for weight, _ in drawn]) * self.rng.random(len(drawn)) ** 0.5
        order = np.argsort(-weights)[:most]
        made = {"mood": self.mood, "pace": self.pace, "tone": self.tone, "level": self.level}
        words = [made[drawn[int(index)][1]]() for index in order]
        self.rng.shuffle(words)
        return list(dict.fromkeys(words))

    def noun(self) -> str:
        """`music`, `track`; `beat` where there is one."""
        return self.pick(DRUM_NOUNS if self.piece.drums != "none" and self.chance(0.25) else NOUNS)

    def subject(self) -> str:
        """What it is: a genre, an instrument or both, with or without a noun."""
        piece = self.piece
        main = self.instrument(piece.instruments[0])
        if piece.genre is None:
            return main if self.chance(0.55) else f"{main} {self.noun()}"
        roll = self.rng.random()
        if roll < 0.3:
            return self.genre()
        if roll < 0.6:
            return f"{self.genre()} {self.noun()}"
        if roll < 0.8:
            return f"{self.genre()} {main}"
        return main

    def ensemble(self) -> str:
        names = [self.instrument(name) for name in self.piece.instruments]
        names = list(dict.fromkeys(names))[: 1 + int(self.rng.integers(3))]
        return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]

    def tempo(self) -> str:
        bpm = self.piece.tempo_bpm
        return f"{bpm if self.chance(0.6) else 5 * round(bpm / 5)} bpm"

    def key(self) -> str:
        return f"{TONICS[self.piece.tonic]} {self.piece.mode}"


def _short(words: _Words) -> str:
    return " ".join([*words.adjectives(1), words.subject()])


def _two(words: _Words) -> str:
    text = " ".join([*words.adjectives(2), words.subject()])
    return f"{text}, {words.drums()}" if words.says_drums(0.5) else text


def _drummed(words: _Words) -> str:
    phrase = words.drums()
    subject = words.subject() if words.chance(0.6) else " ".join([*words.adjectives(1), words.subject()])
    joined = phrase.startswith(("with", "no ")) or phrase in ("drumless", "beatless")
    if joined and words.piece.drums == "none":
        joints = (
            (", ", ", ", " ", " ", " but ", " and ") if phrase.startswith("no ") else (", ", " ", " but ")
        )
        return f"{subject}{words.pick(joints)}{phrase}"
    if not phrase.startswith("with") and words.chance(0.25):
        return f"{subject} and {phrase}"
    return f"{subject} {phrase}" if phrase.startswith("with") else f"{subject} with {phrase}"


def _list(words: _Words) -> str:
    parts = [words.subject(), *words.adjectives(3)]
    if words.says_drums(0.5):
        parts.append(words.drums())
    if words.chance(0.4):
        parts.append(words.ensemble())
    if words.chance(0.25):
        parts.append(words.tempo())
    if words.chance(0.15):
        parts.append(words.key())
    if words.chance(0.5):
        words.rng.shuffle(parts)
    return ", ".join(dict.fromkeys(parts))


def _sentence(words: _Words) -> str:
    adjectives = words.adjectives(1 + int(words.rng.integers(3)))
    text = (" and " if words.chance(0.4) else " ").join(adjectives[:2])
    text = " ".join([text, *adjectives[2:], words.subject()])
    if not text.endswith((*NOUNS, *DRUM_NOUNS)):
        text = f"{text} {words.noun()}"
    if words.chance(0.5):
        text = (
            f"{text} with {words.ensemble()}" if words.chance(0.7) else f"{text} featuring {words.ensemble()}"
        )
    if words.says_drums(0.45):
        phrase = words.drums()
        text = f"{text}, {phrase}"
    if words.chance(0.15):
        text = f"{text} in {words.key()}"
    if words.chance(0.2):
        text = f"{text} at {words.tempo()}"
    if words.chance(0.25):
        text = f"{text} {words.pick(USES[words.piece.mood])}"
    if words.chance(0.4) and "music" not in text and "beats" not in text:
        article = "an" if text[0] in "aeiou" else "a"
        text = f"{article} {text}"
    return text


def _use(words: _Words) -> str:
    return f"{' '.join(words.adjectives(1))} {words.subject()} {words.pick(USES[words.piece.mood])}"


def _solo(words: _Words) -> str:
    name = words.instrument(words.piece.instruments[0])
    form = words.pick(("solo {}", "{} solo", "{} alone", "only {}", "{} only"))
    text = form.format(name)
    return f"{' '.join(words.adjectives(2))} {text}" if words.chance(0.8) else text


_FORMS = ((_short, 0.2), (_two, 0.2), (_drummed, 0.25), (_list, 0.12), (_sentence, 0.17), (_use, 0.06))
_FORMS_WITH_DRUMS = tuple((form, share) for form, share in _FORMS if form not in (_short, _use))


def _caption(words: _Words) -> str:
    if words.piece.solo and words.chance(0.15):
        text = _solo(words)
    else:
        # The other forms have no place for the drums.
        forms = _FORMS_WITH_DRUMS if words.surprising and words.chance(0.85) else _FORMS
        roll = words.rng.random() * sum(share for _, share in forms)
        form = forms[-1][0]
        for candidate, share in forms:
            roll -= share
            if roll < 0:
                form = candidate
                break
        text = form(words)
    text = _REPEATED.sub(r"\1", text)
    if words.chance(0.12):
        text = text[0].upper() + text[1:]
        if words.chance(0.4):
            text += "."
    return text


def captions_for(attributes: PieceAttributes, rng: np.random.Generator, count: int) -> list[str]:
    """Write `count` different captions of a piece: from two words to about 25, each of them true.

    A wording of the held-out prompts is never used.

    Args:
        attributes: of the piece.
        rng: source of every choice.
        count: how many.
    """
    words = _Words(attributes, rng)
    captions: dict[str, None] = {}
    while len(captions) < count:
        caption = _caption(words)
        if normalise(caption) not in HELD_OUT:
            captions[caption] = None
    return list(captions)
