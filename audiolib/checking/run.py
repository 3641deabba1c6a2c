"""A check from beginning to end: look, mend, and look again, because only a second look shows what is mended."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from audiolib.catalogue import Catalogue
from audiolib.checking.files import FileChecks
from audiolib.checking.findings import CheckReport, Finding
from audiolib.checking.repairs import Repairs
from audiolib.checking.rows import RowChecks
from audiolib.checking.survey import survey
from audiolib.errors import LibraryError, LibraryFormatError
from audiolib.folder import LIBRARY_FORMAT, LibraryFolder
from audiolib.migration import migrate
from audiolib.requests import Progress
from audiolib.rowdigests import RowDigest
from audiolib.sidecars import Sidecar

_ORDER: Final = {"error": 0, "warning": 1, "note": 2}


class Check:
    """A check of one library.

    Args:
        folder: The library.
        catalogue: Its search index.
        quick: Look at names and sidecars, and do not read every audio file.
    """

    def __init__(self, folder: LibraryFolder, catalogue: Catalogue, *, quick: bool = False) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._files = FileChecks(folder, survey(folder), deep=not quick)
        self._expected: dict[str, RowDigest] = {}
        self._began = time.time()

    def run(self, *, repair: bool = False, progress: Progress | None = None) -> CheckReport:
        """Look at everything, and mend what can be mended if that is asked for.

        Args:
            repair: Mend it.
            progress: Called with the clips done and the clips in all, once for each look and for the mending.

        Raises:
            LibraryFormatError: A newer audiolib wrote the library.
            LibraryBusyError: Another process holds the lock, and something is to be mended.
            IndexingError: The index cannot be written.
            OSError: The disk is full or may not be written.
        """
        found = [*self._file_findings(progress), *self._index_findings()]
        if repair and any(finding.repair for finding in found):
            found = self._mended(found, progress)
        found.sort(key=lambda finding: _ORDER[finding.severity])
        return CheckReport(clips=len(self._files.found.sidecars), findings=tuple(found))

    def _mended(self, found: list[Finding], progress: Progress | None) -> list[Finding]:
        repairs = Repairs(self._folder, self._catalogue)
        if any(finding.kind == "older-format" for finding in found):
            migrate(self._folder, self._catalogue, progress=progress)
        repairs.mend_files(found, progress=progress)
        self._files.found = survey(self._folder)
        self._began = time.time()
        left = list(self._file_findings(progress))
        repairs.mend_index(list(self._index_findings()), progress=progress)
        left += self._index_findings()
        still = {finding.key for finding in left}
        mended = [replace(finding, repaired=True) for finding in found if finding.key not in still]
        return [*mended, *left]

    def _file_findings(self, progress: Progress | None) -> Iterator[Finding]:
        self._expected = {}

        def remember(sidecar: Sidecar) -> None:
            self._expected[sidecar.clip.id] = RowDigest.of_sidecar(self._folder, sidecar)

        yield from self._manifest()
        yield from self._files.clips(each=remember, progress=progress)
        yield from self._files.others()

    def _manifest(self) -> Iterator[Finding]:
        path = self._folder.manifest_path
        try:
            manifest = self._folder.manifest()
        except LibraryFormatError:
            raise
        except LibraryError as error:
            again = "It is made again; the damaged one is kept beside it."
            yield Finding(
                kind="manifest-damaged", severity="error", sentence=str(error), path=path, repair=again
            )
            return
        if not manifest:
            yield Finding(
                kind="manifest-missing",
                severity="error",
                sentence=f"{path} is missing.",
                path=path,
                repair="It is made again.",
            )
        elif manifest["format"] < LIBRARY_FORMAT:
            yield Finding(
                kind="older-format",
                severity="warning",
                sentence=f"The library has format {manifest['format']}; the format now is {LIBRARY_FORMAT}.",
                path=path,
                repair="It is brought to the new format.",
            )

    def _index_findings(self) -> Iterator[Finding]:
        try:
            embedder = self._catalogue.embedder_name()
        except LibraryError:
            return  # without its manifest the library has no embedder; the index comes after it
        checks = RowChecks(self._catalogue.index, embedder)
        yield from self._settled(checks.findings(self._expected, self._known()))

    def _known(self) -> set[str]:
        """Clips that are there, if only their audio: its sidecar is made again from it and from the row."""
        found = self._files.found
        return {*found.sidecars, *found.audio}

    def _settled(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Without what other processes changed since the files were looked at."""
        for finding in findings:
            if finding.clip_id is not None:
                try:
                    changed = self._folder.sidecar_path(finding.clip_id).stat().st_mtime >= self._began
                except (LookupError, OSError):
                    changed = finding.kind != "row-orphaned"  # removed meanwhile
                else:
                    changed |= finding.kind == "row-orphaned"  # stored meanwhile
                if changed:
                    continue
            yield finding
