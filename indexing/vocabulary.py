"""Words that some clip is known to have: seen in what earlier searches found, as long as nothing was written since."""

from pathlib import Path
from typing import Final

from indexing import lance

_MOST_TABLES: Final = 8
_MOST_WORDS: Final = 200_000
_seen: dict[Path, tuple[tuple[int, int], set[str]]] = {}


def seen_words(folder: Path) -> set[str]:
    """Stems of words in documents of a table, to be added to; a set of its own where the table has just changed.

    To see whether any clip has a word, a search asks the table once or twice, 10 ms of a million rows each time. With
    every commit all of them are forgotten, for it may have removed the last clip that has one.

    Args:
        folder: The index's folder.
    """
    state = lance.settled_state(folder)
    if state is None:
        return set()
    kept = _seen.get(folder)
    if kept is not None and kept[0] == state and len(kept[1]) < _MOST_WORDS:
        return kept[1]
    if len(_seen) >= _MOST_TABLES:
        _seen.clear()
    words: set[str] = set()
    _seen[folder] = (state, words)
    return words
