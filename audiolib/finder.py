"""Finding clips: listed from the files, searched in the index, or near enough to be used again."""

import logging
from collections.abc import Callable, Iterator
from typing import Final

from audiolib.catalogue import Catalogue
from audiolib.clip import Clip, SearchHit
from audiolib.errors import LibraryError
from audiolib.folder import LibraryFolder
from audiolib.sidecars import read_sidecar

REUSE_SCORE: Final = 0.95
"""Scores of true paraphrases end at 0.66 and "loud piano" reaches 0.75 for "calm piano": only near 1 is the same."""

_REUSE_CANDIDATES: Final = 20
_log = logging.getLogger(__name__)


class Finder:
    """Finds clips of a library that exists.

    Args:
        folder: The library.
        catalogue: Its search index.
    """

    def __init__(self, folder: LibraryFolder, catalogue: Catalogue) -> None:
        self._folder = folder
        self._catalogue = catalogue

    def newest(
        self, *, limit: int | None = None, broken: Callable[[str], None] | None = None
    ) -> Iterator[Clip]:
        """Yield the clips, newest first; see `AudioLibrary.list`."""
        for path in self._folder.sidecar_paths()[::-1][:limit]:
            try:
                yield read_sidecar(path).clip
            except FileNotFoundError:
                continue  # removed meanwhile
            except LibraryError as error:
                (broken or _log.warning)(str(error))

    def search(self, words: str, *, limit: int, one_off: bool = False) -> list[SearchHit]:
        """Return the clips nearest to some words, best first; see `AudioLibrary.search`."""
        hits: list[SearchHit] = []
        for found in self._catalogue.search(words, one_off=one_off):
            try:
                clip = read_sidecar(self._folder.sidecar_path(found.id)).clip
            except (LookupError, OSError):
                continue  # its files are gone; the next `index` drops the row
            except LibraryError as error:
                _log.warning("%s", error)
                continue
            hits.append(SearchHit(clip=clip, score=found.score))
            if len(hits) == limit:
                break
        waiting = self._catalogue.unsearchable()
        if waiting:
            are = "One clip is" if waiting == 1 else f"{waiting:,} clips are"
            _log.warning("%s not searchable yet. `audiolib index` catches up.", are)
        return hits

    def reusable(self, prompt: str) -> Iterator[Clip]:
        """Yield clips whose words are as good as the same, best first.

        Tags and transcripts may lower a score, so clips with this very prompt come after those that score.

        Args:
            prompt: A cleaned prompt.
        """
        from indexing.errors import EmbedderUnavailableError

        seen: set[str] = set()
        try:
            for hit in self.search(prompt, limit=_REUSE_CANDIDATES):
                if hit.score is not None and hit.score >= REUSE_SCORE:
                    seen.add(hit.clip.id)
                    yield hit.clip
        except EmbedderUnavailableError as error:
            _log.info("Only the same words are reused: %s", error)
        wanted = _same_words(prompt)
        yield from (
            clip for clip in self.newest() if _same_words(clip.prompt) == wanted and clip.id not in seen
        )


def _same_words(prompt: str | None) -> str:
    return " ".join((prompt or "").casefold().split())
