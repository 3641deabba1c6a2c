"""Clips described by captions: written by hand, and composed from lists of instruments, genres, moods and uses.

What is true of a clip (its facets) is known apart from how its caption puts it, so that it can be asked for in
other words, and what answers a question does not depend on which words a search would match.
"""

import csv
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).parent / "data"
COMPOSED: Final = 300
_SEED: Final = 20261122
_KEYS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_MINOR_MOODS = frozenset({"sad", "dark", "scary", "lonely", "tense", "mysterious", "angry", "nostalgic"})
_FAST_MOODS = frozenset({"energetic", "angry", "epic", "happy", "playful"})
_SLOW_MOODS = frozenset({"calm", "sad", "lonely", "meditative", "dreamy", "romantic"})
_BRIGHT = frozenset(
    {"synth lead", "acid bass", "brass", "electric guitar", "bells", "glockenspiel", "banjo", "mandolin"}
)
_MELLOW = frozenset({"cello", "electric piano", "synth pad", "bass", "808 bass", "vibraphone", "kalimba"})
_PEOPLE_TAGS = (
    "draft",
    "favourite",
    "client work",
    "album 2",
    "to mix",
    "demo reel",
    "stems ready",
    "B-side",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalClip:
    """A clip of the evaluation: what the library would know of it, and its facets.

    `sound` has `tempo_bpm`, `key`, `loudness_lufs`, `brightness_hz`, `energy`, `onset_density` and
    `percussive_share` as descriptors would have measured them, None where unknown. `drums` and `voice` are None
    where nobody can say.
    """

    id: str
    prompt: str | None
    title: str | None
    tags: tuple[str, ...]
    transcript: str | None
    sound: dict[str, Any]
    genre: str
    moods: tuple[str, ...]
    instruments: frozenset[str]
    drums: bool | None
    voice: bool | None
    paraphrase: str | None = None
    use: str | None = None
    era: str | None = None
    lyric: int | None = None
    mentions: frozenset[str] = field(default=frozenset())

    @property
    def text(self) -> str:
        """All words that people or Whisper gave it."""
        return " | ".join(filter(None, (self.prompt, self.title, *self.tags, self.transcript)))


def load_concepts() -> dict[str, Any]:
    """The lists that captions and queries are composed from."""
    concepts: dict[str, Any] = json.loads((DATA / "concepts.json").read_text(encoding="utf-8"))
    return concepts


def load_clips() -> list[EvalClip]:
    """The same clips in the same order, whenever it is called."""
    rng = random.Random(_SEED)  # noqa: S311
    concepts = load_concepts()
    clips = _written(rng, concepts)
    lyrics = rng.sample(range(len(concepts["lyrics"])), len(concepts["lyrics"]))
    sung = dict(zip(rng.sample(range(COMPOSED), len(lyrics)), lyrics, strict=True))
    titles = list(concepts["titles"])
    rng.shuffle(titles)
    for number in range(COMPOSED):
        clips.append(_composed(number, rng, concepts, titles, sung.get(number)))
    return clips


def _written(rng: random.Random, concepts: dict[str, Any]) -> list[EvalClip]:
    with (DATA / "captions.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    clips = []
    for number, row in enumerate(rows):
        moods, instruments = tuple(row["moods"].split(";")), frozenset(row["instruments"].split(";"))
        drums = {"yes": True, "no": False}.get(row["drums"])
        genre = concepts["genres"].get(row["genre"], {"bpm": (70, 140)})
        clips.append(
            EvalClip(
                id=f"written-{number:03d}",
                prompt=row["caption"],
                title=None,
                tags=_tags(rng, [row["genre"], *moods], 0.3),
                transcript=None,
                sound=_sound(rng, genre["bpm"], moods, instruments, drums),
                genre=row["genre"],
                moods=moods,
                instruments=instruments,
                drums=drums,
                voice={"yes": True, "no": False}.get(row["voice"]),
                paraphrase=row["paraphrase"],
            )
        )
    return clips


def _composed(
    number: int, rng: random.Random, concepts: dict[str, Any], titles: list[str], lyric: int | None
) -> EvalClip:
    name = rng.choice(list(concepts["genres"]))
    genre, mood = concepts["genres"][name], rng.choice(list(concepts["moods"]))
    played = rng.sample(genre["play"], rng.choice((1, 1, 2)))
    beat = rng.choice(genre["beat"]) if genre["beat"] else ""
    use = rng.choice(concepts["uses"]) if rng.random() < 0.6 else None
    era = rng.choice(concepts["eras"]) if rng.random() < 0.2 else None
    instruments = frozenset([*played, beat] if beat else played)
    moods = (mood,)
    words = {item: rng.choice(concepts["instruments"][item]) for item in [*played, *([beat] if beat else [])]}
    genre_word, mood_word = rng.choice(genre["forms"]), rng.choice(concepts["moods"][mood]["forms"])
    titled = rng.random() < 0.22 and bool(titles)
    caption = None
    if not titled:
        caption = _caption(rng, mood_word, genre_word, [words[i] for i in played], words.get(beat), use, era)
    # An imported file has a title and the tags somebody gave it; a generated one has its prompt.
    labels = [genre_word, mood_word, *words.values()]
    return EvalClip(
        id=f"composed-{number:03d}",
        prompt=caption,
        title=titles.pop() if titled else None,
        tags=tuple(rng.sample(labels, min(len(labels), 3))) if titled else _tags(rng, labels, 0.35),
        transcript=concepts["lyrics"][lyric][0] if lyric is not None else None,
        sound=_sound(rng, genre["bpm"], moods, instruments, bool(beat)),
        genre=name,
        moods=moods,
        instruments=instruments,
        drums=bool(beat),
        voice=True if lyric is not None else None,
        use=use[1] if use and caption else None,
        era=era[1] if era and caption else None,
        lyric=lyric,
        mentions=frozenset([genre_word, mood_word, *words.values()]),
    )


def _caption(
    rng: random.Random,
    mood: str,
    genre: str,
    played: Sequence[str],
    beat: str | None,
    use: Sequence[str] | None,
    era: Sequence[str] | None,
) -> str:
    lead, rest = played[0], [*played[1:], *([beat] if beat else [])]
    old, purpose = f"{era[0]} " if era else "", f" {use[0]}" if use else ""
    extra = f" and {rest[0]}" if rest else ""
    shape = rng.randrange(8)
    text = (
        f"{mood} {old}{genre} with {lead}{extra}{purpose}",
        f"{mood} {lead}{extra}, {old}{genre}{purpose}",
        f"{old}{genre} in a {mood} mood, {' and '.join([lead, *rest])}{purpose}",
        f"{lead} leads this {mood} piece of {old}{genre}{purpose}",
        f"a {mood} {old}{genre} track{purpose}, featuring {lead}{extra}",
        f"{old}{genre}, {mood}, {', '.join([lead, *rest])}",
        f"{mood} music{purpose}: {lead}{extra} over {old}{genre}",
        f"{lead} and nothing but feeling, {mood} {old}{genre}{purpose}",
    )[shape]
    if beat is None and rng.random() < 0.35:
        text += rng.choice(
            (", no drums", ", without drums", ", drumless", ", no percussion", ", without any beat")
        )
    return text[0].upper() + text[1:] if rng.random() < 0.5 else text


def _tags(rng: random.Random, labels: Sequence[str], share: float) -> tuple[str, ...]:
    found = rng.sample(list(labels), rng.choice((1, 2))) if rng.random() < share else []
    if rng.random() < 0.2:
        found.append(rng.choice(_PEOPLE_TAGS))
    return tuple(dict.fromkeys(found))


def _sound(
    rng: random.Random,
    bpm: Sequence[int],
    moods: Sequence[str],
    instruments: frozenset[str],
    drums: bool | None,
) -> dict[str, Any]:
    """Descriptors as they would be measured, with some unknown and some tempos an octave off."""
    low, high = bpm
    fast, slow = any(m in _FAST_MOODS for m in moods), any(m in _SLOW_MOODS for m in moods)
    place = (
        rng.betavariate(4, 2)
        if fast and not slow
        else rng.betavariate(2, 4)
        if slow and not fast
        else rng.random()
    )
    tempo = round(low + (high - low) * place, 1)
    octave = rng.choices((1.0, 2.0, 0.5), (92, 4, 4))[0]
    bright = 1800 * (1.9 if instruments & _BRIGHT else 1) * (0.55 if instruments & _MELLOW else 1)
    energy = 0.45 + 0.25 * fast - 0.2 * slow + 0.15 * bool(drums) + rng.gauss(0, 0.08)
    mode = "minor" if any(m in _MINOR_MOODS for m in moods) == (rng.random() < 0.85) else "major"
    # Measured on made sounds: pads, plucked notes and piano 0.11 to 0.18, drums with them 0.31 to 0.36, alone 0.6.
    share = {True: (0.25, 0.65), False: (0.08, 0.2), None: (0.1, 0.45)}[drums]
    percussive = rng.uniform(*share)
    return {
        "tempo_bpm": None
        if rng.random() < (0.08 if drums else 0.3)
        else min(240.0, max(40.0, tempo * octave)),
        "key": None if rng.random() < 0.1 else f"{rng.choice(_KEYS)} {mode}",
        "loudness_lufs": round(-22 + 12 * energy + rng.gauss(0, 1.5), 1),
        "brightness_hz": round(bright * rng.lognormvariate(0, 0.2)),
        "energy": round(min(1.0, max(0.0, energy)), 3),
        "onset_density": round(
            max(0.2, (tempo / 60) * (2.0 if drums else 1.0) * rng.lognormvariate(0, 0.2)), 2
        ),
        "percussive_share": round(percussive, 3),
    }
