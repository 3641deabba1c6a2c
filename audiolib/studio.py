"""Making clips: requests checked as a whole, then composed and stored, or written as plain files, one by one."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audiolib.catalogue import Catalogue
from audiolib.clip import Clip
from audiolib.composer import Composer
from audiolib.crashpoints import crashpoint
from audiolib.errors import InvalidInputError
from audiolib.files import check_writable
from audiolib.folder import LibraryFolder
from audiolib.ids import new_id
from audiolib.outputs import Destination
from audiolib.requests import GenerationRequest, Progress
from audiolib.settings import Settings
from audiolib.sidecars import Sidecar


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipProgress:
    """How far generation is: clip `number` of `clips`, `done` of `total` decoder steps."""

    prompt: str
    number: int
    clips: int
    done: int
    total: int


OnProgress = Callable[[ClipProgress], None]


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
        self, requests: Sequence[GenerationRequest], *, index: bool, progress: OnProgress | None
    ) -> Iterator[Clip]:
        """Make clips and store them; see `AudioLibrary.generate_all`."""
        from audiolib.migration import migrate
        from audiolib.recording import store

        checked = self.check_all(requests)
        migrate(self._folder, self._catalogue)  # and one of a newer format is refused before any work
        check_writable(self._folder.root)
        self._composer.load_for(checked[0])
        for number, request in enumerate(checked, start=1):
            report = reporter(progress, request.prompt, number, len(checked))
            made = self._composer.compose(request, progress=report)
            self._folder.create(embedder=self._catalogue.embedder_name())
            sidecar = store(self._folder, made, request)
            if index:
                self._catalogue.add([sidecar])
                crashpoint("generate.row-written")
            yield sidecar.clip

    def render_all(
        self,
        requests: Sequence[GenerationRequest],
        destination: Destination,
        *,
        progress: OnProgress | None,
    ) -> Iterator[Clip]:
        """Make clips as plain files; see `AudioLibrary.render_all`."""
        from audiolib.recording import write_clip

        checked = self.check_all(requests)
        destination.check()
        for number, request in enumerate(checked, start=1):
            report = reporter(progress, request.prompt, number, len(checked))
            made = self._composer.compose(request, progress=report)
            scratch = destination.scratch(request.audio_format)
            try:
                clip = write_clip(scratch, made, request, clip_id=new_id())
                path = destination.place(scratch, prompt=request.prompt, move=True)
            finally:
                scratch.unlink(missing_ok=True)
            yield replace(clip, path=Path(os.path.abspath(path)))

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
        most = self._settings.max_duration
        checked = [request.checked(max_duration=most) for request in requests]
        return [self._composer.settled(request, max_duration=most) for request in checked]


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
        dtype=None,
        batch_size=1,
    )
    if {"duration", "max_steps", "continue_from"} & changes.keys():
        base = replace(base, duration=None, max_steps=None)
    if "model" in changes:
        base = replace(base, model_weights=None)
    return replace(base, **changes)


def reporter(progress: OnProgress | None, prompt: str, number: int, clips: int) -> Progress | None:
    """Return one clip's progress as part of all of them.

    Args:
        progress: Who wants to know.
        prompt: The clip's words.
        number: Which clip it is, from 1.
        clips: How many there are.
    """
    if progress is None:
        return None
    return lambda done, total: progress(
        ClipProgress(prompt=prompt, number=number, clips=clips, done=done, total=total)
    )
