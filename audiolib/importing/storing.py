"""A file that was read becomes a clip: copy, sidecar, in this order, and only if its sound is new."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiolib.analyses import FIELDS, measured
from audiolib.clip import Clip
from audiolib.crashpoints import crashpoint
from audiolib.files import sync_file, sync_folder, temporary_path
from audiolib.folder import LibraryFolder, utc_text
from audiolib.ids import new_id, time_of
from audiolib.importing.known import Digests, KnownSounds
from audiolib.importing.reading import CONTAINERS, NotAddedError, Sound, hash_file
from audiolib.importing.recipes import Origin
from audiolib.importing.scanning import Found
from audiolib.importing.values import ImportOptions
from audiolib.importing.words import distinct, kept, tags_for, title_for, with_stated
from audiolib.prompts import slug_of, title_of
from audiolib.sidecars import Sidecar, write_sidecar
from audiolib.transcripts import waiting

if TYPE_CHECKING:
    from generation.texts import FileTexts


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """All that was read off a file: how it was found, its digest, its sound, its texts, its recipe if it has one."""

    found: Found
    sha256: str
    sound: Sound
    texts: "FileTexts"
    origin: Origin | None

    @property
    def digests(self) -> Digests:
        """Of its bytes and of its samples."""
        return Digests(file=self.sha256, audio=self.sound.audio_sha256)


def store(
    folder: LibraryFolder,
    known: KnownSounds,
    file: ReadFile,
    options: ImportOptions,
    *,
    stopped: Callable[[], bool],
) -> Sidecar | str:
    """Store a file as a clip, all or nothing.

    Args:
        folder: The library.
        known: The sounds it has.
        file: The file.
        options: How it is taken in.
        stopped: Asked again and again whether to end.

    Returns:
        The new clip's sidecar, or the id of the clip that has the same sound.

    Raises:
        NotAddedError: The file is not what it was when it was read, or its path cannot be kept.
        Stopped: `stopped` said so.
        LibraryBusyError: Another process holds the lock.
        OSError: The library cannot be written.
    """
    if options.reference:
        _check_reference(file)
        with folder.lock():
            return _publish(folder, known, file, options, None)
    with _copied(folder, file, stopped) as temporary, folder.lock():
        return _publish(folder, known, file, options, temporary)


def _publish(
    folder: LibraryFolder,
    known: KnownSounds,
    file: ReadFile,
    options: ImportOptions,
    temporary: Path | None,
) -> Sidecar | str:
    """The part that is done under the lock: look again, name the copy, write the sidecar."""
    known.catch_up()
    if (present := known.id_of(file.digests)) is not None:
        return present
    unfinished = known.unfinished(file.digests)
    left_over = known.audio_files(unfinished) if unfinished else []
    clip_id = unfinished or _id_for(file.origin, known)
    home = folder.make_month_folder(clip_id)
    words = _words(file, options)
    audio, sidecar = file.found.path, home / f"{clip_id}.json"
    if temporary is not None:
        slug = slug_of(words["title"])
        audio = home / ((f"{clip_id}-{slug}" if slug else clip_id) + _suffix(file))
    facts = with_stated(measured(file.sound.analysis), file.texts)
    fields = {name: facts[name] for name in FIELDS}
    clip = Clip(id=clip_id, path=audio, created_at=utc_text(time_of(clip_id)), **words, **fields)
    more = {**facts, **waiting(), "inside": kept(file.texts, comment=file.origin is None)}
    recipe = file.origin.recipe if file.origin else None
    # First, so that what a crash leaves is known for what it is; the sidecar alone makes a clip.
    known.write(file.found, file.digests, clip_id=clip_id)
    crashpoint("add.journal-written")
    try:
        if temporary is not None:
            os.replace(temporary, audio)
            sync_folder(home)
            crashpoint("add.audio-written")
        written = write_sidecar(
            sidecar, clip, recipe=recipe, codes=None, reference=temporary is None, more=more
        )
    except BaseException:
        sidecar.unlink(missing_ok=True)
        if temporary is not None:
            audio.unlink(missing_ok=True)
        raise
    for path in left_over:  # the same sound under the same id, from a run that was killed
        if path != audio:
            path.unlink(missing_ok=True)
    return written


@contextmanager
def _copied(folder: LibraryFolder, file: ReadFile, stopped: Callable[[], bool]) -> Iterator[Path]:
    """A hidden, synced copy in the folder of this month, removed if it was not named by the end."""
    home = folder.make_month_folder(new_id())
    temporary = temporary_path(home / f"import{_suffix(file)}")
    try:
        with _open(file) as source, temporary.open("xb") as target:
            copied = hash_file(source, stopped=stopped, copy_to=target)
        if copied != file.sha256:
            raise NotAddedError("It changed while it was read. Add it again when it is whole.")
        sync_file(temporary)
        crashpoint("add.copied")
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _open(file: ReadFile) -> Any:
    try:
        return file.found.path.open("rb")
    except OSError as error:
        raise NotAddedError("It is gone or may not be read any more.") from error


def _check_reference(file: ReadFile) -> None:
    path = file.found.path
    try:
        str(path).encode("utf-8")
        status = path.stat()
    except UnicodeEncodeError as error:
        raise NotAddedError(
            "Its path is not valid Unicode, so it can be copied but not referred to."
        ) from error
    except OSError as error:
        raise NotAddedError("It is gone or may not be read any more.") from error
    if (status.st_size, status.st_mtime_ns) != (file.found.size, file.found.mtime_ns):
        raise NotAddedError("It changed while it was read. Add it again when it is whole.")


def _id_for(origin: Origin | None, known: KnownSounds) -> str:
    """A clip that comes back keeps its id where that is free."""
    if origin is None or origin.id is None or not known.is_free(origin.id):
        return new_id()
    return origin.id


def _words(file: ReadFile, options: ImportOptions) -> dict[str, Any]:
    """The fields of a clip that do not come from where it is stored or how it sounds."""
    origin, sound = file.origin, file.sound
    recipe = origin.recipe if origin else None
    prompt = recipe.prompt if recipe else options.prompt
    title = options.title or (recipe.prompt if recipe else title_for(file.found.path, file.texts))
    own_tags = origin.tags if origin else tags_for(file.texts)
    return {
        "prompt": prompt,
        "title": title_of(title),
        "model": recipe.model if recipe else None,
        "seed": recipe.seed if recipe else None,
        "duration": sound.duration,
        "sample_rate": sound.sampling_rate,
        "channels": sound.channels,
        "tags": distinct((*options.tags, *own_tags)),
        "kind": "generated" if recipe else "imported",
        "parent_id": recipe.parent_id if recipe else None,
        "sha256": file.sha256,
        "audio_sha256": sound.audio_sha256,
        "license": origin.license if origin else None,
    }


def _suffix(file: ReadFile) -> str:
    """As the content is, whatever the name says: players go by it."""
    return CONTAINERS[file.sound.container]
