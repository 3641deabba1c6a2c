"""What a query does not want, and what a clip's document says of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from indexing.keywords import Document, Words, stem

# What a clip's match is worth that has something unwanted, or that says that it has not got it.
UNWANTED_FACTOR: Final = 0.25
DENIED_FACTOR: Final = 1.2
# Stems of what documents sum up as "drums" or "no drums", from how percussive the sound is.
_PERCUSSION: Final = ("drum", "beat", "percussion")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objections:
    """What a document says of what is not wanted, in the query's words or its own.

    Attributes:
        has: What it has and the query does not want.
        lacks: What it says it has not, as the query wants it.
        denied: What it says it has not, though the query asks for it.
    """

    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()

    @property
    def factor(self) -> float:
        """What a match is worth: less for one that has it, more for one that says it has not."""
        # "No drums" has the word and not the thing.
        worth = UNWANTED_FACTOR if self.denied else 1.0
        return worth * UNWANTED_FACTOR ** len(self.has) * DENIED_FACTOR ** len(self.lacks)


def objections(words: Words, document: Document | None) -> Objections:
    """What a document says of what a query does not want; nothing where there is none."""
    if document is None:
        return Objections()
    has, lacks = [], []
    for run in words.unwanted:
        general = _general(run, words)
        if document.says(run):
            has.append(" ".join(run))
        elif document.denies(run):
            lacks.append(" ".join(run))
        elif len(run) == 1 and (said := [word for word in general if document.says([word])]):
            has.append(said[0])
        elif denied := [word for word in general if document.denies([word])]:
            lacks.append(denied[0])
    missed: list[str] = []
    if document.denials and not words.unwanted:
        missed = [" ".join(run) for run in words.sought if document.denies(run) and not document.says(run)]
    return Objections(has=tuple(has), lacks=tuple(lacks), denied=tuple(missed))


def _general(run: Sequence[str], words: Words) -> list[str]:
    """What else "no drums" says that there is none of: a beat, live drums, a drum machine.

    What the query asks for itself is not meant: "hand percussion without drums".
    """
    if not any(stem(word) in _PERCUSSION for word in run):
        return []
    sought = {stem(word) for other in words.sought for word in other}
    return [word for word in _PERCUSSION if word not in sought]
