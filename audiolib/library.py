"""`AudioLibrary`: the one facade. All that the command line, the service and the adapters do is a method here."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from audiolib.catalogue import Catalogue, IndexReport
from audiolib.clip import Clip, Recipe, SearchHit
from audiolib.composer import Composer
from audiolib.errors import InvalidInputError
from audiolib.finder import Finder
from audiolib.folder import LibraryFolder
from audiolib.models import Models
from audiolib.outputs import Destination
from audiolib.prompts import clean_prompt
from audiolib.requests import (
    DEFAULT_DURATION,
    GenerationOptions,
    GenerationRequest,
    Progress,
    VariationOptions,
)
from audiolib.settings import Settings, find_existing_library, find_library, is_library, load_settings
from audiolib.sidecars import Sidecar, read_sidecar
from audiolib.studio import OnProgress, Studio, reporter, variation_of

if TYPE_CHECKING:
    from audiolib.reproduction import Reproduction
    from audiolib.transcripts import TranscribeReport

_SAME_LENGTH: Final = 0.02  # seconds: one codec frame

Hits = list[SearchHit]  # named here because the class has a method called `list`


class AudioLibrary:
    """A folder of clips that can be added to, searched and made again.

    Args:
        path: The library's folder; found as the command line finds it when `None`.
        settings: The user's settings; read from the environment and the configuration file when `None`.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, settings: Settings | None = None
    ) -> None:
        self.settings = load_settings() if settings is None else settings
        if self.settings.models is not None:
            # `generation` knows no settings: it looks for checkpoints where this variable says.
            os.environ.setdefault("AUDIOLIB_MODELS", str(self.settings.models))
        root = find_library(None if path is None else Path(path), self.settings)
        self._folder = LibraryFolder(root, lock_timeout=self.settings.lock_timeout)
        self._composer = Composer(self.settings)
        self._catalogue = Catalogue(self._folder, self.settings)
        self._finder = Finder(self._folder, self._catalogue)
        self._studio = Studio(self.settings, self._folder, self._composer, self._catalogue)

    @property
    def path(self) -> Path:
        """The library's folder, absolute."""
        return self._folder.root

    @property
    def models(self) -> Models:
        """The checkpoints of this machine."""
        return Models(self.settings)

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

    def get(self, reference: str | os.PathLike[str]) -> Clip:
        """Return a clip by its id, a unique ending of it, a path of one of its files, or `last`.

        Args:
            reference: The name.

        Raises:
            ClipNotFoundError: Nothing fits.
            AmbiguousClipError: The ending fits several clips.
            LibraryError: There is no library, or the sidecar cannot be read.
        """
        return self._sidecar(reference).clip

    def recipe(self, reference: str | os.PathLike[str]) -> Recipe | None:
        """Return how a clip was made, `None` for an imported one.

        Args:
            reference: The clip, named as for `get`.

        Raises:
            ClipNotFoundError: As for `get`, and so for the other errors.
        """
        return self._sidecar(reference).recipe

    def list(
        self, *, limit: int | None = None, broken: Callable[[str], None] | None = None
    ) -> Iterator[Clip]:
        """Yield the clips, newest first; the files are read, not the index.

        Args:
            limit: How many at most.
            broken: Called with a sentence for each sidecar that cannot be read; logged when `None`.

        Raises:
            LibraryError: There is no library, or it is of a newer format.
        """
        self._require()
        yield from self._finder.newest(limit=limit, broken=broken)

    def search(self, query: str, *, limit: int = 10, one_off: bool = False) -> Hits:
        """Find clips by meaning.

        Args:
            query: Words for what is wanted.
            limit: How many hits at most.
            one_off: This is all that the process will do. It starts 0.4 s sooner without the matrix library that
                makes everything else faster.

        Returns:
            Hits by falling score.

        Raises:
            InvalidInputError: The query is empty or too long, or the limit is not above 0.
            LibraryError: There is no library, or it is of a newer format.
            IndexingError: The query cannot be embedded here, or the index cannot be read.
        """
        words = clean_prompt(query, what="query")
        if limit < 1:
            raise InvalidInputError(f"A limit of {limit} makes no sense. Use 1 or more.")
        self._require()
        return self._finder.search(words, limit=limit, one_off=one_off)

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

    def index(
        self, *, rebuild: bool = False, embedder: str | None = None, progress: Progress | None = None
    ) -> IndexReport:
        """Bring the search index up to date with the files, and finish what a crash cut off.

        Args:
            rebuild: Drop it and make it again.
            embedder: The embedder to use from now on; for a change of embedder `rebuild` is needed.
            progress: Called with the clips done and the clips in all.

        Raises:
            LibraryError: There is no library, it is of a newer format, or in use.
            IndexingError: The index cannot be read or written, or was made with another embedder.
        """
        from audiolib.recovery import complete_clips, sweep_temporaries

        self._require()
        self._folder.create(embedder=self._catalogue.embedder_name())
        completed = complete_clips(self._folder)
        sweep_temporaries(self._folder)
        if rebuild:
            report = self._catalogue.rebuild(embedder=embedder, progress=progress)
        else:
            report = self._catalogue.catch_up(name=embedder, progress=progress)
        return replace(report, completed=completed)

    def transcribe(
        self, *, whisper: str | None = None, progress: Progress | None = None
    ) -> "TranscribeReport":
        """Run Whisper over the clips that have no transcript; without a model they are marked as pending.

        Args:
            whisper: The model's name or folder.
            progress: Called with the clips done and the clips in all.

        Raises:
            LibraryError: There is no library, it is of a newer format, or in use.
        """
        from audiolib.transcripts import transcribe

        self._require()
        return transcribe(
            self._folder,
            whisper=whisper or self.settings.whisper,
            changed=lambda heard: self._catalogue.add([heard.clip], segments={heard.clip.id: heard.segments}),
            progress=progress,
        )

    def play(self, clip: Clip | str | os.PathLike[str]) -> Clip:
        """Play a clip and wait for its end.

        Args:
            clip: The clip, or its name as for `get`.

        Raises:
            PlaybackError: There is no way to play on this machine.
            ClipNotFoundError: Nothing fits the name.
        """
        from audiolib.playback import play

        found = clip if isinstance(clip, Clip) else self.get(clip)
        play(found.path)
        return found

    def check_requests(self, requests: Sequence[GenerationRequest]) -> None:
        """Say what is wrong with requests before anything is made or written.

        Args:
            requests: What is to be made.

        Raises:
            InvalidInputError: Something makes no sense.
            ModelNotFoundError: A model is not on this machine.
        """
        self._studio.check_all(requests)

    def _require(self) -> None:
        find_existing_library(self.path, self.settings)
        self._folder.manifest()

    def _sidecar(self, reference: str | os.PathLike[str]) -> Sidecar:
        self._require()
        return read_sidecar(self._folder.resolve(reference))
