"""The checkpoints that clips are made with: found by name, loaded once, several as one; found again for a recipe."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from audiolib.clip import Recipe
from audiolib.errors import InvalidInputError, ModelChangedError
from audiolib.settings import Settings

if TYPE_CHECKING:
    from generation.checkpoints import FoundModel
    from generation.musicgen import MusicGen

Names = str | Sequence[str] | None
"""One checkpoint, several whose logits are mixed, or the default one."""


class Shelf:
    """Finds checkpoints and keeps the last one that was used, or the last several, in memory.

    Args:
        settings: The user's settings; `model` is the default checkpoint.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: tuple[Any, MusicGen] | None = None

    def find(self, name: str | None) -> "FoundModel":
        """Find a checkpoint on this machine.

        Args:
            name: Its name or folder; the user's or the best one there is when `None`.

        Raises:
            ModelNotFoundError: It is not here; nothing is downloaded.
        """
        from generation.checkpoints import find_model

        return find_model(name or self._settings.model)

    def find_all(self, names: Names) -> "list[FoundModel]":
        """Find every checkpoint that is named.

        Args:
            names: One or several; as for `find`.

        Raises:
            ModelNotFoundError: One is not here.
        """
        return [self.find(name) for name in _each(names)]

    def model_id(self, names: Names) -> str:
        """Return what the model is called in clips and recipes.

        Args:
            names: One or several; as for `find`.

        Raises:
            ModelNotFoundError: One is not here.
        """
        return "+".join(found.model_id for found in self.find_all(names))

    def check_melody(self, names: Names) -> None:
        """Say that a melody cannot be followed before a model is loaded.

        Args:
            names: One or several; as for `find`.

        Raises:
            InvalidInputError: One of them is no melody model.
            CheckpointError: Its configuration cannot be read.
        """
        from generation.checkpoints import load_config

        for found in self.find_all(names):
            if load_config(found.path).melody is None:
                raise InvalidInputError(
                    f"{found.model_id} follows no melody. Use a melody model, like --model "
                    "facebook/musicgen-melody, or go on from the music with --continue."
                )

    def load(
        self, names: Names, *, weights: Sequence[float] | None = None, dtype: str | None, bits: int | None
    ) -> "MusicGen":
        """Load a checkpoint or several, or return what was the last one used.

        Args:
            names: One or several; as for `find`.
            weights: How much each of several counts; all the same when `None`.
            dtype: Number type of the weights, the backend's usual one when `None`.
            bits: 8 or 4 to quantise the decoders' weights.

        Raises:
            ModelNotFoundError: One is not here.
            CheckpointError: One cannot be used.
            InvalidRequestError: They do not fit together.
        """
        paths = tuple(str(found.path) for found in self.find_all(names))
        key = (paths, None if weights is None else tuple(weights), dtype, bits)
        if self._loaded is not None and self._loaded[0] == key:
            return self._loaded[1]
        from generation.backend import prepare

        prepare()
        from generation.musicgen import MusicGen

        self._loaded = None  # two models need not fit into memory together
        models = [
            MusicGen.from_pretrained(name or self._settings.model, dtype=dtype, bits=bits)
            for name in _each(names)
        ]
        if len(models) == 1:
            self._loaded = (key, models[0])
        else:
            from generation.ensemble import Ensemble

            self._loaded = (key, Ensemble(models, weights))
        return self._loaded[1]

    def names_for(self, recipe: Recipe) -> str | tuple[str, ...]:
        """Return the names or folders under which the very weights of a recipe are on this machine.

        Args:
            recipe: How a clip was made.

        Raises:
            ModelNotFoundError: No checkpoint of that name is here.
            ModelChangedError: Its weights are others now.
        """
        if not recipe.models:
            return self._name_for(recipe.model, recipe.weights_digest)
        pairs = zip(recipe.models, recipe.model_digests, strict=False)
        return tuple(self._name_for(name, digest) for name, digest in pairs)

    def _name_for(self, model: str, digest: str) -> str:
        """A checkpoint that was named by its folder may only be known by the user's setting now: the digest decides."""
        from generation.checkpoints import weight_digest
        from generation.errors import ModelNotFoundError

        digests = []
        missing: ModelNotFoundError | None = None
        for name in dict.fromkeys((model, self._settings.model)):
            if name is None:
                continue
            try:
                found = self.find(name)
            except ModelNotFoundError as error:
                missing = missing or error
                continue
            digests.append(weight_digest(found.path))
            if digests[-1] == digest:
                return name
        if missing is not None and "/" in model:
            raise missing
        if missing is not None:
            raise ModelNotFoundError(
                f"{missing} If it is in a folder of yours, set AUDIOLIB_MODEL to that folder."
            ) from missing
        raise ModelChangedError(
            f"The weights of {model} here are not those that made this clip ({_short(digests[0])}, not "
            f"{_short(digest)}). Get the same weights, or make a variation with --model."
        )


def _each(names: Names) -> Sequence[str | None]:
    return (names,) if names is None or isinstance(names, str) else tuple(names)


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
