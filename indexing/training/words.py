"""What the small Whisper can hear: a few hundred words, and sentences made of them.

Every word is one that no other word of the list sounds like.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

GROUPS: Mapping[str, tuple[str, ...]] = {
    "number": tuple(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand".split()
    ),
    "colour": tuple("red green blue yellow orange purple pink brown black white grey silver golden".split()),
    "instrument": tuple(
        "piano guitar violin cello flute trumpet drum bass organ harp saxophone clarinet trombone banjo fiddle "
        "accordion harmonica synthesizer keyboard cymbal choir orchestra band".split()
    ),
    "sound": tuple(
        "song music melody rhythm beat chord tune sound voice noise echo chorus verse tempo loop bridge solo "
        "waltz jazz blues rock country disco techno ambient classical".split()
    ),
    "mood": tuple(
        "happy sad calm angry gentle bright dark loud quiet soft slow fast heavy warm cold lonely peaceful "
        "cheerful mysterious dramatic romantic funny strange beautiful simple wild tired hungry".split()
    ),
    "animal": tuple(
        "dog cat bird horse cow sheep goat chicken duck rabbit mouse lion tiger elephant monkey wolf fox whale "
        "dolphin spider butterfly turtle snake eagle".split()
    ),
    "place": tuple(
        "house garden river mountain forest ocean beach city village street school market kitchen window door "
        "station island desert valley castle church farm office hospital library airport".split()
    ),
    "thing": tuple(
        "table chair book letter bottle basket hammer camera computer telephone bicycle train car boat ship "
        "airplane clock mirror candle blanket pillow jacket shirt shoe hat umbrella ticket money paper pencil "
        "picture apple banana lemon bread butter cheese coffee sugar water milk chocolate potato tomato salad "
        "soup fire stone glass metal wood ring box ball".split()
    ),
    "person": tuple(
        "man woman child baby mother father sister brother friend teacher doctor farmer soldier captain king "
        "queen singer dancer student stranger neighbor people".split()
    ),
    "time": tuple(
        "morning evening night today tomorrow yesterday monday tuesday wednesday thursday friday saturday sunday "
        "january february april june july august september october november december summer winter spring "
        "autumn minute second year month never always often soon".split()
    ),
    "weather": tuple("rain snow wind storm cloud thunder lightning sunshine fog ice".split()),
    "action": tuple(
        "plays sings dances sleeps runs walks jumps swims drives opens closes carries finds loses makes takes "
        "brings watches remembers forgets follows catches throws paints reads buys sells loves wants needs".split()
    ),
    "command": tuple("play stop start turn give show open close bring find listen wait help go come".split()),
    "link": tuple("and with under behind near over after before without between from into about".split()),
    "small": tuple(
        "the a my your his our this that every some many yes please thank you hello goodbye very really is was "
        "are not me him them she they we it of in on at".split()
    ),
}
WORDS: tuple[str, ...] = tuple(dict.fromkeys(word for group in GROUPS.values() for word in group))

_TEMPLATES = (
    "the {mood} {animal} {action} {link} the {place}",
    "the {person} {action} the {colour} {thing}",
    "{command} the {mood} {instrument} {sound}",
    "a {mood} {sound} with {instrument} and {instrument}",
    "{number} {colour} {thing} in the {place}",
    "my {person} {action} a {thing} every {time}",
    "the {weather} is {mood} in {time}",
    "{command} me {number} {thing}",
    "{time} the {person} {action} near the {place}",
    "hello {person} this is a {mood} {time}",
    "she {action} the {instrument} in the {place}",
    "we are in the {place} with your {animal}",
    "{number} {number} {number} {number}",
    "the {colour} {thing} is under the {colour} {thing}",
    "please {command} the {thing} {link} the {thing}",
    "{mood} {mood} {sound} and a {mood} {instrument}",
    "it was a {mood} {time} in {time}",
    "goodbye {mood} {person}",
    "thank you {person} and the {thing}",
    "the {instrument} is very {mood}",
)


def sentence(rng: np.random.Generator) -> tuple[str, ...]:
    """Two to eight words: half of the time from a template, else any words of the list in any order."""
    if rng.random() < 0.5:
        template = _TEMPLATES[rng.integers(len(_TEMPLATES))]
        words = []
        for part in template.split():
            group = GROUPS.get(part.strip("{}")) if part.startswith("{") else None
            words.append(str(rng.choice(group)) if group is not None else part)
        return tuple(words)
    return tuple(str(word) for word in rng.choice(WORDS, size=int(rng.integers(2, 9))))
