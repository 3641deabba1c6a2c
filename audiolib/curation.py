"""What people say of clips, written into their sidecars and then into the index; and clips that go and come back."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from audiolib.catalogue import Catalogue
from audiolib.clip import Clip
from audiolib.crashpoints import crashpoint
from audiolib.errors import ClipNotFoundError, InvalidInputError, LibraryError
from audiolib.folder import LibraryFolder
from audiolib.prompts import clean_tags
from audiolib.sidecars import Sidecar, edit_sidecar, read_sidecar
from audiolib.trash import Trash, TrashedClip

RATINGS: Final = range(1, 6)

# Others wait while the lock is held, so it is given back after so many clips.
_BATCH: Final = 100

_log = logging.getLogger(__name__)

Item = TypeVar("Item")
Change = Callable[[Clip], dict[str, Any]]
"""What is to be different in a clip's sidecar."""


class Curator:
    """Edits, removes and restores clips, each batch under the library's lock.

    Args:
        folder: The library.
        catalogue: Its index.
    """

    def __init__(self, folder: LibraryFolder, catalogue: Catalogue) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self.trash = Trash(folder)

    def edit(self, sidecars: Sequence[Path], change: Change) -> list[Clip]:
        """Change clips: their sidecars, then their rows.

        Args:
            sidecars: The clips' sidecars.
            change: Returns a clip's new values; it is called under the lock, so that no other edit is lost.

        Returns:
            The clips as they are now, in the order given.

        Raises:
            SidecarError: One cannot be read; those before it are changed.
            LibraryBusyError: Another process holds the lock.
            OSError: A sidecar cannot be written.
        """
        clips: list[Clip] = []
        for batch in _batches(sidecars):
            changed: list[Sidecar] = []
            with self._folder.lock():
                try:
                    for path in batch:
                        sidecar, is_new = _edited(path, change)
                        clips.append(sidecar.clip)
                        if is_new:
                            changed.append(sidecar)
                finally:
                    # Still under the lock: an older row must not come after a newer one.
                    self._index(changed)
                    crashpoint("tag.row-written")
        return clips

    def remove(self, sidecars: Sequence[Path]) -> list[TrashedClip]:
        """Move clips to the trash and take their rows out of the index.

        Args:
            sidecars: The clips' sidecars.

        Returns:
            The clips in the trash, in the order given.

        Raises:
            LibraryBusyError: Another process holds the lock.
            OSError: A file cannot be moved.
        """
        removed: list[TrashedClip] = []
        for batch in _batches(sidecars):
            gone: list[TrashedClip] = []
            with self._folder.lock():
                try:
                    for path in batch:
                        if path.exists():  # another process may have been faster
                            gone.append(self.trash.put(path))
                finally:
                    crashpoint("remove.files-moved")
                    self._catalogue.remove([entry.id for entry in gone])
                    crashpoint("remove.row-removed")
            removed.extend(gone)
        return removed

    def restore(self, entries: Sequence[TrashedClip]) -> list[Clip]:
        """Bring clips back from the trash and make them searchable.

        Args:
            entries: The clips.

        Returns:
            The clips, in the order given; those whose sidecar is damaged come back and are left out.

        Raises:
            LibraryError: Something of theirs is in the library already; those before it are restored.
            OSError: A file cannot be moved.
        """
        restored: list[Clip] = []
        for batch in _batches(entries):
            back: list[Sidecar] = []
            with self._folder.lock():
                try:
                    for entry in batch:
                        path = self.trash.restore(entry)
                        try:
                            back.append(read_sidecar(path))
                        except LibraryError as error:
                            _log.warning("Clip %s is back, but it cannot be used yet. %s", entry.id, error)
                finally:
                    self._index(back)
                    crashpoint("restore.row-written")
            restored.extend(sidecar.clip for sidecar in back)
        return restored

    def empty(
        self, *, older_than: timedelta | None = None, only: Sequence[TrashedClip] | None = None
    ) -> list[TrashedClip]:
        """Delete what is in the trash, and finish what a crash cut off.

        Args:
            older_than: Only what was removed longer ago than this.
            only: Only these of them, as somebody saw them; all when `None`.

        Returns:
            What was deleted.

        Raises:
            LibraryBusyError: Another process holds the lock.
            OSError: Something cannot be deleted.
        """
        with self._folder.lock():
            self.trash.mend()
            deleted = self.trash.entries(older_than=older_than)
            if only is not None:
                seen = {(entry.path, entry.removed_at) for entry in only}
                deleted = [entry for entry in deleted if (entry.path, entry.removed_at) in seen]
            for entry in deleted:
                self.trash.delete(entry)
        return deleted

    def _index(self, sidecars: Sequence[Sidecar]) -> None:
        if sidecars:
            self._catalogue.add(sidecars)


def retagged(
    *, add: Iterable[str] = (), remove: Iterable[str] = (), replace: Iterable[str] | None = None
) -> Change:
    """Return the change that gives clips other tags; the order of those that stay is kept.

    Args:
        add: Tags that they have afterwards.
        remove: Tags that they do not, in upper or lower case.
        replace: All tags that they have before `add` and `remove`; what they had when `None`.

    Raises:
        InvalidInputError: A tag is empty, too long or not text.
    """
    added, removed = clean_tags(_listed(add)), {tag.casefold() for tag in clean_tags(_listed(remove))}
    base = None if replace is None else clean_tags(_listed(replace))
    both = removed & {tag.casefold() for tag in added}
    if both:
        raise InvalidInputError(f"The tag {sorted(both)[0]!r} is both to be added and removed.")

    def change(clip: Clip) -> dict[str, Any]:
        tags = [tag for tag in (clip.tags if base is None else base) if tag.casefold() not in removed]
        known = {tag.casefold() for tag in tags}
        for tag in added:
            if tag.casefold() not in known:
                tags.append(tag)
                known.add(tag.casefold())
        return {"tags": list(clean_tags(tags))}

    return change


def rated(rating: int | None) -> Change:
    """Return the change that gives clips a rating.

    Args:
        rating: From 1 to 5, or `None` for none.

    Raises:
        InvalidInputError: It is something else.
    """
    if rating is not None and (isinstance(rating, bool) or rating not in RATINGS):
        raise InvalidInputError(f"A rating of {rating} makes no sense. Use 1 to 5.")
    return lambda _clip: {"rating": rating}


def _edited(path: Path, change: Change) -> tuple[Sidecar, bool]:
    """The sidecar after the change, and whether that made a difference."""
    try:
        before = read_sidecar(path)
    except FileNotFoundError as error:
        raise ClipNotFoundError(f"Clip {path.stem} was removed meanwhile.") from error
    changes = change(before.clip)
    if all(before.document.get(name) == value for name, value in changes.items()):
        return before, False
    after = edit_sidecar(path, changes)
    crashpoint("tag.sidecar-written")
    return after, True


def _listed(tags: Iterable[str]) -> tuple[str, ...]:
    return (tags,) if isinstance(tags, str) else tuple(tags)


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
