"""What people say of clips: tags and ratings; and clips that go and come back."""

import os
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from audiolib.clip import Clip
from audiolib.curation import Curator, rated, retagged
from audiolib.facade.base import LibraryBase
from audiolib.trash import Trash, TrashedClip

Reference = Clip | str | os.PathLike[str]
"""A clip, or its name as for `AudioLibrary.get`."""


class Curating(LibraryBase):
    """Clips labelled, rated, removed and brought back.

    Every method takes one clip or several, and finds all of them before it changes the first. The audio files are
    never written: their digests stay as they are, and the tags inside a file are those it was made with.
    """

    def tag(
        self,
        clips: Reference | Iterable[Reference],
        *,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        replace: Iterable[str] | None = None,
    ) -> list[Clip]:
        """Change the tags of clips.

        Args:
            clips: One clip or several.
            add: Tags that they have afterwards.
            remove: Tags that they have no more, in upper or lower case.
            replace: What they have before `add` and `remove`; `()` for none, `None` for what they had.

        Returns:
            The clips as they are now, in the order given.

        Raises:
            InvalidInputError: A tag makes no sense; nothing was changed.
            ClipNotFoundError: Nothing fits a name; nothing was changed.
            LibraryError: A sidecar cannot be read, or the library is in use.
            OSError: A sidecar cannot be written.
        """
        change = retagged(add=add, remove=remove, replace=replace)
        return self._curator().edit(self._sidecars(clips), change)

    def rate(self, clips: Reference | Iterable[Reference], rating: int | None) -> list[Clip]:
        """Give clips a rating.

        Args:
            clips: One clip or several.
            rating: From 1 to 5, the best; `None` takes the rating away.

        Returns:
            The clips as they are now, in the order given.

        Raises:
            InvalidInputError: The rating is something else; nothing was changed.
            ClipNotFoundError: Nothing fits a name; nothing was changed.
            LibraryError: A sidecar cannot be read, or the library is in use.
            OSError: A sidecar cannot be written.
        """
        change = rated(rating)
        return self._curator().edit(self._sidecars(clips), change)

    def remove(self, clips: Reference | Iterable[Reference]) -> list[TrashedClip]:
        """Move clips to the trash, from which they can be restored. Audio outside the library is left alone.

        Args:
            clips: One clip or several.

        Returns:
            What is in the trash now, in the order given.

        Raises:
            ClipNotFoundError: Nothing fits a name; nothing was removed.
            LibraryError: The library is in use.
            OSError: A file cannot be moved.
        """
        return self._curator().remove(self._sidecars(clips))

    def trash(self, *, older_than: timedelta | None = None) -> list[TrashedClip]:
        """Return the clips in the trash, the last removed first.

        Args:
            older_than: Only what was removed longer ago than this.

        Raises:
            LibraryError: There is no library, or it is of a newer format.
        """
        self._require()
        return Trash(self._folder).entries(older_than=older_than)

    def restore(self, clips: str | Iterable[str] | None = None) -> list[Clip]:
        """Bring clips back from the trash: the same ids, files and tags, and searchable.

        Args:
            clips: Ids, unique endings of ids, or `last` for the last removed; all that is there when `None`.

        Returns:
            The clips, in the order given.

        Raises:
            ClipNotFoundError: Nothing in the trash fits a name; nothing was restored.
            LibraryError: Something of theirs is in the library already, or it is in use.
            OSError: A file cannot be moved.
        """
        self._require()
        curator = self._curator()
        if clips is None:
            entries = curator.trash.entries()
        else:
            names = [clips] if isinstance(clips, str) else clips
            entries = [curator.trash.find(name) for name in names]
        return curator.restore(list({entry.path: entry for entry in entries}.values()))

    def empty_trash(
        self, *, older_than: timedelta | None = None, only: Sequence[TrashedClip] | None = None
    ) -> list[TrashedClip]:
        """Delete what is in the trash, for good.

        Args:
            older_than: Only what was removed longer ago than this.
            only: Only these of them, from `trash`: what was removed since is left alone.

        Returns:
            What was deleted.

        Raises:
            LibraryError: There is no library, it is of a newer format, or in use.
            OSError: Something cannot be deleted.
        """
        self._require()
        return self._curator().empty(older_than=older_than, only=only)

    def _curator(self) -> Curator:
        self._prepare_to_write()
        return Curator(self._folder, self._catalogue)

    def _sidecars(self, clips: Reference | Iterable[Reference]) -> list[Path]:
        """The sidecars of all clips, each once."""
        self._require()
        single = isinstance(clips, Clip | str | os.PathLike)
        references: Iterable[Reference] = [clips] if single else clips  # type: ignore[assignment, list-item]
        found = (
            self._folder.resolve(reference.id if isinstance(reference, Clip) else reference)
            for reference in references
        )
        return list(dict.fromkeys(found))
