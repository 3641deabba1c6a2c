"""What a piece is: the attributes that are chosen first, then composed, then said in its captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generation.training.starter.recipes import GENRES, MOODS, Genre, Mood

PACES = ("slow", "medium", "fast")
TONES = ("dark", "neutral", "bright")
DRUMS = ("none", "light", "heavy")
AGAINST_THE_GRAIN = 0.3
"""Share of pieces whose drums are chosen whatever their style and mood are."""
_SURPRISING = 0.35
TEMPO_RANGES = {"slow": (54.0, 80.0), "medium": (88.0, 116.0), "fast": (128.0, 178.0)}

# Named more than once: what people ask for most.
LEADS = ("piano", "piano", "piano", "electric piano", "acoustic guitar", "acoustic guitar", "electric guitar",
         "strings", "strings", "violin", "flute", "flute", "brass", "trumpet", "organ", "bell", "music box",
         "marimba", "harp", "synth lead", "synth lead", "square lead", "choir", "synth pad")  # fmt: skip
BACKINGS = ("piano", "piano", "electric piano", "acoustic guitar", "strings", "organ", "harp", "synth",
            "synth pad", "choir")  # fmt: skip
BASSES = ("acoustic bass", "electric bass", "synth bass")


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceAttributes:
    """What can be said of a piece.

    Attributes:
        genre: a key of `GENRES`, or None for a piece of no style.
        mood: a key of `MOODS`.
        pace: `slow`, `medium` or `fast`; decides tempo and how many notes there are.
        tempo_bpm: quarter notes a minute, a whole number.
        tone: `dark`, `neutral` or `bright`: the timbre, not the mood.
        drums: `none`, `light` or `heavy`.
        kit: which drums, or None.
        lead: instrument of the melody, or None if there is no melody.
        backing: instrument of the chords, or None if the melody is alone.
        bass: instrument of the bass line, or None.
        tonic: pitch class of the key, 0 is C.
        mode: `major` or `minor`.
        level: `quiet`, `medium` or `loud`.
        meter: beats a bar, 3 or 4.
    """

    genre: str | None
    mood: str
    pace: str
    tempo_bpm: int
    tone: str
    drums: str
    kit: str | None
    lead: str | None
    backing: str | None
    bass: str | None
    tonic: int
    mode: str
    level: str
    meter: int

    @property
    def instruments(self) -> tuple[str, ...]:
        """The pitched instruments that are heard, the leading one first, each once."""
        heard = (self.lead, self.backing, self.bass)
        return tuple(dict.fromkeys(name for name in heard if name is not None))

    @property
    def solo(self) -> bool:
        """Whether one instrument plays alone."""
        return len(self.instruments) == 1 and self.drums == "none"


def _weighted(names: Sequence[str], weights: Sequence[float], rng: np.random.Generator) -> str:
    shares = np.asarray(weights, dtype=np.float64)
    return names[int(np.searchsorted(np.cumsum(shares), rng.random() * shares.sum(), side="right"))]


def _pick(names: Sequence[str], rng: np.random.Generator) -> str:
    return names[int(rng.integers(len(names)))]


def _blend(mood: Sequence[float], genre: Sequence[float]) -> list[float]:
    # The genre only leans: every word must be heard apart from the styles it is common in.
    return [m * (g + 0.12) for m, g in zip(mood, genre, strict=True)]


def expects_drums(genre: str | None, mood: str) -> float:
    """How likely a piece of this style and mood has drums of any kind when nothing is said of them, 0 to 1."""
    weights = _weights("drums", GENRES[genre] if genre else None, MOODS[mood])
    return 1 - weights[0] / sum(weights)


def surprising_drums(piece: PieceAttributes) -> bool:
    """Whether nobody would expect a piece's drums, or that it has none, when nothing is said of them."""
    expected = expects_drums(piece.genre, piece.mood)
    return (expected if piece.drums != "none" else 1 - expected) < _SURPRISING


def _tempo(pace: str, genre: Genre | None, rng: np.random.Generator) -> int:
    low, high = TEMPO_RANGES[pace]
    if genre is not None:
        inside = max(low, genre.tempo[0]), min(high, genre.tempo[1])
        if inside[0] < inside[1]:
            low, high = inside
    return int(rng.integers(round(low), round(high) + 1))


def _choose_instruments(
    genre: Genre | None, rng: np.random.Generator
) -> tuple[str | None, str | None, str | None]:
    if genre is not None and rng.random() < 0.95:
        lead: str | None = _pick(genre.leads, rng)
        backing: str | None = _pick(genre.backings, rng)
        bass: str | None = _pick(genre.basses, rng) if genre.basses else None
        without_melody, without_bass = genre.without_melody, 0.15
    else:
        lead, backing, bass = _pick(LEADS, rng), _pick(BACKINGS, rng), _pick(BASSES, rng)
        without_melody, without_bass = 0.15, 0.5
    if lead in BACKINGS and rng.random() < 0.45:
        backing = lead
    elif genre is None and rng.random() < 0.2:
        backing = None
    if backing is not None and rng.random() < without_melody:
        lead = None
    if rng.random() < without_bass or backing is None:
        bass = None
    return lead, backing, bass


def _weights(name: str, genre: Genre | None, mood: Mood) -> list[float]:
    moods: Mapping[str, Sequence[float]] = {"pace": mood.pace, "tone": mood.tone, "drums": mood.drums}
    if genre is None:
        return list(moods[name])
    genres: Mapping[str, Sequence[float]] = {"pace": genre.pace, "tone": genre.tone, "drums": genre.drums}
    return _blend(moods[name], genres[name])


def choose_attributes(rng: np.random.Generator) -> PieceAttributes:
    """Choose a piece: a genre or none, a mood, then everything else with their leanings."""
    genre_name = None if rng.random() < 0.3 else _pick(tuple(GENRES), rng)
    genre = GENRES[genre_name] if genre_name else None
    mood_name = _pick(genre.moods if genre and rng.random() < 0.8 else tuple(MOODS), rng)
    mood = MOODS[mood_name]
    pace = _weighted(PACES, _weights("pace", genre, mood), rng)
    tone = _weighted(TONES, _weights("tone", genre, mood), rng)
    # "No drums" must mean something under "techno" too: without pieces against the grain it does not.
    against = rng.random() < AGAINST_THE_GRAIN
    drums = _weighted(DRUMS, (0.6, 0.15, 0.25) if against else _weights("drums", genre, mood), rng)
    lead, backing, bass = _choose_instruments(genre, rng)
    kit = None
    if drums != "none":
        kit = _pick(genre.kits if genre else ("acoustic", "electronic", "soft"), rng)
        if drums == "heavy" and kit == "soft":
            kit = "acoustic"
    return PieceAttributes(
        genre=genre_name,
        mood=mood_name,
        pace=pace,
        tempo_bpm=_tempo(pace, genre, rng),
        tone=tone,
        drums=drums,
        kit=kit,
        lead=lead,
        backing=backing,
        bass=bass,
        tonic=int(rng.integers(12)),
        mode="major" if rng.random() < mood.major else "minor",
        level=mood.level,
        meter=3 if genre and rng.random() < genre.waltz else 4,
    )
