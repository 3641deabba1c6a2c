"""Mending: files first, then the index, which is derived from them. Nothing is deleted that could be someone's."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from audiolib.catalogue import Catalogue
from audiolib.checking.findings import Finding
from audiolib.crashpoints import crashpoint
from audiolib.errors import LibraryError
from audiolib.files import sync_folder
from audiolib.folder import LibraryFolder
from audiolib.recovery import keep_aside, known_rows, restore_sidecar
from audiolib.reindexing import Reindexing
from audiolib.requests import Progress
from audiolib.sidecars import edit_sidecar, read_sidecar

if TYPE_CHECKING:
    from indexing.schema import IndexRow

_REBUILD = {"table-missing", "table-damaged", "wrong-embedder"}
_log = logging.getLogger(__name__)


class Repairs:
    """Mends what a check found; what fails is logged and stays a finding.

    Args:
        folder: The library.
        catalogue: Its search index.
    """

    def __init__(self, folder: LibraryFolder, catalogue: Catalogue) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._rows: dict[str, IndexRow] = {}

    def mend_files(self, findings: Sequence[Finding], *, progress: Progress | None = None) -> None:
        """Mend everything but the index.

        Args:
            findings: What was found.
            progress: Called with the repairs done and the repairs in all.

        Raises:
            OSError: The disk is full or may not be written.
        """
        handlers: dict[str, Callable[[Finding], object]] = {
            "manifest-missing": self._make_manifest,
            "manifest-damaged": self._make_manifest,
            "sidecar-damaged": self._restore,
            "without-sidecar": self._restore,
            "audio-moved": self._follow_name,
            "audio-changed": self._follow_sound,
            "descriptors-missing": self._measure,
            "stale-temporary": self._sweep,
            "half-removed": self._mend_trash,
        }
        wanted = [finding for finding in findings if finding.repair and finding.kind in handlers]
        self._rows = known_rows(self._folder, _ids(wanted, {"sidecar-damaged", "without-sidecar"}))
        for number, finding in enumerate(wanted, start=1):
            self._try(handlers[finding.kind], finding)
            crashpoint("repair.mended")
            if progress is not None:
                progress(number, len(wanted))

    def mend_index(self, findings: Sequence[Finding], *, progress: Progress | None = None) -> None:
        """Mend the index; the files must be mended already.

        Args:
            findings: What was found in the index.
            progress: Called with the clips done and the clips in all.

        Raises:
            IndexingError: The index cannot be written.
            LibraryBusyError: Another process holds the lock.
        """
        reindexing = Reindexing(self._folder, self._catalogue)
        if any(finding.kind in _REBUILD for finding in findings):
            reindexing.rebuild(progress=progress)
            return
        doubled = _ids(findings, {"row-doubled"})
        if doubled:
            with self._folder.lock():
                self._catalogue.index.remove(doubled)
        reindexing.drop_orphans({path.stem: path for path in self._folder.sidecar_paths()})
        wrong = {"row-missing", "row-outdated", "row-doubled", "vector-missing", "sound-vector-missing"}
        wanted = _ids(findings, wrong)
        if wanted:
            embedder = self._catalogue.available_embedder(warn=False)
            reindexing.refresh(wanted, embedder, progress=progress)

    def _try(self, handler: Callable[[Finding], object], finding: Finding) -> None:
        from generation.errors import GenerationError

        try:
            handler(finding)
        except (LibraryError, GenerationError, FileNotFoundError) as error:
            _log.warning("%s", error)

    def _make_manifest(self, finding: Finding) -> None:
        with self._folder.lock():
            if finding.kind == "manifest-damaged":
                keep_aside(self._folder.manifest_path)
                self._folder.manifest_path.unlink()
            embedder = self._stored_embedder() or self._catalogue.embedder_name()
            self._folder.create(embedder=embedder)

    def _stored_embedder(self) -> str | None:
        from indexing.errors import IndexingError

        try:
            return self._catalogue.index.embedder()
        except IndexingError:
            return None

    def _restore(self, finding: Finding) -> None:
        clip_id = finding.clip_id or ""
        audio = finding.path
        if finding.kind == "sidecar-damaged" and finding.path is not None:
            audio = next(
                (path for path in sorted(finding.path.parent.iterdir()) if _is_audio(path.name, clip_id)),
                None,
            )
        if audio is not None:
            restore_sidecar(self._folder, audio, clip_id, row=self._rows.get(clip_id), foreign=True)

    def _follow_name(self, finding: Finding) -> None:
        """The sidecar follows a name that begins with the clip's id; a file that went further is moved back."""
        if finding.path is None or finding.clip_id is None:
            return
        with self._folder.lock():
            path = self._folder.sidecar_path(finding.clip_id)
            if finding.path.parent == path.parent and _is_audio(finding.path.name, finding.clip_id):
                edit_sidecar(path, {"file": finding.path.name})
                return
            home = read_sidecar(path).clip.path
            if not home.exists():
                os.rename(finding.path, home)
                sync_folder(home.parent)
                sync_folder(finding.path.parent)

    def _follow_sound(self, finding: Finding) -> None:
        """The sidecar says what the file is now, and keeps what it was."""
        from audiolib.analyses import measure
        from audiolib.recording import read_facts

        path = self._folder.sidecar_path(finding.clip_id or "")
        before = read_sidecar(path)
        facts = asdict(read_facts(before.clip.path))
        changes = dict(facts)
        if facts["audio_sha256"] != before.clip.audio_sha256:
            changes |= measure(before.clip.path)
            was = {name: before.document.get(name) for name in facts}
            changes["original"] = before.document.get("original") or was
        with self._folder.lock():
            edit_sidecar(path, changes)

    def _measure(self, finding: Finding) -> None:
        from audiolib.measuring import measure_clip

        measure_clip(self._folder, self._folder.sidecar_path(finding.clip_id or ""))

    def _sweep(self, finding: Finding) -> None:
        if finding.path is not None:
            finding.path.unlink(missing_ok=True)

    def _mend_trash(self, _finding: Finding) -> None:
        from audiolib.trash import Trash

        with self._folder.lock():
            Trash(self._folder).mend()


def _ids(findings: Iterable[Finding], kinds: set[str]) -> list[str]:
    return list(dict.fromkeys(f.clip_id for f in findings if f.kind in kinds and f.clip_id))


def _is_audio(name: str, clip_id: str) -> bool:
    from audiolib.checking.survey import AUDIO_SUFFIXES

    return name.startswith(clip_id) and name.lower().endswith(AUDIO_SUFFIXES)
