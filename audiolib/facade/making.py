"""Making clips: new ones, the same again, variations, or one that is there already."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from audiolib.clip import Clip
from audiolib.facade.base import LibraryBase
from audiolib.outputs import Destination
from audiolib.requests import DEFAULT_DURATION, GenerationOptions, GenerationRequest, VariationOptions
from audiolib.settings import is_library
from audiolib.studio import OnProgress, reporter, variation_of

if TYPE_CHECKING:
    from audiolib.reproduction import Reproduction

_SAME_LENGTH: Final = 0.02  # seconds: one codec frame


class Making(LibraryBase):
    """Text in, clips out."""

    def generate(
        self,
        prompt: str,
        *,
        index: bool = True,
        progress: OnProgress | None = None,
        **options: Unpack[GenerationOptions],
    ) -> Clip:
        """Make a clip and store it.

        Args:
            prompt: The words to make music from.
            index: Make it searchable at once.
            progress: Called after every step.
            **options: Those of `GenerationRequest`: `duration`, `max_steps`, `seed`, `model`, `temperature`, …

        Returns:
            The clip; its files are on the disk.

        Raises:
            InvalidInputError: Something that was asked for makes no sense; nothing was changed.
            GenerationError: The model is not here or could not make it.
            LibraryError: The library cannot be used.
            OSError: It could not be stored; nothing half-made is left.
        """
        request = GenerationRequest(prompt=prompt, **options)
        (clip,) = self.generate_all([request], index=index, progress=progress)
        return clip

    def generate_all(
        self,
        requests: Sequence[GenerationRequest],
        *,
        index: bool = True,
        progress: OnProgress | None = None,
    ) -> Iterator[Clip]:
        """Make clips and store them; each is yielded when it is safely stored.

        All requests are checked, and the model is loaded, before anything is written.

        Args:
            requests: What to make.
            index: Make each searchable at once.
            progress: Called after every step.

        Raises:
            InvalidInputError: As for `generate`, and so for the other errors.
        """
        return self._studio.generate_all(requests, index=index, progress=progress)

    def render_all(
        self,
        requests: Sequence[GenerationRequest],
        destination: Destination,
        *,
        progress: OnProgress | None = None,
    ) -> Iterator[Clip]:
        """Make clips as plain files, with no library at all.

        Args:
            requests: What to make.
            destination: Where to; a folder when there are several.
            progress: Called after every step.

        Raises:
            InvalidInputError: As for `generate`, and so for the other errors.
        """
        return self._studio.render_all(requests, destination, progress=progress)

    def copy_out(self, clip: Clip, destination: Destination) -> Path:
        """Copy a clip's audio out of the library.

        Args:
            clip: The clip.
            destination: Where to.

        Returns:
            The path that was written.

        Raises:
            OSError: It cannot be written.
        """
        return destination.place(clip.path, prompt=clip.title)

    def get_or_generate(
        self,
        prompt: str,
        *,
        duration: float = DEFAULT_DURATION,
        model: str | None = None,
        progress: OnProgress | None = None,
        **options: Any,
    ) -> Clip:
        """Return a stored clip that fits, or make one.

        A clip fits when its words score 0.95 or more (or are the same), its length is the one asked for, and the
        same model made it.

        Args:
            prompt: The words to make music from.
            duration: Length in seconds.
            model: A checkpoint's name or folder.
            progress: Called after every step.
            **options: As for `generate`, where a clip has to be made.

        Raises:
            InvalidInputError: As for `generate`, and so for the other errors.
        """
        request = GenerationRequest(prompt=prompt, duration=duration, model=model, **options)
        checked = request.checked(max_duration=self.settings.max_duration)
        model_id = self._composer.find(model).model_id
        if is_library(self.path):
            for clip in self._finder.reusable(checked.prompt):
                if abs(clip.duration - duration) < _SAME_LENGTH and clip.model == model_id:
                    return clip
        return self.generate(prompt, duration=duration, model=model, progress=progress, **options)

    def reproduce(
        self,
        reference: str | os.PathLike[str],
        *,
        progress: OnProgress | None = None,
    ) -> "Reproduction":
        """Make a clip again from its recipe and compare it with what is stored; a lost file is restored.

        Args:
            reference: The clip, named as for `get`.
            progress: Called after every step.

        Raises:
            ReproductionError: It came out otherwise, or was not generated here.
            ModelChangedError: The weights on this machine are others.
            ClipNotFoundError: Nothing fits the name.
            GenerationError: The model is not here or could not make it.
        """
        from audiolib.reproduction import reproduce

        sidecar = self._sidecar(reference)
        report = reporter(progress, sidecar.clip.title, 1, 1)
        return reproduce(self._folder, self._composer, sidecar, progress=report)

    def regenerate(
        self,
        reference: str | os.PathLike[str],
        *,
        progress: OnProgress | None = None,
        **changes: Unpack[VariationOptions],
    ) -> Clip:
        """Make a clip again; with changes, make a variation of it as a new clip.

        Args:
            reference: The clip, named as for `get`.
            progress: Called after every step.
            **changes: What is to be different: `seed`, `prompt`, `duration`, `model` or another option of
                `GenerationRequest`.

        Returns:
            Without changes the clip itself, now known to be reproducible; else the new clip, with `parent_id` set.

        Raises:
            ReproductionError: As for `reproduce`, and so for the other errors.
        """
        wanted = {name: value for name, value in changes.items() if value is not None}
        if not wanted:
            return self.reproduce(reference, progress=progress).clip
        request = variation_of(self._sidecar(reference), wanted)
        (clip,) = self.generate_all([request], progress=progress)
        return clip

    def check_requests(self, requests: Sequence[GenerationRequest]) -> None:
        """Say what is wrong with requests before anything is made or written.

        Args:
            requests: What is to be made.

        Raises:
            InvalidInputError: Something makes no sense.
            ModelNotFoundError: A model is not on this machine.
        """
        self._studio.check_all(requests)
