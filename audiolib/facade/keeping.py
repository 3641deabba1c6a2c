"""Keeping the library in order: the index in step with the files, transcripts, repairs."""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from audiolib.facade.base import LibraryBase
from audiolib.reindexing import IndexReport, Reindexing
from audiolib.requests import Progress

if TYPE_CHECKING:
    from audiolib.checking.findings import CheckReport
    from audiolib.listening import SpaceReport
    from audiolib.transcripts import TranscribeReport


class Keeping(LibraryBase):
    """What is derived from the files, made and mended."""

    def index(
        self, *, rebuild: bool = False, embedder: str | None = None, progress: Progress | None = None
    ) -> IndexReport:
        """Bring the search index up to date with the files, and finish what a crash cut off.

        Clips that were never measured are, which takes longer than all else; what was done stays done when it is
        interrupted.

        Args:
            rebuild: Make it again from the sidecars; the old one serves searches until the new one is whole.
            embedder: The embedder to use from now on; for a change of embedder `rebuild` is needed.
            progress: Called with the clips done and the clips in all, for measuring and then for indexing.

        Raises:
            LibraryError: There is no library, it is of a newer format, or in use.
            IndexingError: The index cannot be read or written, or was made with another embedder.
        """
        from audiolib.measuring import measure_clips, unmeasured
        from audiolib.migration import migrate
        from audiolib.recovery import complete_clips, sweep_temporaries
        from audiolib.trash import Trash

        self._require()
        self._folder.create(embedder=self._catalogue.embedder_name())
        rebuild = not migrate(self._folder, self._catalogue, progress=progress) and rebuild
        Trash(self._folder).mend()  # first, so that no removed clip is taken for one that lacks its sidecar
        completed = complete_clips(self._folder)
        sweep_temporaries(self._folder)
        measured, unreadable = measure_clips(self._folder, unmeasured(self._folder), progress=progress)
        reindexing = Reindexing(self._folder, self._catalogue)
        if rebuild:
            report = reindexing.rebuild(embedder=embedder, progress=progress)
        else:
            report = reindexing.catch_up(name=embedder, progress=progress)
        return replace(
            report, completed=completed, measured=len(measured), broken=(*report.broken, *unreadable)
        )

    def index_space(self, space: str = "clap", *, progress: Progress | None = None) -> "SpaceReport":
        """Let a CLAP model hear every clip that it has not heard, for `search` and `similar` in its space.

        Args:
            space: The model's name or folder; `clap` for the one that is in use, or the best that is here.
            progress: Called with the clips done and the clips in all.

        Raises:
            LibraryError: There is no library, it is of a newer format, or in use.
            IndexingError: There is no such model on this machine, or the index cannot be written.
            OSError: A sidecar cannot be written.
        """
        from audiolib.listening import fill_space

        self._require()
        return fill_space(self._folder, self._catalogue, space, progress=progress)

    def check(
        self, *, repair: bool = False, quick: bool = False, progress: Progress | None = None
    ) -> "CheckReport":
        """Hold files, sidecars and index against each other, and mend what is wrong if that is asked for.

        Nothing is ever deleted that could be someone's: damaged sidecars are kept beside the new ones, files that are
        none of ours are named and left alone.

        Args:
            repair: Mend what can be mended.
            quick: Do not read every audio file to compare its digest.
            progress: Called with the clips done and the clips in all, for each look and for the mending.

        Raises:
            LibraryError: There is no library, it is of a newer format, or in use.
            IndexingError: The index cannot be written.
            OSError: The disk is full or may not be written.
        """
        from audiolib.checking.run import Check
        from audiolib.settings import find_existing_library

        find_existing_library(self.path, self.settings)
        check = Check(self._folder, self._catalogue, quick=quick)
        return check.run(repair=repair, progress=progress)

    def transcribe(
        self,
        *,
        whisper: str | None = None,
        ids: Collection[str] | None = None,
        again: bool = False,
        progress: Progress | None = None,
    ) -> "TranscribeReport":
        """Run Whisper over the clips that have no transcript; without a model they are marked as pending.

        Args:
            whisper: The model's name or folder.
            ids: Only these clips.
            again: Listen to clips again that another model listened to.
            progress: Called with the clips done and the clips in all.

        Raises:
            LibraryError: There is no library, it is of a newer format, or in use.
        """
        from audiolib.transcripts import transcribe

        self._require()
        return transcribe(
            self._folder,
            whisper=whisper or self.settings.whisper,
            changed=self._catalogue.add,
            ids=ids,
            again=again,
            progress=progress,
        )
