"""Making clips: new ones, the same again, variations, or one that is there already."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from audiolib.clip import Clip
from audiolib.errors import InvalidInputError
from audiolib.facade.base import LibraryBase
from audiolib.outputs import Destination
from audiolib.progress import OnProgress, reporter, shifted
from audiolib.requests import GenerationOptions, GenerationRequest, VariationOptions
from audiolib.reuse import REUSE_SCORE, Reuse, ReusedOrMade, Wish
from audiolib.studio import variation_of

if TYPE_CHECKING:
    from audiolib.composer import Hear
    from audiolib.playback import Speaker
    from audiolib.reproduction import Reproduction
    from indexing.filters import Filters


class Making(LibraryBase):
    """Text in, clips out."""

    def generate(
        self,
        prompt: str,
        *,
        index: bool = True,
        play: bool = False,
        progress: OnProgress | None = None,
        **options: Unpack[GenerationOptions],
    ) -> Clip:
        """Make a clip and store it.

        Args:
            prompt: The words to make music from.
            index: Make it searchable at once.
            play: Play it while it is made; it is the same clip. One that cannot be played is stored all the same.
            progress: Called after every step.
            **options: Those of `GenerationRequest`: `duration`, `max_steps`, `seed`, `model`, `temperature`,
                `continue_from`, `melody`, …

        Returns:
            The clip; its files are on the disk.

        Raises:
            InvalidInputError: Something that was asked for makes no sense; nothing was changed.
            GenerationError: The model is not here or could not make it.
            LibraryError: The library cannot be used.
            OSError: It could not be stored; nothing half-made is left.
        """
        request = GenerationRequest(prompt=prompt, **options)
        (clip,) = self.generate_all([request], index=index, play=play, progress=progress)
        return clip

    def generate_all(
        self,
        requests: Sequence[GenerationRequest],
        *,
        index: bool = True,
        play: bool = False,
        progress: OnProgress | None = None,
    ) -> Iterator[Clip]:
        """Make clips and store them; each is yielded when it is safely stored.

        All requests are checked, and the model is loaded, before anything is written.

        Args:
            requests: What to make.
            index: Make each searchable at once.
            play: Play each while it is made; it is the same clip. The next begins when all of it was heard.
            progress: Called after every step.

        Raises:
            InvalidInputError: As for `generate`, and so for the other errors.
        """
        return _heard(
            lambda hear: self._studio.generate_all(requests, index=index, progress=progress, hear=hear), play
        )

    def render_all(
        self,
        requests: Sequence[GenerationRequest],
        destination: Destination,
        *,
        play: bool = False,
        progress: OnProgress | None = None,
    ) -> Iterator[Clip]:
        """Make clips as plain files, with no library at all.

        Args:
            requests: What to make.
            destination: Where to; a folder when there are several.
            play: Play each while it is made.
            progress: Called after every step.

        Raises:
            InvalidInputError: As for `generate`, and so for the other errors.
        """
        return _heard(
            lambda hear: self._studio.render_all(requests, destination, progress=progress, hear=hear), play
        )

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
        min_score: float = REUSE_SCORE,
        filters: "Filters | None" = None,
        progress: OnProgress | None = None,
        **options: Unpack[GenerationOptions],
    ) -> Clip:
        """Return a stored clip that fits, or make one.

        A clip fits when its prompt is near enough, its length is the one asked for (10 seconds where none is), the same
        model made it, it meets the filters, and every option that is given is what it was made with: its tags are
        among the clip's. Of several the nearest prompt counts, then the rating, then the newest. Where processes
        ask for the same thing at once, one makes it and the others get that clip.

        Args:
            prompt: The words to make music from.
            min_score: The least cosine similarity of the prompts, 0 to 1. Below 0.95 other music comes back: "loud
                piano" is 0.75 to "calm piano".
            filters: What the clip must be like besides; a new one may not be, as nobody can know before.
            progress: Called after every step, where a clip is made.
            **options: As for `generate`.

        Raises:
            InvalidInputError: As for `generate`, and so for the other errors.
            LibraryBusyError: Another process has been making this very clip for an hour.
        """
        request = GenerationRequest(prompt=prompt, **options)
        (found,) = self.reuse_or_generate(
            [request],
            min_score=min_score,
            filters=filters,
            audio_format=options.get("audio_format"),
            progress=progress,
        )
        return found.clip

    def reuse_or_generate(
        self,
        requests: Sequence[GenerationRequest],
        *,
        min_score: float = REUSE_SCORE,
        filters: "Filters | None" = None,
        audio_format: str | Sequence[str | None] | None = None,
        play: bool = False,
        progress: OnProgress | None = None,
    ) -> Iterator[ReusedOrMade]:
        """Find or make clips as `get_or_generate` does, and say which it was; each stored clip is used once.

        Args:
            requests: What is wanted; all are checked before anything is made.
            min_score: The least cosine similarity of the prompts, 0 to 1.
            filters: What a stored clip must be like besides.
            audio_format: The format it must have, any when `None`; or a list with one for each request.
            play: Play each: a new one while it is made.
            progress: Called after every step, where a clip is made.

        Raises:
            InvalidInputError: As for `generate`, and so for the other errors.
            LibraryBusyError: Another process has been making this very clip for an hour.
        """
        if any(request.conditioned for request in requests):
            raise InvalidInputError(
                "Clips are reused by their words: --reuse takes neither music to go on from nor a melody."
            )
        checked = self._studio.check_all(requests)
        formats = (
            [audio_format] * len(checked)
            if audio_format is None or isinstance(audio_format, str)
            else audio_format
        )
        self._prepare_to_write()  # and one of a newer format is refused before any work
        wanted = self._finder.resolved(filters)
        reuse = Reuse(self._folder, self._catalogue)
        wishes = [
            Wish(
                request=request,
                prompt=clean.prompt,
                model_id=self._composer.model_id(request.model),
                min_score=min_score,
                audio_format=own_format,
                filters=wanted,
            )
            for request, clean, own_format in zip(requests, checked, formats, strict=True)
        ]
        used: set[str] = set()
        with _speaker(play) as speaker:
            for number, wish in enumerate(wishes):
                found = reuse.find(wish, without=used)
                if found is None:
                    report = shifted(progress, number, len(wishes))
                    with reuse.alone(wish):
                        found = reuse.find(wish, without=used) or self._made(wish, report, speaker)
                used.add(found.clip.id)
                yield found
                if speaker is not None:
                    speaker.finish(found.clip.path)

    def _made(self, wish: Wish, progress: OnProgress | None, speaker: "Speaker | None") -> ReusedOrMade:
        hear = None if speaker is None else speaker.hear
        (clip,) = self._studio.generate_all([wish.request], index=True, progress=progress, hear=hear)
        return ReusedOrMade(clip=clip, score=None)

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


def _heard(make: "Callable[[Hear | None], Iterator[Clip]]", play: bool) -> Iterator[Clip]:
    """Clips as they are made, each heard to its end before the next one is begun."""
    with _speaker(play) as speaker:
        for clip in make(None if speaker is None else speaker.hear):
            yield clip
            if speaker is not None:
                speaker.finish(clip.path)


@contextmanager
def _speaker(play: bool) -> "Iterator[Speaker | None]":
    """Who plays, if anybody; whatever ends the block early ends the sound."""
    if not play:
        yield None
        return
    from audiolib.playback import Speaker

    speaker = Speaker()
    try:
        yield speaker
    finally:
        speaker.stop()
