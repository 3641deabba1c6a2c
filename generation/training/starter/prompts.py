"""Held-out prompts: pairs of which one must come out faster, brighter or with more drums than the other.

Captions never use these wordings (`captions_for` throws away a caption that does), so that a model
which orders them rightly has learned words, not sentences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PACE, BRIGHTNESS, DRUMS = "pace", "brightness", "drums"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt and what it asks for, in the terms of `PieceAttributes`."""

    text: str
    lead: str | None = None
    genre: str | None = None
    mood: str | None = None
    pace: str | None = None
    tone: str | None = None
    drums: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPair:
    """Two prompts; `measure` of the first must be higher."""

    measure: str
    higher: Prompt
    lower: Prompt


def _pace(subject: str, higher: str, lower: str, **wanted: str) -> PromptPair:
    return PromptPair(
        measure=PACE,
        higher=Prompt(text=higher.format(subject), pace="fast", **wanted),
        lower=Prompt(text=lower.format(subject), pace="slow", **wanted),
    )


def _tone(subject: str, higher: str, lower: str, **wanted: str) -> PromptPair:
    return PromptPair(
        measure=BRIGHTNESS,
        higher=Prompt(text=higher.format(subject), tone="bright", **wanted),
        lower=Prompt(text=lower.format(subject), tone="dark", **wanted),
    )


def _drums(subject: str, higher: str, lower: str, **wanted: str) -> PromptPair:
    loud = (
        "heavy" if any(word in higher for word in ("heavy", "loud", "pounding", "big", "hard")) else "light"
    )
    return PromptPair(
        measure=DRUMS,
        higher=Prompt(text=higher.format(subject), drums=loud, **wanted),
        lower=Prompt(text=lower.format(subject), drums="none", **wanted),
    )


PAIRS: tuple[PromptPair, ...] = (
    _pace("piano", "some really quick {}, fast fast fast", "some {} that is very slow", lead="piano"),
    _pace("guitar", "please play fast {} for me", "please play slow {} for me", lead="acoustic guitar"),
    _pace("flute", "i want a rapid {} tune", "i want a slow {} tune", lead="flute"),
    _pace("strings", "quick {}, fast tempo, lots of notes", "slow {}, unhurried, few notes", lead="strings"),
    _pace("synth", "music with a fast {}", "music with a slow {}", lead="synth lead"),
    _pace("music box", "{} playing fast", "{} playing slow", lead="music box"),
    _pace("organ", "{} music in a fast tempo", "{} music in a slow tempo", lead="organ"),
    _pace("rock", "{} played at a fast pace", "{} played at a slow pace", genre="rock"),
    _pace("jazz", "quick and brisk evening {}", "slow and lazy evening {}", genre="jazz"),
    _pace("film music", "speedy {}, racing", "leisurely {}, slow-paced", genre="cinematic"),
    _pace("video game music", "a rapid level of {}", "a slow level of {}", genre="chiptune"),
    _pace("marimba", "a fast little {} piece", "a slow little {} piece", lead="marimba"),
    _pace("trumpet", "hear a brisk {}", "hear an unhurried {}", lead="trumpet"),
    _pace("pop", "{} at 160 bpm, quick", "{} at 60 bpm, slow", genre="pop"),
    _pace("harp", "the {} runs fast", "the {} goes slow", lead="harp"),
    _pace("bells", "racing {} everywhere", "lazy {} everywhere", lead="bell"),
    PromptPair(measure=PACE, higher=Prompt(text="frantic chase through the city, fast", mood="tense",
                                           pace="fast"),
               lower=Prompt(text="restful evening at home, slow", mood="calm", pace="slow")),
    PromptPair(measure=PACE, higher=Prompt(text="energetic and fast club night", genre="techno", pace="fast"),
               lower=Prompt(text="meditation with a slow pad", genre="ambient", pace="slow")),
    PromptPair(measure=PACE, higher=Prompt(text="upbeat holiday song, quick and happy", mood="happy",
                                           pace="fast"),
               lower=Prompt(text="sad farewell song, slow and lonely", mood="sad", pace="slow")),
    PromptPair(measure=PACE, higher=Prompt(text="a boss battle, very fast action", genre="action",
                                           pace="fast"),
               lower=Prompt(text="a baby falls asleep, slow lullaby", genre="lullaby", pace="slow")),
    _tone("piano", "a {} with a bright sharp sound", "a {} with a dark mellow sound", lead="piano"),
    _tone("pad", "one bright crisp {}", "one dark muffled {}", lead="synth pad"),
    _tone("strings", "brilliant shining {}", "muffled {} in the deep", lead="strings"),
    _tone("guitar", "crisp and clear {} picking", "warm and mellow {} picking", lead="acoustic guitar"),
    _tone("organ", "piercing bright {}, please", "subdued dark {}, please", lead="organ"),
    _tone("choir", "a {} that sounds bright", "a {} that sounds dark and deep", lead="choir"),
    _tone("brass", "sharp brilliant {} calls", "rounded mellow {} calls", lead="brass"),
    _tone("synth", "a sharp shiny {}", "a dull muffled {}", lead="synth lead"),
    _tone("electric piano", "sparkling clear {} chords", "velvety warm {} chords", lead="electric piano"),
    _tone("trumpet", "the {} is bright and piercing", "the {} is mellow and warm", lead="trumpet"),
    _tone("violin", "glittering bright {} on a stage", "deep dark {} on a stage", lead="violin"),
    _tone("techno", "bright and sharp sounding {}", "dark and dull sounding {}", genre="techno"),
    _tone("lofi beats", "crisp bright {} for the morning", "warm muffled {} for the night", genre="lofi"),
    _tone("house", "clear sparkling {} party", "deep low {} party", genre="house"),
    _tone("pop", "shimmering {}, very bright", "mellow {}, very warm", genre="pop"),
    _tone("rock", "{} with bright crisp guitars", "{} with dark deep guitars", genre="rock"),
    _tone("ambient", "shimmering bright {} light", "dark deep {} cave", genre="ambient"),
    PromptPair(measure=BRIGHTNESS, higher=Prompt(text="bright chip music full of sparkle", genre="chiptune",
                                                 tone="bright"),
               lower=Prompt(text="gloomy dark cellar music", mood="dark", tone="dark")),
    PromptPair(measure=BRIGHTNESS, higher=Prompt(text="happy bells, bright and clear", mood="happy",
                                                 lead="bell", tone="bright"),
               lower=Prompt(text="mellow sad strings, dark and low", mood="sad", lead="strings",
                            tone="dark")),
    PromptPair(measure=BRIGHTNESS, higher=Prompt(text="sharp bright energetic synths", mood="energetic",
                                                 lead="synth lead",
                                                 tone="bright"),
               lower=Prompt(text="warm dark calm pads", mood="calm", lead="synth pad", tone="dark")),
    _drums("rock", "{} band with really heavy drums", "{} band, but no drums at all", genre="rock"),
    _drums("piano", "a {} and a loud drum kit", "a {} and no percussion", lead="piano"),
    _drums("techno", "pounding drums in a {} club", "{} club with no drums", genre="techno"),
    _drums("strings", "{} with big pounding drums behind", "{} without any drums behind", lead="strings"),
    _drums("guitar", "my {} plus drums and a beat", "my {} but drumless", lead="acoustic guitar"),
    _drums("pop", "{} for dancing, heavy drums", "{} for listening, no drums", genre="pop"),
    _drums("synth", "{} music, hard-hitting drums, heavy beat", "{} music, beatless, no percussion",
           lead="synth lead"),
    _drums("jazz", "late night {} plus brushed drums", "late night {} without drums", genre="jazz"),
    _drums("lofi", "{} beats and drums to study to", "{} to study to, no drums please", genre="lofi"),
    _drums("orchestra", "an {} with thunderous loud drums", "an {} with no percussion at all",
           genre="cinematic"),
    _drums("funk", "{} with a loud groove of drums", "{} without a beat, no drums", genre="funk"),
    _drums("organ", "{} over a heavy beat", "{} over nothing, no beat", lead="organ"),
    _drums("flute", "{} joined by a drum beat", "{} left alone, no beat", lead="flute"),
    _drums("hip hop", "heavy {} drums", "{} keys, without percussion, drumless", genre="hip hop"),
    _drums("music for an action film", "{}, heavy drums everywhere", "{}, without percussion anywhere",
           genre="action"),
    _drums("march", "a {} led by loud drums", "a {} that has no drums", genre="march"),
    _drums("8-bit music", "{} and pounding drums", "{} and no drums", genre="chiptune"),
    PromptPair(measure=DRUMS, higher=Prompt(text="drum machine going wild, heavy electronic beat",
                                            mood="energetic", drums="heavy"),
               lower=Prompt(text="peaceful pads, drumless, floating", mood="dreamy", drums="none")),
    PromptPair(measure=DRUMS, higher=Prompt(text="epic war, thunderous drums", mood="epic", drums="heavy"),
               lower=Prompt(text="calm harp, no drums", mood="calm", lead="harp", drums="none")),
    PromptPair(measure=DRUMS, higher=Prompt(text="happy groove, big drums, party", mood="happy",
                                            drums="heavy"),
               lower=Prompt(text="sad lonely violin, no beat", mood="sad", lead="violin", drums="none")),
)  # fmt: skip


def normalise(text: str) -> str:
    """Reduce a text to its words, so that case and punctuation make no difference."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


HELD_OUT: frozenset[str] = frozenset(
    normalise(prompt.text) for pair in PAIRS for prompt in (pair.higher, pair.lower)
)
