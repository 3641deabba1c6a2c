"""Checks of the files: every clip has a sidecar that can be read, and audio that is what the sidecar says."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from audiolib.checking.findings import Finding
from audiolib.checking.survey import AUDIO_SUFFIXES, Survey, is_stale
from audiolib.checking.trash import trash_findings
from audiolib.clip import Clip
from audiolib.errors import LibraryError, LibraryFormatError
from audiolib.files import file_sha256
from audiolib.folder import LibraryFolder
from audiolib.measuring import is_measured
from audiolib.sidecars import Sidecar, read_sidecar

REGENERATE = "Move the file away and run `audiolib regenerate {0}`: it makes the same sound again."
_ADD = "Move it out of the library and add it with `audiolib add`."
_ALL_BUT_ONE = (
    "Move all but one of its files out of the library and check again: "
    "the one that is left gets its sidecar back."
)
_RESTORE = "Bring it back from a backup, or remove the clip with `audiolib remove {0}`."


class FileChecks:
    """Looks at every file of a library.

    Args:
        folder: The library.
        found: What lies in it.
        deep: Read every audio file and compare its digest.
    """

    def __init__(self, folder: LibraryFolder, found: Survey, *, deep: bool) -> None:
        self._folder = folder
        self.found = found
        """What lies in the library; another survey is looked at again with the digests that are known."""
        self._deep = deep
        self._digests: dict[tuple[str, int, int], str] = {}
        self._odd_audio: dict[str, Path] | None = None

    def clips(
        self, *, each: Callable[[Sidecar], None], progress: Callable[[int, int], None] | None = None
    ) -> Iterator[Finding]:
        """Yield what is wrong with the clips' files.

        Args:
            each: Called with every sidecar that can be read.
            progress: Called with the clips done and the clips in all.
        """
        self._odd_audio = None
        total = len(self.found.sidecars)
        for number, clip_id in enumerate(sorted(self.found.sidecars), start=1):
            yield from self._clip(clip_id, each)
            if progress is not None:
                progress(number, total)

    def others(self) -> Iterator[Finding]:
        """Yield what there is beside the clips."""
        found = self.found
        half_removed = set()
        for finding in trash_findings(self._folder, found):
            half_removed.add(finding.clip_id)
            yield finding
        lost = (found.audio.keys() | found.codes.keys()) - found.sidecars.keys() - half_removed
        for clip_id in sorted(lost & found.audio.keys()):
            yield from self._without_sidecar(clip_id)
        for clip_id in sorted(lost - found.audio.keys()):
            for path in found.codes[clip_id]:
                if is_stale(path):
                    yield _odd(path, "belongs to a clip that is not there")
                else:
                    found.fresh.append(path)
        for path in found.temporaries:
            yield Finding(
                kind="stale-temporary",
                severity="warning",
                sentence=f"{path} was left behind by a process that was stopped.",
                path=path,
                repair="It is removed.",
            )
        for path in found.odd:
            link = " is a link and is not looked into" if path.is_symlink() else None
            yield _odd(path, link or "is no file of a clip")
        if found.fresh:
            files = "One file is" if len(found.fresh) == 1 else f"{len(found.fresh):,} files are"
            yield Finding(
                kind="in-progress",
                severity="note",
                sentence=f"{files} younger than ten minutes and may still be written.",
                path=found.fresh[0],
            )

    def _clip(self, clip_id: str, each: Callable[[Sidecar], None]) -> Iterator[Finding]:
        paths = self.found.sidecars[clip_id]
        usual = self._folder.month_folder(clip_id)
        path = next((path for path in paths if path.parent == usual), paths[-1])
        for other in paths:
            if other != path:
                yield Finding(
                    kind="duplicate-id",
                    severity="warning",
                    sentence=f"{other} has the same id as {path}; only the second is used.",
                    clip_id=clip_id,
                    path=other,
                    by_hand="Move one of them out of the library, and add its audio again with `audiolib add`.",
                )
        try:
            sidecar = read_sidecar(path)
        except FileNotFoundError:
            return  # removed meanwhile
        except LibraryFormatError as error:
            yield Finding(
                kind="sidecar-newer", severity="warning", sentence=str(error), clip_id=clip_id, path=path
            )
        except (LibraryError, OSError) as error:
            yield self._damaged_sidecar(clip_id, path, error)
        else:
            each(sidecar)
            yield from self._whole_clip(sidecar)

    def _damaged_sidecar(self, clip_id: str, path: Path, error: Exception) -> Finding:
        readable = (
            not isinstance(error.__cause__ or error, OSError) and len(self.found.audio.get(clip_id, ())) == 1
        )
        again = "It is made again from the audio and the index; the damaged one is kept beside it."
        return Finding(
            kind="sidecar-damaged",
            severity="error",
            sentence=str(error),
            clip_id=clip_id,
            path=path,
            repair=again if readable else None,
            by_hand=None if readable else _RESTORE.format(clip_id),
        )

    def _whole_clip(self, sidecar: Sidecar) -> Iterator[Finding]:
        clip = sidecar.clip
        try:
            there = clip.path.is_file()
            digest = self._digest(clip.path) if self._deep and there else clip.sha256
        except FileNotFoundError:
            there, digest = False, clip.sha256
        except OSError as error:
            yield Finding(
                kind="audio-damaged",
                severity="error",
                sentence=f"{clip.path} cannot be read: {error.strerror or error}.",
                clip_id=clip.id,
                path=clip.path,
            )
            return
        if not there:
            if sidecar.path.exists():  # and not removed meanwhile
                yield self._missing_audio(sidecar)
            return
        changed = list(self._changed_audio(sidecar)) if digest != clip.sha256 else []
        yield from changed
        yield from self._codes(sidecar)
        if not is_measured(sidecar) and not any(finding.kind == "audio-damaged" for finding in changed):
            yield Finding(
                kind="descriptors-missing",
                severity="warning",
                sentence=f"What clip {clip.id} sounds like was not measured yet.",
                clip_id=clip.id,
                path=sidecar.path,
                repair="It is measured.",
            )

    def _missing_audio(self, sidecar: Sidecar) -> Finding:
        clip = sidecar.clip
        others = [path for path in self.found.audio.get(clip.id, ()) if path.parent == sidecar.path.parent]
        if len(others) == 1:
            return Finding(
                kind="audio-moved",
                severity="error",
                sentence=f"The audio of clip {clip.id} is called {others[0].name}, not {clip.path.name}.",
                clip_id=clip.id,
                path=others[0],
                repair="The sidecar follows it.",
            )
        if not sidecar.referenced and (astray := self._astray(clip)) is not None:
            return Finding(
                kind="audio-moved",
                severity="error",
                sentence=f"The audio of clip {clip.id} was moved to {astray}.",
                clip_id=clip.id,
                path=astray,
                repair="It is moved back.",
            )
        again = f"`audiolib regenerate {clip.id}` makes it again."
        back = (
            f"`audiolib add` puts it back, from the file it came from or a copy. {_RESTORE.format(clip.id)}"
        )
        return Finding(
            kind="audio-missing",
            severity="error",
            sentence=f"The audio of clip {clip.id} is gone: {clip.path}.",
            clip_id=clip.id,
            path=clip.path,
            by_hand=again if sidecar.recipe is not None else back,
        )

    def _astray(self, clip: Clip) -> Path | None:
        """The very file of a clip, in a folder or under a name that a hand gave it; no odd file any more then."""
        if self._odd_audio is None:
            self._odd_audio = self._by_digest(
                path for path in self.found.odd if path.suffix.lower() in AUDIO_SUFFIXES
            )
        named = self._by_digest(self.found.audio.get(clip.id, ())).get(clip.sha256)
        astray = named or self._odd_audio.pop(clip.sha256, None)
        if astray in self.found.odd:
            self.found.odd.remove(astray)
        return astray

    def _changed_audio(self, sidecar: Sidecar) -> Iterator[Finding]:
        """Other bytes than recorded: other tags, another sound, or damage."""
        from audiolib.recording import is_cut, read_facts
        from generation.errors import AudioError

        clip = sidecar.clip
        try:
            facts = asdict(read_facts(clip.path))
        except (AudioError, OSError) as error:
            reason = str(error)
        else:
            same = facts["audio_sha256"] == clip.audio_sha256
            reason = "" if same or not is_cut(clip.path) else "Its end is missing."
        if reason:
            yield Finding(
                kind="audio-damaged",
                severity="error",
                sentence=f"{clip.path} is damaged. {reason}",
                clip_id=clip.id,
                path=clip.path,
                by_hand=(REGENERATE if sidecar.recipe is not None else _RESTORE).format(clip.id),
            )
        else:
            yield Finding(
                kind="audio-changed",
                severity="warning",
                sentence=f"{clip.path} was changed by another program; "
                + ("it sounds the same." if same else "it is another sound now."),
                clip_id=clip.id,
                path=clip.path,
                repair="The sidecar follows it."
                if same
                else "It is measured again, and the sidecar follows it.",
            )

    def _codes(self, sidecar: Sidecar) -> Iterator[Finding]:
        from audiolib.codes import read_codes

        path = sidecar.codes_path
        if path is None or (path.exists() and (not self._deep or read_codes(path) is not None)):
            return
        if not sidecar.path.exists():
            return  # removed meanwhile
        damaged = path.exists()
        yield Finding(
            kind="codes-missing",
            severity="warning",
            sentence=f"The tokens of clip {sidecar.clip.id} are {'damaged' if damaged else 'gone'}: {path}.",
            clip_id=sidecar.clip.id,
            path=path,
            by_hand=(
                REGENERATE.format(sidecar.clip.id)
                if damaged
                else f"`audiolib regenerate {sidecar.clip.id}` makes them again."
            ),
        )

    def _without_sidecar(self, clip_id: str) -> Iterator[Finding]:
        paths = self.found.audio[clip_id]
        for path in paths:
            if not is_stale(path):
                self.found.fresh.append(path)
                continue
            alone = len(paths) == 1
            yield Finding(
                kind="without-sidecar",
                severity="error",
                sentence=f"{path} has no sidecar, so the library does not know it.",
                clip_id=clip_id,
                path=path,
                repair="It is made again from what the file and the index say." if alone else None,
                by_hand=None if alone else _ALL_BUT_ONE,
            )

    def _by_digest(self, paths: Iterable[Path]) -> dict[str, Path]:
        """Files that can be read by their SHA-256."""
        found: dict[str, Path] = {}
        for path in filter(_is_plain, paths):
            with suppress(OSError):
                found.setdefault(self._digest(path), path)
        return found

    def _digest(self, path: Path) -> str:
        """The file's SHA-256, computed once as long as the file does not change."""
        status = path.stat()
        key = (str(path), status.st_size, status.st_mtime_ns)
        if key not in self._digests:
            self._digests[key] = file_sha256(path)
        return self._digests[key]


def _odd(path: Path, what: str) -> Finding:
    return Finding(
        kind="odd-file",
        severity="note",
        sentence=f"{path} {what.strip()}; it is left alone.",
        path=path,
        by_hand=_ADD if path.suffix.lower() in AUDIO_SUFFIXES and _is_plain(path) else None,
    )


def _is_plain(path: Path) -> bool:
    """Whether a path is a file itself, which can be moved and read: no link, no pipe."""
    return path.is_file() and not path.is_symlink()
