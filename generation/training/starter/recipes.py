"""Genres and moods: what each leans to. Weights are (slow, medium, fast), (dark, neutral, bright),
(no drums, light drums, heavy drums)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """How a mood leans; `major` is the probability of a major key, a weight of 0 rules something out."""

    major: float
    pace: tuple[float, float, float]
    tone: tuple[float, float, float]
    drums: tuple[float, float, float]
    level: str
    harmony: str = "plain"
    reverb: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Genre:
    """The instruments and habits of a style; `without_melody` and `waltz` are probabilities."""

    leads: tuple[str, ...]
    backings: tuple[str, ...]
    basses: tuple[str, ...]
    kits: tuple[str, ...]
    patterns: tuple[str, ...]
    pace: tuple[float, float, float]
    tempo: tuple[float, float]
    tone: tuple[float, float, float]
    drums: tuple[float, float, float]
    moods: tuple[str, ...]
    swing: float = 0.0
    sevenths: float = 0.1
    without_melody: float = 0.15
    waltz: float = 0.0


MOODS: dict[str, Mood] = {
    "calm": Mood(major=0.7, pace=(1, 0.2, 0), tone=(0.4, 0.5, 0.2), drums=(0.8, 0.2, 0), level="quiet",
                 harmony="gentle", reverb=0.7),
    "happy": Mood(major=1.0, pace=(0.15, 0.6, 0.8), tone=(0.1, 0.5, 0.6), drums=(0.4, 0.5, 0.3),
                  level="medium",
                  reverb=0.3),
    "sad": Mood(major=0.0, pace=(1, 0.25, 0.05), tone=(0.5, 0.5, 0.1), drums=(0.75, 0.25, 0.05),
                level="quiet",
                harmony="gentle", reverb=0.6),
    "dark": Mood(major=0.0, pace=(0.6, 0.5, 0.4), tone=(1, 0, 0), drums=(0.5, 0.3, 0.4), level="medium",
                 harmony="static", reverb=0.6),
    "tense": Mood(major=0.0, pace=(0.1, 0.5, 1), tone=(0.4, 0.5, 0.3), drums=(0.4, 0.3, 0.5), level="loud",
                  harmony="tense", reverb=0.4),
    "energetic": Mood(major=0.6, pace=(0, 0.3, 1), tone=(0.1, 0.5, 0.6), drums=(0.2, 0.4, 0.8), level="loud",
                      reverb=0.25),
    "dreamy": Mood(major=0.7, pace=(0.8, 0.5, 0.15), tone=(0.4, 0.4, 0.4), drums=(0.7, 0.3, 0), level="quiet",
                   harmony="gentle", reverb=0.9),
    "epic": Mood(major=0.4, pace=(0.4, 0.6, 0.6), tone=(0.3, 0.5, 0.4), drums=(0.3, 0.2, 0.9), level="loud",
                 reverb=0.7),
    "playful": Mood(major=0.95, pace=(0.05, 0.6, 0.8), tone=(0.1, 0.5, 0.7), drums=(0.6, 0.5, 0.1),
                    level="medium", reverb=0.25),
    "romantic": Mood(major=0.7, pace=(0.8, 0.5, 0.1), tone=(0.4, 0.6, 0.2), drums=(0.7, 0.3, 0),
                     level="medium",
                     harmony="gentle", reverb=0.6),
}  # fmt: skip

GENRES: dict[str, Genre] = {
    "classical": Genre(leads=("piano", "violin", "flute", "strings"), backings=("piano", "strings", "harp"),
                       basses=(), kits=("acoustic",), patterns=("ballad",), pace=(0.5, 0.4, 0.4), tempo=(54,
                                                                                                         160),
                       tone=(0.3, 0.5, 0.3), drums=(1, 0.02, 0), waltz=0.2,
                       moods=("calm", "happy", "sad", "romantic", "playful", "dreamy")),
    "ambient": Genre(leads=("synth pad", "choir", "bell", "piano", "strings"), backings=("synth pad",
                                                                                         "choir", "strings"),
                     basses=("synth bass",), kits=("soft", "electronic"), patterns=("half time", "shaker"),
                     pace=(1, 0.2, 0), tempo=(54, 90), tone=(0.5, 0.4, 0.4), drums=(1, 0.1, 0),
                     without_melody=0.4, moods=("calm", "dreamy", "dark", "sad")),
    "lofi": Genre(leads=("electric piano", "piano", "acoustic guitar", "bell"), backings=("electric piano",
                                                                                          "piano"),
                  basses=("electric bass", "acoustic bass"), kits=("soft",), patterns=("lofi", "ballad"),
                  pace=(1, 0.5, 0), tempo=(66, 92), tone=(0.8, 0.4, 0.05), drums=(0.15, 1, 0.1), swing=0.22,
                  sevenths=0.85, without_melody=0.3, moods=("calm", "dreamy", "sad", "romantic")),
    "rock": Genre(leads=("electric guitar", "organ"), backings=("electric guitar",),
                  basses=("electric bass",),
                  kits=("acoustic",), patterns=("rock", "drive"), pace=(0.2, 0.5, 0.8), tempo=(70, 170),
                  tone=(0.2, 0.5, 0.4), drums=(0.08, 0.4, 1), without_melody=0.3,
                  moods=("energetic", "happy", "dark", "tense", "epic")),
    "pop": Genre(leads=("piano", "synth lead", "acoustic guitar", "bell"), backings=("piano",
                                                                                     "acoustic guitar",
                                                                                     "synth"),
                 basses=("electric bass", "synth bass"), kits=("acoustic", "electronic"), patterns=("rock",
                                                                                                    "floor",
                                                                                                    "ballad"),
                 pace=(0.3, 0.8, 0.6), tempo=(70, 140), tone=(0.1, 0.5, 0.5), drums=(0.15, 0.8, 0.4),
                 moods=("happy", "romantic", "sad", "energetic", "playful")),
    "techno": Genre(leads=("synth lead", "square lead"), backings=("synth", "synth pad"),
                    basses=("synth bass",),
                    kits=("electronic",), patterns=("techno", "floor"), pace=(0.02, 0.3, 1), tempo=(100, 150),
                    tone=(0.4, 0.5, 0.4), drums=(0.05, 0.4, 1), without_melody=0.5,
                    moods=("energetic", "dark", "tense")),
    "house": Genre(leads=("piano", "synth lead", "organ"), backings=("piano", "synth", "organ"),
                   basses=("synth bass",),
                   kits=("electronic",), patterns=("floor",), pace=(0.02, 0.6, 1), tempo=(110, 132),
                   tone=(0.2, 0.5, 0.5), drums=(0.05, 0.7, 0.8), sevenths=0.5, without_melody=0.4,
                   moods=("happy", "energetic", "dreamy")),
    "synthwave": Genre(leads=("synth lead", "square lead"), backings=("synth", "synth pad"),
                       basses=("synth bass",),
                       kits=("electronic",), patterns=("floor", "rock"), pace=(0.2, 0.9, 0.4), tempo=(74,
                                                                                                      140),
                       tone=(0.3, 0.5, 0.4), drums=(0.15, 0.7, 0.6), moods=("dreamy", "energetic", "dark",
                                                                            "epic")),
    "jazz": Genre(leads=("piano", "trumpet", "electric piano", "brass", "acoustic guitar"),
                  backings=("piano", "electric piano"),
                  basses=("acoustic bass",), kits=("soft",), patterns=("swing", "brush"), pace=(0.5, 0.6,
                                                                                                0.6),
                  tempo=(60, 172), tone=(0.5, 0.5, 0.2), drums=(0.3, 1, 0.02), swing=0.33, sevenths=1.0,
                  moods=("calm", "happy", "romantic", "playful", "sad")),
    "folk": Genre(leads=("acoustic guitar", "flute", "violin"), backings=("acoustic guitar",),
                  basses=("acoustic bass",),
                  kits=("soft", "acoustic"), patterns=("shaker", "ballad"), pace=(0.4, 0.7, 0.5), tempo=(60,
                                                                                                         150),
                  tone=(0.3, 0.6, 0.4), drums=(0.8, 0.4, 0.02), waltz=0.2,
                  moods=("happy", "calm", "sad", "romantic", "playful")),
    "cinematic": Genre(leads=("strings", "brass", "choir", "violin"), backings=("strings", "choir", "brass"),
                       basses=(), kits=("acoustic",), patterns=("toms", "march", "half time"), pace=(0.5,
                                                                                                     0.5,
                                                                                                     0.4),
                       tempo=(58, 150), tone=(0.4, 0.5, 0.3), drums=(0.5, 0.2, 0.8),
                       moods=("epic", "tense", "sad", "dark", "romantic")),
    "action": Genre(leads=("brass", "strings", "synth lead"), backings=("strings", "synth", "brass"),
                    basses=("synth bass", "electric bass"), kits=("acoustic", "electronic"),
                    patterns=("toms", "drive"),
                    pace=(0, 0.3, 1), tempo=(100, 176), tone=(0.4, 0.5, 0.3), drums=(0.15, 0.3, 1),
                    moods=("tense", "epic", "dark", "energetic")),
    "lullaby": Genre(leads=("music box", "bell", "piano", "flute", "harp"), backings=("harp", "piano",
                                                                                      "strings"),
                     basses=(), kits=("soft",), patterns=("brush",), pace=(1, 0.15, 0), tempo=(54, 90),
                     tone=(0.4, 0.5, 0.4), drums=(1, 0, 0), waltz=0.4, moods=("calm", "dreamy", "romantic")),
    "chiptune": Genre(leads=("square lead",), backings=("square lead",), basses=("synth bass",),
                      kits=("electronic",),
                      patterns=("rock", "drive", "floor"), pace=(0.05, 0.4, 1), tempo=(76, 176), tone=(0.1,
                                                                                                       0.5,
                                                                                                       0.7),
                      drums=(0.4, 0.7, 0.3), moods=("happy", "playful", "energetic", "tense")),
    "funk": Genre(leads=("electric guitar", "brass", "organ", "electric piano"), backings=("electric piano",
                                                                                           "organ", "synth"),
                  basses=("electric bass", "synth bass"), kits=("acoustic",), patterns=("funk",),
                  pace=(0.05, 1, 0.3),
                  tempo=(90, 132), tone=(0.2, 0.5, 0.4), drums=(0.05, 0.8, 0.6), sevenths=0.8,
                  moods=("happy", "energetic", "playful")),
    "march": Genre(leads=("brass", "trumpet", "flute"), backings=("brass", "strings"),
                   basses=("electric bass",),
                   kits=("acoustic",), patterns=("march",), pace=(0.15, 1, 0.4), tempo=(70, 150), tone=(0.2,
                                                                                                        0.5,
                                                                                                        0.5),
                   drums=(0.15, 0.6, 0.6), moods=("epic", "happy", "energetic")),
    "hip hop": Genre(leads=("electric piano", "piano", "bell", "strings"), backings=("electric piano",
                                                                                     "piano", "strings"),
                     basses=("synth bass",), kits=("electronic", "acoustic"), patterns=("lofi", "half time"),
                     pace=(0.6, 0.8, 0.05), tempo=(68, 104), tone=(0.5, 0.5, 0.2), drums=(0.05, 0.5, 0.9),
                     swing=0.12,
                     sevenths=0.4, without_melody=0.4, moods=("dark", "calm", "energetic", "dreamy")),
}  # fmt: skip
