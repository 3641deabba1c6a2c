"""Captions of clips that were never made: as varied as prompts are, the same for the same seed."""

import random

_MOODS = """calm happy tense sad dreamy aggressive hopeful lonely playful dark bright mysterious triumphant gentle
restless nostalgic eerie warm cold solemn euphoric sleepy anxious majestic tender gloomy cheerful hypnotic raw
romantic sinister peaceful urgent bittersweet heroic lazy frantic spiritual melancholic groovy""".split()
_GENRES = """ambient|rock|jazz|techno|house|folk|blues|orchestral|hip hop|lo-fi|synthwave|drum and bass|reggae
|country|metal|punk|classical|baroque|bossa nova|salsa|afrobeat|trap|dubstep|disco|funk|soul|gospel|chiptune
|minimalist|cinematic|trance|flamenco|celtic|klezmer|swing|waltz|tango|post-rock|shoegaze|industrial""".split(
    "|"
)
_INSTRUMENTS = """piano|acoustic guitar|electric guitar|violin|cello|flute|saxophone|trumpet|drums|hand drums
|synth pads|analog bass|upright bass|harp|organ|accordion|banjo|mandolin|marimba|vibraphone|steel drums|choir
|whistling|clarinet|oboe|french horn|strings|brass|kalimba|sitar|harmonica|glockenspiel|808s|arpeggios|rhodes
|field recordings|vinyl crackle|bells|timpani|ukulele""".split("|")
_PLACES = """a rainy night|a long drive|a busy market|an empty church|a space station|a beach at sunset|a boss fight
|a wedding|a documentary|a meditation|a chase through a city|a forest walk|a product video|a puzzle game|a farewell
|a snowy village|a crowded club|early morning coffee|an old photograph|a desert caravan|a lullaby|a heist|a parade
|studying|a ghost story|a rocket launch|a slow dance|a fairy tale|a workout|the end credits""".split("|")
_EXTRAS = """with a slow build|at 90 BPM|at 128 BPM|in a minor key|in a major key|with heavy reverb|with a walking bass
|without drums|with a sparse arrangement|with a catchy hook|fading into silence|in three-four time|with a long intro
|recorded live|with tape hiss|and a soaring melody|with syncopated rhythms|with dissonant chords|with a call and
 response|over a steady pulse|with sudden stops|layered and dense|simple and clear|with a key change""".split(
    "|"
)
_FORMS = (
    "{mood} {genre} with {one} and {two}",
    "{genre} for {place}, {mood} {one}, {extra}",
    "a {mood} {one} melody over {two}, {extra}",
    "{mood} and {other} {genre}, {one}, {two}, {extra}, for {place}",
    "{one} solo, {mood}, {extra}",
    "music for {place}: {mood} {genre} {extra}",
    "{other} {two} and {one} in a {mood} {genre} style that would fit {place}, {extra}, played as if nobody "
    "were listening",
)


def captions(count: int, *, seed: int = 0) -> list[str]:
    """Descriptions of 4 to about 30 words; a few may be equal.

    Args:
        count: How many.
        seed: Another seed gives others of the same kind.
    """
    choose = random.Random(seed)  # noqa: S311  # nothing secret
    return [_caption(choose) for _ in range(count)]


def _caption(choose: random.Random) -> str:
    mood, other = choose.sample(_MOODS, 2)
    one, two = (" ".join(name.split()) for name in choose.sample(_INSTRUMENTS, 2))
    words = {
        "genre": choose.choice(_GENRES),
        "place": choose.choice(_PLACES),
        "extra": choose.choice(_EXTRAS),
    }
    words = {name: " ".join(value.split()) for name, value in words.items()}
    return choose.choice(_FORMS).format(mood=mood, other=other, one=one, two=two, **words)


def sized_captions(count: int, words: int, *, seed: int = 0) -> list[str]:
    """Descriptions of exactly so many words, to measure what length costs."""
    choose = random.Random(seed)  # noqa: S311
    texts = []
    for _ in range(count):
        text: list[str] = []
        while len(text) < words:
            text += _caption(choose).split()
        texts.append(" ".join(text[:words]))
    return texts
