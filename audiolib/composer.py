"""The library's use of MusicGen: a request made into sound, with its recipe."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audiolib.clip import Recipe
from audiolib.codes import StoredCodes
from audiolib.conditioning import Conditioner, Conditions
from audiolib.folder import LibraryFolder
from audiolib.requests import DEFAULT_DURATION, GenerationRequest, Progress, seconds_of
from audiolib.settings import Settings
from audiolib.shelf import Names, Shelf

if TYPE_CHECKING:
    import numpy as np

    from generation.checkpoints import FoundModel
    from generation.composition import ComposeOptions, Composition
    from generation.musicgen import MusicGen

Hear = Callable[["np.ndarray", int], None]
"""Called with a piece of a waveform, `(samples,)` or `(samples, 2)`, and its rate in Hz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeAudio:
    """What came out of the model, not stored yet.

    Attributes:
        audio: `(samples,)` or `(samples, 2)` float32 at the model's own rate; loud music may pass [-1, 1].
        codes: Its tokens `(K, frames)`, and what is kept with them.
        sampling_rate: The model's own rate in Hz.
        recipe: All that made it.
        license: Licence of the weights where it is known.
    """

    audio: "np.ndarray"
    codes: StoredCodes
    sampling_rate: int
    recipe: Recipe
    license: str | None


class Composer:
    """Makes the sound of clips.

    Args:
        settings: The user's settings; `model` is the default checkpoint.
        folder: The library whose clips may be gone on from.
    """

    def __init__(self, settings: Settings, folder: LibraryFolder) -> None:
        self._shelf = Shelf(settings)
        self._conditioner = Conditioner(folder)

    def find(self, name: str | None) -> "FoundModel":
        """Find a checkpoint on this machine; see `Shelf.find`."""
        return self._shelf.find(name)

    def model_id(self, names: Names) -> str:
        """Return what a request's model is called in clips; see `Shelf.model_id`."""
        return self._shelf.model_id(names)

    def names_for(self, recipe: Recipe) -> str | tuple[str, ...]:
        """Return the names of the very weights of a recipe; see `Shelf.names_for`."""
        return self._shelf.names_for(recipe)

    def load_for(self, request: GenerationRequest) -> "MusicGen":
        """Load what makes a clip, or return it if it was the last one used; see `Shelf.load`."""
        return self._shelf.load(
            request.model, weights=request.model_weights, dtype=request.dtype, bits=request.bits
        )

    def settled(self, request: GenerationRequest, *, max_duration: float) -> GenerationRequest:
        """Return a request whose model and given sound are there, with all that depends on them.

        Args:
            request: What is wanted; checked already.
            max_duration: The longest clip allowed, in seconds.

        Raises:
            InvalidInputError: Something makes no sense.
            ModelNotFoundError: A model is not on this machine.
            AudioError: Sound that is given cannot be read.
        """
        self._shelf.find_all(request.model)
        settled = self._conditioner.settled(request, max_duration=max_duration)
        if settled.melody is not None:
            self._shelf.check_melody(settled.model)
        return settled

    def compose(
        self, request: GenerationRequest, *, progress: Progress | None = None, hear: Hear | None = None
    ) -> MadeAudio:
        """Make a clip's sound.

        Args:
            request: What is wanted; checked and settled already.
            progress: Called with the steps done and the steps in all.
            hear: Called with pieces of the sound as they are made; the clip is the same.

        Raises:
            GenerationError: It could not be made.
            ReproductionError: The sound that it was made from is lost.
        """
        model = self.load_for(request)
        conditions = self._conditioner.read(request, model)
        options = _options(request, conditions, model)
        if hear is None:
            (made,) = model.compose(
                [request.prompt],
                seeds=None if request.seed is None else [request.seed],
                batch_size=request.batch_size,
                progress=progress,
                **options,
            )
        else:
            stream = model.stream(request.prompt, seed=request.seed, progress=progress, **options)
            for chunk in stream:
                hear(chunk, model.sampling_rate)
            made = stream.composition
        return _made_audio(model, made, request, conditions)

    def batch_limit(self, request: GenerationRequest) -> int:
        """Return how many clips like this one are best made together on this machine.

        Args:
            request: One of them; checked already.
        """
        model = self.load_for(request)
        seconds = request.duration if request.max_steps is None else seconds_of(request.max_steps)
        return model.batch_limit(DEFAULT_DURATION if seconds is None else seconds, request.guidance)

    def compose_batch(
        self, requests: Sequence[GenerationRequest], *, progress: Progress | None = None
    ) -> list[MadeAudio]:
        """Make the sound of several clips together, each with its own prompt and seed.

        Args:
            requests: What is wanted; checked already, and alike in all that `audiolib.batches.sharing` compares.
            progress: Called with the steps done and the steps in all.

        Raises:
            GenerationError: One of them could not be made; which one it was shows when they are made apart.
        """
        first = requests[0]
        model = self.load_for(first)
        conditions = self._conditioner.read(first, model)
        made = model.compose(
            [request.prompt for request in requests],
            seeds=[request.seed or 0 for request in requests],
            progress=progress,
            **_options(first, conditions, model),
        )
        return [
            _made_audio(model, each, request, conditions)
            for each, request in zip(made, requests, strict=True)
        ]


def _options(request: GenerationRequest, conditions: Conditions, model: "MusicGen") -> "ComposeOptions":
    options: ComposeOptions = {
        "duration": request.duration,
        "max_steps": request.max_steps,
        "temperature": request.temperature,
        "top_k": request.top_k,
        "top_p": request.top_p,
        "guidance": request.guidance,
        "given": conditions.given,
        "limit": math.inf,  # the request was checked against the user's
        "clip": False,  # peaks are whole until the sound is finished
    }
    if conditions.melody is not None:
        melody = model.config.melody
        # Without a melody model the engine says so.
        options["melody"] = conditions.chroma(12 if melody is None else melody.num_chroma)
    if request.context is not None:
        options["context"] = request.context
    return options


def _made_audio(
    model: "MusicGen", made: "Composition", request: GenerationRequest, conditions: Conditions
) -> MadeAudio:
    from audiolib.version import __version__
    from generation.ensemble import Ensemble

    several = model if isinstance(model, Ensemble) else None
    recipe = Recipe(
        prompt=made.prompt,
        model=model.model_id,
        weights_digest=model.weights_digest,
        seed=made.seed,
        temperature=made.settings.temperature,
        top_k=made.settings.top_k,
        top_p=made.settings.top_p,
        guidance=made.settings.guidance,
        steps=made.steps,
        duration=request.duration,
        batch_size=made.batch_size,
        backend=model.backend,
        dtype=model.dtype,
        audiolib_version=__version__,
        parent_id=request.parent_id,
        bits=model.bits,
        continued_from=conditions.continued_from,
        given_frames=made.given_frames,
        melody_from=conditions.melody_from,
        context=request.context,
        models=() if several is None else tuple(each.model_id for each in several.models),
        model_weights=() if several is None else several.weights,
        model_digests=() if several is None else tuple(each.weights_digest for each in several.models),
        finish=request.finish,
        sample_format=request.sample_format,
    )
    return MadeAudio(
        audio=made.audio,
        codes=StoredCodes(codes=made.codes, codec=model.codec_digest, melody=conditions.melody),
        sampling_rate=model.sampling_rate,
        recipe=recipe,
        license=model.license,
    )
