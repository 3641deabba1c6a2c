"""A file that was read becomes a clip: copy, sidecar, in this order, and only if its sound is new.

Where the clip that has the sound has lost its audio or its sidecar, it gets that back.
"""

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
from audiolib.recovery import known_rows, restore_sidecar
from audiolib.sidecars import Sidecar, edit_sidecar, read_sidecar, write_sidecar
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a file.

    Attributes:
        id: The new clip, or the one that has its sound.
        sidecar: The clip's, where it was written; its row comes after it.
        new: Whether it is a new clip.
        note: What the clip had lost, in a sentence.
    """

    id: str
    sidecar: Sidecar | None = None
    new: bool = False
    note: str | None = None


def store(
    folder: LibraryFolder,
    known: KnownSounds,
    file: ReadFile,
    options: ImportOptions,
    *,
    stopped: Callable[[], bool],
) -> Stored:
    """Store a file as a clip, all or nothing; or give what is lost back to the clip that has its sound.

    Args:
        folder: The library.
        known: The sounds it has.
        file: The file.
        options: How it is taken in.
        stopped: Asked again and again whether to end.

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
) -> Stored:
    """The part that is done under the lock: look again, name the copy, write the sidecar."""
    known.catch_up()
    if (present := known.id_of(file.digests)) is not None:
        return _present(folder, known, present, file, temporary)
    unfinished = known.unfinished(file.digests)
    left_over = known.audio_files(unfinished) if unfinished else []
    if unfinished and (row := known_rows(folder, {unfinished}).get(unfinished)) is not None:
        # Not of a run that was killed, which writes no row: people may have tagged and rated this clip.
        sidecar = restore_sidecar(folder, left_over[0], unfinished, row=row)
        if sidecar is not None and _has_sound(sidecar, file):
            return Stored(
                id=unfinished, sidecar=sidecar, note="The sidecar of that clip was gone; it is back."
            )
        unfinished, left_over = None, []  # it is another sound by now, and stays what it is
    clip_id = unfinished or _id_for(file.origin, known)
    home = folder.make_month_folder(clip_id)
    words = _words(file, options)
    audio, path = file.found.path, home / f"{clip_id}.json"
    if temporary is not None:
        audio = home / _name(clip_id, words["title"], file)
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
            _give_name(temporary, audio)
        written = write_sidecar(path, clip, recipe=recipe, codes=None, reference=temporary is None, more=more)
    except BaseException:
        path.unlink(missing_ok=True)
        if temporary is not None:
            audio.unlink(missing_ok=True)
        raise
    for other in left_over:  # the same sound under the same id, from a run that was killed
        if other != audio:
            other.unlink(missing_ok=True)
    return Stored(id=clip_id, sidecar=written, new=True)


def _present(
    folder: LibraryFolder, known: KnownSounds, clip_id: str, file: ReadFile, temporary: Path | None
) -> Stored:
    """A clip that has the sound of a file; where its audio is gone, the file takes its place."""
    if known.has_audio(clip_id):
        return Stored(id=clip_id)
    path = folder.sidecar_path(clip_id)
    sidecar = read_sidecar(path)
    clip = sidecar.clip
    if not _has_sound(sidecar, file):
        return Stored(id=clip_id)  # its row is not what its sidecar is
    if known.audio_files(clip_id):
        return Stored(
            id=clip_id,
            note="The audio of that clip has another name. `audiolib check --repair` sees to it.",
        )
    if temporary is None:
        place: dict[str, Any] = {"file": None, "reference": str(file.found.path)}
        note = f"The audio of that clip was gone from {clip.path}; it is this file now."
    else:
        same = not sidecar.referenced and clip.path.suffix.lower() == _suffix(file)
        audio = clip.path if same else path.with_name(_name(clip_id, clip.title, file))
        _give_name(temporary, audio)
        place = {"file": audio.name, **({"reference": None} if sidecar.referenced else {})}
        note = "The audio of that clip was gone; it is back."
    return Stored(id=clip_id, sidecar=edit_sidecar(path, {**place, "sha256": file.sha256}), note=note)


def _has_sound(sidecar: Sidecar, file: ReadFile) -> bool:
    clip = sidecar.clip
    return file.sha256 == clip.sha256 or file.sound.audio_sha256 == clip.audio_sha256


def _give_name(temporary: Path, audio: Path) -> None:
    os.replace(temporary, audio)
    sync_folder(audio.parent)
    crashpoint("add.audio-written")


def _name(clip_id: str, title: str, file: ReadFile) -> str:
    slug = slug_of(title)
    return (f"{clip_id}-{slug}" if slug else clip_id) + _suffix(file)


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
    if origin is None or origin.id is None or not known.is_free(origin.id) or known.audio_files(origin.id):
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
