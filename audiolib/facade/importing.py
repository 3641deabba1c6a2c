"""Clips that come from elsewhere."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from audiolib.clip import Clip
from audiolib.errors import AudiolibError
from audiolib.facade.base import LibraryBase
from audiolib.files import check_writable
from audiolib.requests import Progress

if TYPE_CHECKING:
    from audiolib.importing.run import Importer
    from audiolib.importing.values import ImportOutcome

AnyPath = str | os.PathLike[str]


class Importing(LibraryBase):
    """Audio of one's own, taken in."""

    def add(
        self,
        path: AnyPath,
        *,
        reference: bool = False,
        prompt: str | None = None,
        title: str | None = None,
        tags: Sequence[str] = (),
    ) -> Clip:
        """Take in one sound file; a sound that is there already is not added twice.

        Args:
            path: The file.
            reference: Leave it where it is and keep only its path.
            prompt: Words for what it sounds like.
            title: Instead of the title inside the file, or its name.
            tags: Labels.

        Returns:
            The new clip, or the one that has this sound.

        Raises:
            InvalidInputError: A word is empty, too long or not text.
            AudiolibError: The file cannot be taken in; the message says why.
            OSError: The library cannot be written.
        """
        if os.path.isdir(path):
            raise AudiolibError(f"{path} is a folder. `add_all` takes the files in it.")
        options = {"reference": reference, "prompt": prompt, "title": title, "tags": tags}
        (outcome,) = self.add_all([path], **options)  # type: ignore[arg-type]  # the same words
        if outcome.id is None:
            raise AudiolibError(f"{path} was not added. {outcome.reason}")
        return self._sidecar(outcome.id).clip

    def add_all(
        self,
        paths: Iterable[AnyPath],
        *,
        reference: bool = False,
        prompt: str | None = None,
        title: str | None = None,
        tags: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> "Iterator[ImportOutcome]":
        """Take in sound files and the sound files in folders; one bad file does not stop the others.

        Args:
            paths: Files and folders.
            reference: Leave them where they are and keep only their paths.
            prompt: Words for what they sound like.
            title: Instead of the titles inside the files, or their names.
            tags: Labels.
            progress: Called with the files done and the files in all.

        Returns:
            What came of each file, when it is safe: stored and indexed.

        Raises:
            InvalidInputError: A word is empty, too long or not text; nothing was changed.
            LibraryError: The library cannot be used.
            OSError: The library cannot be written; what was yielded before is safe.
        """
        from audiolib.importing.values import ImportOptions

        options = ImportOptions(reference=reference, prompt=prompt, title=title, tags=tags).checked()
        return self._importer().add([Path(path) for path in paths], options, progress=progress)

    def watch(
        self,
        folder: AnyPath,
        *,
        once: bool = False,
        interval: float = 2.0,
        reference: bool = False,
        tags: Sequence[str] = (),
    ) -> "Iterator[ImportOutcome]":
        """Keep a folder imported: take in what is there and what comes, for ever.

        A file is taken when two looks saw it with the same size and time; one that changes is taken again.

        Args:
            folder: The folder.
            once: End when all that is there now was taken in.
            interval: Seconds between two looks.
            reference: Leave the files where they are and keep only their paths.
            tags: Labels.

        Returns:
            What came of each file, when it is safe: stored and indexed.

        Raises:
            InvalidInputError: The folder is none, or is the library.
            LibraryError: The library cannot be used.
            OSError: The library cannot be written.
        """
        from audiolib.importing.values import ImportOptions
        from audiolib.importing.watching import Watcher

        options = ImportOptions(reference=reference, tags=tags).checked()
        importer = self._importer()
        watcher = Watcher(
            Path(os.path.abspath(folder)),
            library=self._folder.root,
            importer=importer,
            options=options,
            interval=interval,
        )
        return watcher.run(once=once)

    def _importer(self) -> "Importer":
        from audiolib.importing.run import Importer

        check_writable(self._folder.root)
        self._prepare_to_write()
        self._folder.create(embedder=self._catalogue.embedder_name())
        return Importer(self._folder, self._catalogue)
