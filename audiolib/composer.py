"""The library's use of MusicGen: which checkpoint, loaded once, and a request made into sound with its recipe."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audiolib.clip import Recipe
from audiolib.errors import ModelChangedError
from audiolib.requests import DEFAULT_DURATION, GenerationRequest, Progress, seconds_of
from audiolib.settings import Settings

if TYPE_CHECKING:
    import numpy as np

    from generation.checkpoints import FoundModel
    from generation.composition import Composition
    from generation.musicgen import MusicGen


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeAudio:
    """What came out of the model, not stored yet.

    Attributes:
        audio: `(samples,)` or `(samples, 2)` float32 in [-1, 1], at the model's own rate.
        codes: `(K, frames)` int16.
        sampling_rate: The model's own rate in Hz.
        recipe: All that made it.
        license: Licence of the weights where it is known.
    """

    audio: "np.ndarray"
    codes: "np.ndarray"
    sampling_rate: int
    recipe: Recipe
    license: str | None


class Composer:
    """Finds checkpoints and keeps the last one that was used in memory.

    Args:
        settings: The user's settings; `model` is the default checkpoint.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: tuple[tuple[str, str | None, int | None], MusicGen] | None = None

    def find(self, name: str | None) -> "FoundModel":
        """Find a checkpoint on this machine.

        Args:
            name: Its name or folder; the user's or the best one there is when `None`.

        Raises:
            ModelNotFoundError: It is not here; nothing is downloaded.
        """
        from generation.checkpoints import find_model

        return find_model(name or self._settings.model)

    def load(self, name: str | None, dtype: str | None = None, bits: int | None = None) -> "MusicGen":
        """Load a checkpoint, or return it if it was the last one used.

        Args:
            name: Its name or folder, as in `find`.
            dtype: Number type of the weights, the backend's usual one when `None`.
            bits: 8 or 4 to quantise the decoder's weights.

        Raises:
            ModelNotFoundError: It is not here.
            CheckpointError: It cannot be used.
        """
        found = self.find(name)
        key = (str(found.path), dtype, bits)
        if self._loaded is None or self._loaded[0] != key:
            from generation.backend import prepare
            from generation.musicgen import MusicGen

            prepare()
            self._loaded = None  # two models need not fit into memory together
            model = MusicGen.from_pretrained(name or self._settings.model, dtype=dtype, bits=bits)
            self._loaded = (key, model)
        return self._loaded[1]

    def compose(self, request: GenerationRequest, *, progress: Progress | None = None) -> MadeAudio:
        """Make a clip's sound.

        Args:
            request: What is wanted; checked already.
            progress: Called with the steps done and the steps in all.

        Raises:
            GenerationError: It could not be made.
        """
        model = self.load(request.model, request.dtype, request.bits)
        (made,) = model.compose(
            [request.prompt],
            duration=request.duration,
            max_steps=request.max_steps,
            seeds=None if request.seed is None else [request.seed],
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            guidance=request.guidance,
            batch_size=request.batch_size,
            limit=math.inf,  # the request was checked against the user's
            progress=progress,
        )
        return _made_audio(model, made, request)

    def batch_limit(self, request: GenerationRequest) -> int:
        """Return how many clips like this one are best made together on this machine.

        Args:
            request: One of them; checked already.
        """
        model = self.load(request.model, request.dtype, request.bits)
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
        model = self.load(first.model, first.dtype, first.bits)
        made = model.compose(
            [request.prompt for request in requests],
            duration=first.duration,
            max_steps=first.max_steps,
            seeds=[request.seed or 0 for request in requests],
            temperature=first.temperature,
            top_k=first.top_k,
            top_p=first.top_p,
            guidance=first.guidance,
            limit=math.inf,
            progress=progress,
        )
        return [_made_audio(model, each, request) for each, request in zip(made, requests, strict=True)]

    def model_for(self, recipe: Recipe) -> str:
        """Return the name or folder under which the very weights of a recipe are on this machine.

        A checkpoint that was named by its folder may only be known by the user's setting now, so that one is tried
        as well; the digest decides.

        Args:
            recipe: How a clip was made.

        Raises:
            ModelNotFoundError: No checkpoint of that name is here.
            ModelChangedError: Its weights are others now.
        """
        from generation.checkpoints import weight_digest
        from generation.errors import ModelNotFoundError

        digests = []
        missing: ModelNotFoundError | None = None
        for name in dict.fromkeys((recipe.model, self._settings.model)):
            if name is None:
                continue
            try:
                found = self.find(name)
            except ModelNotFoundError as error:
                missing = missing or error
                continue
            digests.append(weight_digest(found.path))
            if digests[-1] == recipe.weights_digest:
                return name
        if missing is not None and "/" in recipe.model:
            raise missing
        if missing is not None:
            raise ModelNotFoundError(
                f"{missing} If it is in a folder of yours, set AUDIOLIB_MODEL to that folder."
            ) from missing
        raise ModelChangedError(
            f"The weights of {recipe.model} here are not those that made this clip ({_short(digests[0])}, not "
            f"{_short(recipe.weights_digest)}). Get the same weights, or make a variation with --model."
        )


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _made_audio(model: "MusicGen", made: "Composition", request: GenerationRequest) -> MadeAudio:
    from audiolib.version import __version__

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
        finish=request.finish,
        sample_format=request.sample_format,
    )
    return MadeAudio(
        audio=made.audio,
        codes=made.codes,
        sampling_rate=model.sampling_rate,
        recipe=recipe,
        license=model.license,
    )
