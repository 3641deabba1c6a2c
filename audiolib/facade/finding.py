"""Finding clips: by name, by words, by sound, by what they are like."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from audiolib.clip import Clip, Recipe, SearchHit
from audiolib.details import ClipDetails, clipped_of, details_of
from audiolib.errors import InvalidInputError
from audiolib.facade.base import LibraryBase
from audiolib.prompts import clean_prompt
from audiolib.similar import Listener

if TYPE_CHECKING:
    from indexing.filters import Filters

Hits = list[SearchHit]  # named here because the class has a method called `list`


class Finding(LibraryBase):
    """Questions that change nothing."""

    def get(self, reference: str | os.PathLike[str]) -> Clip:
        """Return a clip by its id, a unique ending of it, a path of one of its files, or `last`.

        Args:
            reference: The name.

        Raises:
            ClipNotFoundError: Nothing fits.
            AmbiguousClipError: The ending fits several clips.
            LibraryError: There is no library, or the sidecar cannot be read.
        """
        return self._sidecar(reference).clip

    def recipe(self, reference: str | os.PathLike[str]) -> Recipe | None:
        """Return how a clip was made, `None` for an imported one.

        Args:
            reference: The clip, named as for `get`.

        Raises:
            ClipNotFoundError: As for `get`, and so for the other errors.
        """
        return self._sidecar(reference).recipe

    def clipped(self, reference: str | os.PathLike[str]) -> dict[str, float] | None:
        """Return what was over full scale and cut off when a clip was written, audible or not.

        Args:
            reference: The clip, named as for `get`.

        Returns:
            `samples`, how many, and `over_db`, how far the largest was over; `limit_db` where the limit was another
            than full scale. `None` where nothing was, or nobody wrote it down: of imported clips, and by older
            versions.

        Raises:
            ClipNotFoundError: As for `get`, and so for the other errors.
        """
        return clipped_of(self._sidecar(reference))

    def details(self, reference: str | os.PathLike[str]) -> ClipDetails:
        """Return all that is known of a clip: also how sure its descriptors are, and where its words come from.

        Args:
            reference: The clip, named as for `get`.

        Raises:
            ClipNotFoundError: As for `get`, and so for the other errors.
        """
        return details_of(self._sidecar(reference))

    def list(
        self,
        *,
        filters: "Filters | None" = None,
        sort: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        broken: Callable[[str], None] | None = None,
    ) -> Iterator[Clip]:
        """Yield clips, newest first. Without filters and sorting the files are read, not the index.

        Args:
            filters: Only clips like this.
            sort: The order, one of `audiolib.selection.SORTS`: created and rating begin with the newest and the
                best, the others with A or the lowest; clips without a value come last.
            reverse: The other way round.
            limit: How many at most.
            broken: Called with a sentence for each sidecar that cannot be read; logged when `None`.

        Raises:
            InvalidInputError: There is no such order.
            LibraryError: There is no library, or it is of a newer format.
            IndexingError: The index, which filters and sorting need, cannot be read.
        """
        self._require()
        selection = self._finder.select(
            filters=filters, sort=sort, reverse=reverse, limit=limit, broken=broken
        )
        yield from selection.clips

    def count(self) -> int:
        """Return how many clips there are, whether indexed or not, and whether their sidecars can be read or not.

        Raises:
            LibraryError: There is no library, or it is of a newer format.
        """
        self._require()
        return self._folder.count()

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        mode: str | None = None,
        filters: "Filters | None" = None,
        explain: bool = False,
        space: str | None = None,
        one_off: bool = False,
    ) -> Hits:
        """Find clips by words.

        Args:
            query: Words for what is wanted; words in quotes are a phrase, what follows "no" or "without" is not
                wanted.
            limit: How many hits at most.
            mode: `semantic` finds by meaning, `keyword` by the words themselves, forgiving a typo of one letter, and
                needs no embedder; `hybrid`, the default, by both.
            filters: Only clips like this.
            explain: Say of each hit why it is there.
            space: Compare the words with the clips' sound, through a CLAP model that `index_space` let hear them: its
                name, or `clap` for the one in use.
            one_off: This is all that the process will do. It starts 0.4 s sooner without the matrix library that
                makes everything else faster.

        Returns:
            Hits, best first. The score is max(0, cosine similarity) of the query and the clip's words in every mode,
            so only `semantic` is in its order; it is `None` where nothing can tell.

        Raises:
            InvalidInputError: The query is empty or too long, the limit is not above 0, there is no such mode, or it
                is none for a space.
            LibraryError: There is no library, it is of a newer format, or no clip was heard in that space.
            IndexingError: The query cannot be embedded here, or the index cannot be read.
        """
        words = clean_prompt(query, what="query")
        _check_limit(limit)
        self._require()
        if space is not None:
            if explain or mode not in (None, "semantic"):
                raise InvalidInputError(
                    "In a space of sounds hits are in the order of their scores: leave mode and reasons out."
                )
            listener = Listener(self._catalogue, space)
            vector = listener.words(words)
            return self._finder.nearest(vector, space=listener.space, limit=limit, filters=filters)
        return self._finder.search(
            words, limit=limit, mode=mode or "hybrid", filters=filters, explain=explain, one_off=one_off
        )

    def similar(
        self,
        clip: Clip | str | os.PathLike[str] | None = None,
        *,
        file: str | os.PathLike[str] | None = None,
        limit: int = 10,
        filters: "Filters | None" = None,
        space: str | None = None,
    ) -> Hits:
        """Find the clips that sound most like a clip, or like any audio file.

        Args:
            clip: A clip, or its name as for `get`.
            file: An audio file that need not be in the library, and is not added.
            limit: How many hits at most.
            filters: Only clips like this.
            space: Compare them as a CLAP model hears them, as for `search`; by the built-in measure when `None`.

        Returns:
            Hits by falling score, max(0, cosine similarity) of the sounds; the clip itself is not among them.

        Raises:
            InvalidInputError: Both or neither are given, the limit is not above 0, there is nothing to hear in it, or
                the file's sample rate makes no sense.
            ClipNotFoundError: Nothing fits the name.
            LibraryError: The clip was not measured yet; there is no library, or it is of a newer format.
            IndexingError: The index cannot be read.
            AudioError: The file is no audio.
        """
        if (clip is None) == (file is None):
            raise InvalidInputError("Give either a clip or a file to compare with.")
        _check_limit(limit)
        self._require()
        own = None
        listener = Listener(self._catalogue, space)
        if file is not None:
            vector = listener.file(Path(file))
        else:
            sidecar = self._sidecar(clip.id if isinstance(clip, Clip) else clip)  # type: ignore[arg-type]
            vector, own = listener.clip(sidecar), sidecar.clip.id
        return self._finder.nearest(vector, space=listener.space, limit=limit, filters=filters, without=own)

    def play(self, clip: Clip | str | os.PathLike[str]) -> Clip:
        """Play a clip and wait for its end.

        Args:
            clip: The clip, or its name as for `get`.

        Raises:
            PlaybackError: There is no way to play on this machine.
            ClipNotFoundError: Nothing fits the name.
        """
        from audiolib.playback import play

        found = clip if isinstance(clip, Clip) else self.get(clip)
        play(found.path)
        return found


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise InvalidInputError(f"A limit of {limit} makes no sense. Use 1 or more.")
