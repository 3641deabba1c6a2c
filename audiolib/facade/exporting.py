"""Clips that leave as a data set or a playlist."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from audiolib.clip import Clip
from audiolib.errors import InvalidInputError
from audiolib.exporting.export import ExportReport, export_files, export_parquet
from audiolib.exporting.target import Kind, check_target, prepare_target
from audiolib.facade.base import LibraryBase
from audiolib.requests import Progress

if TYPE_CHECKING:
    from indexing.filters import Filters


class Exporting(LibraryBase):
    """Copies for other programs."""

    def export(
        self,
        folder: str | os.PathLike[str],
        *,
        filters: "Filters | None" = None,
        sort: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        parquet: bool = False,
        csv: bool = False,
        playlist: bool = False,
        update: bool = False,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Copy clips into a folder that Hugging Face's `datasets`, players and spreadsheets can read.

        Without `parquet` the files lie in `audio/` under names made from their prompts, and `metadata.jsonl` (the
        layout of `audiofolder`) says all that is known of each. Nothing is linked: the library and the export can be
        changed without one another. However large the export is, a few rows are held in memory at a time. Where no clip
        is chosen nothing is written: no folder is made, and an earlier export alone is brought up to date.

        Args:
            folder: Where to; new or empty.
            filters: Only clips like this.
            sort: The order, one of `audiolib.selection.SORTS`; newest first when `None`.
            reverse: The other way round.
            limit: How many at most.
            parquet: Write Parquet files with the sound inside in place of the audio files.
            csv: Write `clips.csv` too.
            playlist: Write `clips.m3u8` too; it needs audio files.
            update: The folder holds an earlier export: add what is missing there, and say of the clips selected what
                is known now. Nothing is taken away.
            progress: Called with the clips done and the clips in all.

        Returns:
            What was done; `left_out` names clips that could not be read.

        Raises:
            InvalidInputError: The folder holds something else or is in the library, or the options contradict.
            LibraryError: There is no library, or it is of a newer format.
            IndexingError: The index, which filters and sorting need, cannot be read.
            OSError: A file cannot be written. Whole files stay, and `update` goes on from there.
        """
        if parquet and playlist:
            raise InvalidInputError(
                "A playlist needs audio files, Parquet holds them inside. Leave one of them out."
            )
        self._require()
        broken: list[str] = []
        selection = self._finder.select(
            filters=filters, sort=sort, reverse=reverse, limit=limit, broken=broken.append
        )
        kind: Kind = "parquet" if parquet else "files"
        root, earlier = check_target(Path(folder), kind=kind, update=update, library=self.path)
        first = next(selection.clips, None)
        if first is None and not earlier:
            return ExportReport(folder=root, clips=0, added=0, bytes=0, left_out=tuple(broken))
        prepare_target(root, kind=kind)
        chosen = selection.clips if first is None else chain((first,), selection.clips)
        clips = _reported(chosen, selection.total, progress)
        if parquet:
            return export_parquet(root, clips, csv_table=csv, left_out=broken)
        return export_files(root, clips, csv_table=csv, playlist=playlist, left_out=broken)


def _reported(clips: Iterable[Clip], total: int, progress: Progress | None) -> Iterator[Clip]:
    for number, clip in enumerate(clips, start=1):
        yield clip
        if progress is not None:
            progress(number, total)
