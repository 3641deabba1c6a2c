"""Making clips: requests checked as a whole, then composed and stored, or written as plain files, one by one."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from audiolib.batches import concerns_one_clip, make_all
from audiolib.catalogue import Catalogue
from audiolib.clip import Clip
from audiolib.composer import Composer, Hear, MadeAudio
from audiolib.crashpoints import crashpoint
from audiolib.errors import InvalidInputError
from audiolib.files import check_writable
from audiolib.folder import LibraryFolder
from audiolib.ids import new_id
from audiolib.outputs import Destination
from audiolib.progress import OnFailure, OnProgress
from audiolib.requests import GenerationRequest
from audiolib.settings import Settings
from audiolib.sidecars import Sidecar

_NO_MUSIC: Final = frozenset(("finish", "sample_rate", "sample_format", "audio_format", "tags"))
"""Options that change nothing in the tokens."""


class Studio:
    """Turns requests into clips.

    Args:
        settings: The user's settings.
        folder: The library that clips are stored in.
        composer: Makes the sound.
        catalogue: Makes clips searchable.
    """

    def __init__(
        self, settings: Settings, folder: LibraryFolder, composer: Composer, catalogue: Catalogue
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._composer = composer
        self._catalogue = catalogue

    def generate_all(
        self,
        requests: Sequence[GenerationRequest],
        *,
        index: bool,
        progress: OnProgress | None,
        hear: Hear | None = None,
    ) -> Iterator[Clip]:
        """Make clips and store them; see `AudioLibrary.generate_all`."""
        for _, clip in self.store_all(self.check_all(requests), index=index, progress=progress, hear=hear):
            yield clip

    def store_all(
        self,
        checked: Sequence[GenerationRequest],
        *,
        index: bool = True,
        progress: OnProgress | None = None,
        lines: Sequence[str | None] | None = None,
        failed: OnFailure | None = None,
        hear: Hear | None = None,
    ) -> Iterator[tuple[int, Clip]]:
        """Make clips and store them; each is yielded with its request's number, from 0, when it is safely stored.

        Args:
            checked: What to make, from `check_all`.
            index: Make each searchable at once.
            progress: Called after every step.
            lines: The key of the line that each is for, see `audiolib.lines.line_keys`.
            failed: Called for a clip that cannot be made, and the others are; else its error is raised.
            hear: Called with pieces of the sound while it is made, clip by clip.

        Raises:
            GenerationError: A clip could not be made.
            OSError: It could not be stored; nothing half-made is left.
        """
        self.prepare_to_store()
        for number, made in make_all(self._composer, checked, progress=progress, failed=failed, hear=hear):
            try:
                clip = self.store(made, checked[number], index=index, line=lines[number] if lines else None)
            except Exception as error:
                if failed is None or not concerns_one_clip(error):
                    raise
                failed(number, error)
                continue
            yield number, clip

    def prepare_to_store(self) -> None:
        """Say so before any work when nothing can be stored here; a library of an older format is brought to today's.

        Raises:
            LibraryFormatError: A newer audiolib wrote it.
            OSError: It cannot be written.
        """
        from audiolib.migration import migrate

        migrate(self._folder, self._catalogue)
        check_writable(self._folder.root)

    def store(
        self, made: MadeAudio, request: GenerationRequest, *, index: bool = True, line: str | None = None
    ) -> Clip:
        """Store a clip.

        Args:
            made: Its sound.
            request: What was asked for.
            index: Make it searchable at once.
            line: The key of the line that it is for.

        Raises:
            AudioError: Its audio cannot be written.
            OSError: A file cannot be written.
        """
        from audiolib.recording import store

        self._folder.create(embedder=self._catalogue.embedder_name())
        sidecar = store(self._folder, made, request, line=line)
        if index:
            self._catalogue.add([sidecar])
            crashpoint("generate.row-written")
        return sidecar.clip

    def render_all(
        self,
        requests: Sequence[GenerationRequest],
        destination: Destination,
        *,
        progress: OnProgress | None,
        hear: Hear | None = None,
    ) -> Iterator[Clip]:
        """Make clips as plain files; see `AudioLibrary.render_all`."""
        checked = self.check_all(requests)
        places = [destination] * len(checked)
        for _, clip in self.write_all(checked, places, progress=progress, hear=hear):
            yield clip

    def write_all(
        self,
        checked: Sequence[GenerationRequest],
        places: Sequence[Destination],
        *,
        progress: OnProgress | None = None,
        failed: OnFailure | None = None,
        hear: Hear | None = None,
    ) -> Iterator[tuple[int, Clip]]:
        """Make clips as plain files; each is yielded with its request's number, from 0.

        Args:
            checked: What to make, from `check_all`.
            places: Where each goes.
            progress: Called after every step.
            failed: As for `store_all`.
            hear: As for `store_all`.

        Raises:
            GenerationError: A clip could not be made.
            OSError: It could not be written.
        """
        for place in places:
            place.check()
        for number, made in make_all(self._composer, checked, progress=progress, failed=failed, hear=hear):
            try:
                clip = self.write(made, checked[number], places[number])
            except Exception as error:
                if failed is None or not concerns_one_clip(error):
                    raise
                failed(number, error)
                continue
            yield number, clip

    def write(self, made: MadeAudio, request: GenerationRequest, place: Destination) -> Clip:
        """Write a clip as a plain file.

        Args:
            made: Its sound.
            request: What was asked for.
            place: Where it goes.

        Raises:
            AudioError: Its audio cannot be written.
            OSError: A file cannot be written.
        """
        from audiolib.recording import write_clip

        scratch = place.scratch(request.audio_format)
        try:
            clip, _ = write_clip(scratch, made, request, clip_id=new_id())
            path = place.place(scratch, prompt=request.prompt, move=True)
        finally:
            scratch.unlink(missing_ok=True)
        return replace(clip, path=Path(os.path.abspath(path)))

    def check_all(self, requests: Sequence[GenerationRequest]) -> Sequence[GenerationRequest]:
        """Return the requests cleaned, before anything is made or written.

        Args:
            requests: What is to be made.

        Raises:
            InvalidInputError: Something makes no sense.
            ModelNotFoundError: A model is not on this machine.
        """
        if not requests:
            raise InvalidInputError("There is nothing to generate. Give at least one prompt.")
        found: set[object] = set()
        return [self.check(request, found) for request in requests]

    def check(self, request: GenerationRequest, found: set[object]) -> GenerationRequest:
        """Return one of several requests cleaned.

        Args:
            request: What is to be made.
            found: Models that were found to be here; this one's is added.

        Raises:
            InvalidInputError: Something makes no sense.
            ModelNotFoundError: Its model is not on this machine.
        """
        most = self._settings.max_duration
        checked = request.checked(max_duration=most)
        if checked.model in found and not checked.conditioned:
            return checked  # looking for a model takes longer than all else
        settled = self._composer.settled(checked, max_duration=most)
        found.add(checked.model)
        return settled


def variation_of(sidecar: Sidecar, changes: dict[str, Any]) -> GenerationRequest:
    """Return the request for a clip that is like another one but for some changes.

    Args:
        sidecar: The clip to vary.
        changes: Options of `GenerationRequest`.

    Raises:
        ReproductionError: The clip was not generated.
    """
    from audiolib.reproduction import request_again

    base = replace(
        request_again(sidecar),
        parent_id=sidecar.clip.id,
        tags=sidecar.clip.tags,
        audio_format=sidecar.clip.path.suffix.removeprefix("."),
        sample_rate=sidecar.clip.sample_rate,
    )
    if changes.keys() - _NO_MUSIC:  # else the very same tokens, to which these matter
        base = replace(base, dtype=None, batch_size=1)
    if changes.get("audio_format", base.audio_format) != base.audio_format:
        base = replace(base, sample_format=None)  # which the other format may not hold
    if {"duration", "max_steps", "continue_from"} & changes.keys():
        base = replace(base, duration=None, max_steps=None)
    if "model" in changes:
        base = replace(base, model_weights=None)
    return replace(base, **changes)
