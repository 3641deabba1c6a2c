"""The words of a query: what is wanted, what is not, phrases; and the words of documents, to hold them against.

People write `"brushed drums" late piano without vocals`. Everything else that might look like syntax is text.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeVar

from indexing.filters import parse_key

_QUOTED = re.compile(
    r'"([^"]*)"|\u201c([^\u201d]*)\u201d|\u201e([^\u201c\u201d]*)[\u201c\u201d]|\u00ab([^\u00bb]*)\u00bb'
)
_KEY = re.compile(
    r"\b([A-Ga-g])(\s?#|\s?\u266f|b|\u266d|[\s-](?:sharp|flat))?[\s-]?(major|minor|maj|min|dur|moll)\b",
    re.IGNORECASE,
)
# "In a minor key" names none.
_ARTICLE = re.compile(r"a (?:major|minor|dur|moll) (?:key|chord|scale|mode|mood|feel)")
_SPELLED_KEY = re.compile(r"\b[A-G](?: sharp)? (?:major|minor)\b")
_TEMPO = re.compile(r"\b(\d{2,3})(?:\.\d+)?\s?bpm\b", re.IGNORECASE)
_CUT = re.compile(r"[,;:.!?()|\n]")
_MOST_WORDS: Final = 100
# "electric guitar" is one thing that is not wanted; "drums in the night" are drums.
_LONGEST_UNWANTED: Final = 2

TEMPO_REACH: Final = 0.05
# What another form of a word is worth beside the one that was typed.
FORM_WORTH: Final = 0.9

NEGATORS: Final = frozenset(
    {"no", "not", "without", "except", "excluding", "minus", "lacking", "nor", "sans"}
)
_NOT_NEGATED = frozenset({"only", "just", "merely", "one", "matter", "more", "less", "longer"})
_SKIPPED = frozenset({"any", "a", "an", "the", "much", "too", "very", "of", "kind", "sort"})
_LETTERS = string.ascii_lowercase
_LINKS = frozenset({"or", "and", "nor"})
# Words that stand in most sentences and tell no clip from another.
STOP_WORDS: Final = frozenset(
    "a about an and any are as at be but by for from had has have he her his i if in into is it its like me my of on "
    "or our she so some something that the their them then there these they this to us very was we were what when "
    "where which while who will with would you your".split()
)
Item = TypeVar("Item")
# After three letters these are rarely endings: "river", "forest".
_COMPARING = frozenset({"er", "ers", "est"})
_SUFFIXES = (
    "ingly",
    "edly",
    "ings",
    "ing",
    "ies",
    "ied",
    "ely",
    "ers",
    "est",
    "ed",
    "es",
    "er",
    "ly",
    "s",
    "y",
    "e",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A query, read.

    Attributes:
        wanted: Words to be found, in lower case, each once, in the order typed; words of phrases are not among them.
        phrases: Runs of words that stood in quotes.
        keys: Keys of music, spelled as documents spell them: one thing to find, and no must like a phrase.
        tempos: Beats a minute, as in `120 bpm`.
        unwanted: Runs of one or two words that stood behind "no", "without" or the like.
        plain: What to embed: the query as typed, without what is not wanted.
        repeated: How often words were typed that were typed more than once.
        sought: What tells clips from one another: keys, and single words, those of phrases among them.
        small: The other words, such as "in" and "the".
    """

    wanted: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]
    keys: tuple[tuple[str, ...], ...]
    tempos: tuple[int, ...]
    unwanted: tuple[tuple[str, ...], ...]
    plain: str
    repeated: Mapping[str, int] = field(default_factory=dict)
    sought: tuple[tuple[str, ...], ...] = field(init=False)
    small: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        every = _once([*self.wanted, *(word for phrase in self.phrases for word in phrase)])
        telling = [word for word in every if word not in STOP_WORDS]
        single = telling or (() if self.keys or self.tempos else every)
        object.__setattr__(self, "sought", (*self.keys, *((word,) for word in single)))
        object.__setattr__(self, "small", tuple(word for word in every if word not in single))

    @property
    def length(self) -> int:
        """How many words, keys and tempos were typed, the small words of a sentence among them."""
        return len(self.wanted) + sum(map(len, self.phrases)) + len(self.keys) + len(self.tempos)


def read_words(text: str) -> Words:
    """Reads a query; whatever is typed means something.

    A query of nothing but unwanted words, like "no drums", wants the words themselves.
    """
    quotes = [" ".join(filter(None, found)) for found in _QUOTED.findall(text)]
    phrases = [phrase for phrase in (tuple(tokens(spell_keys(quote))) for quote in quotes) if phrase]
    kept, unwanted = _split_negations(_QUOTED.sub(" ; ", text))
    plain = text
    if not phrases and not tokens(" ".join(kept)):
        kept = [text]
    elif unwanted:
        plain = ", ".join([*quotes, *kept])
    rest = spell_keys(" ; ".join(kept))
    keys = [tuple(tokens(found[0])) for found in _SPELLED_KEY.finditer(rest)]
    tempos = [int(found) for found in _TEMPO.findall(rest)]
    wanted = tokens(_TEMPO.sub(" ; ", _SPELLED_KEY.sub(" ; ", rest)))
    return Words(
        wanted=_once(wanted),
        phrases=_once(phrases),
        keys=_once(keys),
        tempos=_once(tempos),
        unwanted=_once(unwanted),
        plain=" ".join(plain.split()),
        repeated={word: times for word, times in Counter(wanted).items() if times > 1},
    )


def spell_keys(text: str) -> str:
    """A text with its keys spelled in words and with sharps: `Bb minor` becomes `A sharp minor`.

    A search for words sees letters and digits only: `A# minor` would be `A minor` to it.
    """

    def spell(found: re.Match[str]) -> str:
        return found[0] if _ARTICLE.match(text, found.start()) else parse_key(found[0]).replace("#", " sharp")

    return _KEY.sub(spell, text)


def text_to_embed(text: str) -> str:
    """What of a query is embedded: an embedding of "piano without drums" lies near those of drums.

    Returns:
        The query without what is not wanted; the query itself where nothing else is left.
    """
    return read_words(text).plain


def text_to_avoid(text: str) -> str | None:
    """What a query says is not wanted, to be embedded by itself; None where it says nothing of the kind."""
    return ", ".join(" ".join(run) for run in read_words(text).unwanted) or None


_ASCII_CUTS = {code: " " for code in range(128) if not chr(code).isalnum()}


def tokens(text: str) -> list[str]:
    """The words of a text in lower case: runs of letters, digits and the marks on them."""
    if text.isascii():  # the same, several times as quick: a search reads hundreds of documents
        return text.lower().translate(_ASCII_CUTS).split()
    lower = unicodedata.normalize("NFC", text).lower()
    return "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in lower).split()


def _once(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys(items))[:_MOST_WORDS]


@lru_cache(maxsize=65_536)
def fold(word: str) -> str:
    """A word with its Latin accents taken off, as the full text index does; other scripts stay as they are."""
    plain = (unicodedata.normalize("NFKD", c) for c in word.casefold())
    return "".join(p[0] if p[0].isascii() else c for p, c in zip(plain, word.casefold(), strict=True))


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A word without its ending, so that forms of one word meet; light, for holding words against each other."""
    word = fold(word)
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= (4 if suffix in _COMPARING else 3):
            word = word[: -len(suffix)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


def is_misspelt(typed: str, word: str) -> bool:
    """Whether one letter more, less, other or swapped with its neighbour makes one word of the other."""
    typed, word = fold(typed), fold(word)
    if typed == word or abs(len(typed) - len(word)) > 1:
        return False
    start = next(
        (i for i, (a, b) in enumerate(zip(typed, word, strict=False)) if a != b), min(len(typed), len(word))
    )
    a, b = typed[start:], word[start:]
    if len(a) == len(b):
        return a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
    return a[1:] == b if len(a) > len(b) else a == b[1:]


def spellings(typed: str) -> list[str]:
    """All words that differ from one by a letter more, less, other or swapped with its neighbour (Norvig 2007).

    LanceDB's own search by edit distance counts a swap as two, compares stems, which a typo in an ending changes
    altogether, and leaves out rows that came after its index was last brought up to date.
    """
    letters = sorted({*_LETTERS, *typed})
    parts = [(typed[:i], typed[i:]) for i in range(len(typed) + 1)]
    left_out = {a + b[1:] for a, b in parts if b}
    swapped = {a + b[1] + b[0] + b[2:] for a, b in parts if len(b) > 1}
    other = {a + letter + b[1:] for a, b in parts if b for letter in letters}
    more = {a + letter + b for a, b in parts for letter in letters}
    return sorted((left_out | swapped | other | more) - {typed, ""})


class Document:
    """The words of a clip's document: which it says, and which it says there are not.

    Attributes:
        words: What it says, in lower case, in order.
        denials: Stems of what it says there is not.
    """

    __slots__ = ("_forms", "_line", "_said", "_tempos", "denials", "words")

    def __init__(self, text: str) -> None:
        """Reads the document, line by line and clause by clause."""
        kept, denied = _split_negations(spell_keys(text))
        self.words = tokens(" ".join(kept))
        stems = [stem(word) for word in self.words]
        self._said, self._line = set(stems), f" {' '.join(stems)} "
        self._forms = set(self.words) if text.isascii() else set(map(fold, self.words))
        self._tempos = [int(found) for found in _TEMPO.findall(text)]
        self.denials = {stem(word) for run in denied for word in run}
        self.denials |= {stem(word[:-4]) for word in self.words if word.endswith("less") and len(word) > 6}

    def says(self, run: Sequence[str]) -> bool:
        """Whether it has these words, in any form and side by side, for something that is there."""
        if len(run) == 1:
            return stem(run[0]) in self._said
        return f" {' '.join(map(stem, run))} " in self._line

    def worth(self, run: Sequence[str], times: int = 1) -> float:
        """1 where it has these words, a little less for another form, as "long" is of "longing", 0 without them.

        Args:
            run: The words.
            times: How often a single word is asked for, as in "la la la"; so much less where it is there less often.
        """
        if not self.says(run):
            return 0.0
        exact = len(run) > 1 or fold(run[0]) in self._forms
        often = self._line.split().count(stem(run[0])) if times > 1 else times
        return (1.0 if exact else FORM_WORTH) * min(1.0, often / times)

    def keeps(self, tempo: int) -> float:
        """How near its tempo is: 1 for the same, 0 from 5 % off; a measured tempo is 2 % off at times."""
        return max(
            (max(0.0, 1 - abs(own - tempo) / (tempo * TEMPO_REACH)) for own in self._tempos if tempo),
            default=0.0,
        )

    def denies(self, run: Sequence[str]) -> bool:
        """Whether it says that there is no such thing."""
        return bool(self.denials) and all(stem(word) in self.denials for word in run)


def _split_negations(text: str) -> tuple[list[str], list[tuple[str, ...]]]:
    """The text's clauses without what stands behind a negation, and that."""
    if NEGATORS.isdisjoint(tokens(text)):  # as most are
        return [clause for clause in (" ".join(part.split()) for part in _CUT.split(text)) if clause], []
    kept, unwanted = [], []
    for clause in _CUT.split(text):
        words = clause.split()
        place = 0
        rest: list[str] = []
        while place < len(words):
            folded = tokens(words[place])
            following = tokens(words[place + 1]) if place + 1 < len(words) else []
            if (
                folded
                and folded[-1] in NEGATORS
                and len(folded) == 1
                and following
                and following[0] not in _NOT_NEGATED
            ):
                while rest and tokens(rest[-1]) in (["but"], ["with"], ["and"]):
                    rest.pop()  # "with no", "but not"
                runs, place = _unwanted_runs(words, place + 1, 1 if folded[0] == "not" else _LONGEST_UNWANTED)
                unwanted += runs
            else:
                rest.append(words[place])
                place += 1
        kept.append(" ".join(rest))
    return [clause for clause in kept if clause], unwanted


def _unwanted_runs(words: Sequence[str], place: int, longest: int) -> tuple[list[tuple[str, ...]], int]:
    """The runs that one negation is about, "drums or electric guitar", and where they end."""
    runs: list[tuple[str, ...]] = []
    run: list[str] = []
    while place < len(words):
        folded = tokens(words[place])
        word = folded[0] if len(folded) == 1 else ""
        if word in _LINKS and run:
            following = tokens(words[place + 1]) if place + 1 < len(words) else []
            if not following or following[0] in STOP_WORDS or following[0] in NEGATORS:
                break
            runs.append(tuple(run))
            run = []
        elif word in _SKIPPED and not run:
            pass
        elif len(run) == longest or word in NEGATORS or (word in STOP_WORDS and run):
            break
        else:
            run += folded
        place += 1
    if run:
        runs.append(tuple(run))
    return runs, place
