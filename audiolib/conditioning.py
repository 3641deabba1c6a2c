"""Sound that a clip is made from besides words: music to go on from, a melody to follow; found, read, and kept.

`--duration` is the length of the whole clip, the given music included, as in audiocraft's `generate_continuation`.
What a clip was made from stands in its own file of codes: it can be made again when its source is gone.
"""

import math
import os
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audiolib.clip import Recipe
from audiolib.codes import StoredCodes, read_codes
from audiolib.errors import ClipNotFoundError, InvalidInputError, ReproductionError
from audiolib.folder import LibraryFolder
from audiolib.requests import DEFAULT_DURATION, FRAME_RATE, GenerationRequest, check_duration, seconds_of
from audiolib.sidecars import Sidecar, read_sidecar

if TYPE_CHECKING:
    import numpy as np

    from generation.musicgen import MusicGen

GIVEN_SECONDS: Final = 20.0
"""Given where nobody says how much: all of it then fits the model's window of 30 seconds, with 10 seconds to make."""

_MELODY_SECONDS: Final = 30.0  # what melody models hear
_MOST_NAME: Final = 200  # characters of a file's name that a recipe keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Sound that was read for a clip.

    Attributes:
        given: Codes `(K, frames)` that it begins with.
        continued_from: Whose they are: a clip's id or a file's name.
        melody: The leading pitch class of each frame of a melody, `(frames,)` int16.
        melody_from: Whose it is.
    """

    given: "np.ndarray | None" = None
    continued_from: str | None = None
    melody: "np.ndarray | None" = None
    melody_from: str | None = None

    def chroma(self, classes: int) -> "np.ndarray | None":
        """Return the melody as models take it, one-hot `(frames, classes)`.

        Args:
            classes: Pitch classes in an octave.
        """
        import numpy as np

        return None if self.melody is None else np.eye(classes, dtype=np.float32)[self.melody]


class Conditioner:
    """Finds and reads the sound that clips are made from.

    Args:
        folder: The library whose clips can be named; it need not exist.
    """

    def __init__(self, folder: LibraryFolder) -> None:
        self._folder = folder

    def settled(self, request: GenerationRequest, *, max_duration: float) -> GenerationRequest:
        """Return the request with its sources as ids and absolute paths, and with its length.

        `last` then means the same for every clip that is made from one call.

        Args:
            request: What is wanted; checked already.
            max_duration: The longest clip allowed, in seconds.

        Raises:
            InvalidInputError: Nothing is left to be made, or a source is neither a clip nor a file.
            AudioError: A file cannot be read.
        """
        if not request.conditioned:
            return request
        given = 0
        if request.conditioned_as is not None:
            recipe = read_sidecar(self._folder.sidecar_path(request.conditioned_as)).recipe
            given = 0 if recipe is None else recipe.given_frames
        if request.continue_from is not None:
            source = self._find(request.continue_from)
            given = _frames_of(source, request.continue_seconds, max_duration)
            parent = source.clip.id if isinstance(source, Sidecar) else None
            request = replace(
                request,
                continue_from=_name_of(source),
                continue_seconds=given / FRAME_RATE,
                parent_id=request.parent_id or parent,
            )
        if request.melody is not None:
            request = replace(request, melody=_name_of(self._find(request.melody)))
        return _with_length(request, given, max_duration)

    def read(self, request: GenerationRequest, model: "MusicGen") -> Conditions:
        """Return the sound that a request names, as this model takes it.

        Args:
            request: What is wanted, settled.
            model: The model that will make it.

        Raises:
            ReproductionError: What a clip was made from is lost.
            ClipNotFoundError: A clip was removed meanwhile.
            AudioError: A file cannot be read.
            GenerationError: The model follows no melody, or there is no sound.
        """
        conditions = Conditions()
        if request.conditioned_as is not None:
            sidecar = read_sidecar(self._folder.sidecar_path(request.conditioned_as))
            conditions = self._kept(sidecar, model, again=request)
        if request.continue_from is not None:
            source = self._find(request.continue_from)
            frames = round((request.continue_seconds or GIVEN_SECONDS) * FRAME_RATE)
            given = _codes_of(source, frames, model)
            conditions = replace(conditions, given=given, continued_from=_label_of(source))
        if request.melody is not None:
            source = self._find(request.melody)
            audio, rate = read_part(_audio_of(source), _MELODY_SECONDS, end=False)
            heard = model.hear_melody(audio, rate).argmax(axis=1).astype("int16")
            conditions = replace(conditions, melody=heard, melody_from=_label_of(source))
        return conditions

    def _find(self, reference: str | os.PathLike[str]) -> Sidecar | Path:
        name = os.fspath(reference)
        try:
            return read_sidecar(self._folder.resolve(name))
        except (ClipNotFoundError, FileNotFoundError) as error:
            path = Path(name).expanduser()
            if path.is_file():
                return Path(os.path.abspath(path))
            raise InvalidInputError(
                f"{name!r} is neither a clip of {self._folder.root} nor a sound file. "
                "Give a clip's id, `last`, or a file's path."
            ) from error

    def _kept(self, sidecar: Sidecar, model: "MusicGen", *, again: GenerationRequest) -> Conditions:
        """What a clip was made from, out of its own files; what the request names anew is left out."""
        recipe, stored = sidecar.recipe, _stored(sidecar)
        if recipe is None:
            return Conditions()
        conditions = Conditions()
        if recipe.given_frames and again.continue_from is None:
            given = self._kept_codes(sidecar, recipe, stored, model)
            conditions = replace(conditions, given=given, continued_from=recipe.continued_from)
        if recipe.melody_from is not None and again.melody is None:
            melody = None if stored is None else stored.melody
            chroma = model.config.melody
            if melody is None or (chroma is not None and (melody >= chroma.num_chroma).any()):
                raise _lost(sidecar, "melody")
            conditions = replace(conditions, melody=melody, melody_from=recipe.melody_from)
        return conditions

    def _kept_codes(
        self, sidecar: Sidecar, recipe: Recipe, stored: StoredCodes | None, model: "MusicGen"
    ) -> "np.ndarray":
        frames = recipe.given_frames
        if stored is not None and stored.codes.shape[1] >= frames:
            if _fits(stored, recipe, model):
                return stored.codes[:, :frames]
            if sidecar.clip.path.exists():  # the same music, as the other model's codec hears it
                audio, rate = read_part(sidecar.clip.path, frames / FRAME_RATE, end=False)
                return model.encode(audio, rate)[:, :frames]
        try:  # its own codes are lost: those of the clip that it goes on from may be there
            source = read_sidecar(self._folder.sidecar_path(recipe.continued_from or ""))
        except (ClipNotFoundError, FileNotFoundError, ValueError) as error:  # ValueError: a file's name
            raise _lost(sidecar, "music that it goes on from") from error
        return _codes_of(source, frames, model)


def read_part(path: Path, seconds: float, *, end: bool) -> tuple["np.ndarray", int]:
    """Return the beginning or the end of a sound file, `(samples, channels)` float32, and its rate in Hz.

    Args:
        path: The file.
        seconds: How much of it at most.
        end: Its end; what comes before is not kept in memory.

    Raises:
        AudioError: It cannot be read, or holds no samples.
    """
    import numpy as np

    from generation.errors import AudioError
    from generation.stream import open_audio

    blocks: deque[np.ndarray] = deque()
    held = 0
    with open_audio(path) as stream:
        rate, wanted = stream.sampling_rate, max(1, round(seconds * stream.sampling_rate))
        for block in stream.blocks():
            blocks.append(block)
            held += len(block)
            if not end and held >= wanted:
                break
            while end and held - len(blocks[0]) >= wanted:
                held -= len(blocks.popleft())
    if not blocks:
        raise AudioError(f"{path} holds no samples.")
    audio = np.concatenate(blocks)
    return (audio[-wanted:] if end else audio[:wanted]), rate


def _with_length(request: GenerationRequest, given: int, max_duration: float) -> GenerationRequest:
    if request.max_steps is not None:
        duration = seconds_of(request.max_steps)
    elif request.duration is not None:
        duration = request.duration
    else:
        duration = given / FRAME_RATE + DEFAULT_DURATION
        check_duration(duration, max_duration)
        request.finish.check_length(duration)
        request = replace(request, duration=duration)
    if given and math.ceil(duration * FRAME_RATE) <= given:
        leave = "second leaves" if duration == 1 else "seconds leave"
        raise InvalidInputError(
            f"{duration:g} {leave} nothing to add to the {given / FRAME_RATE:g} that are given: the duration is "
            "the whole clip's. Ask for more with --duration, or give less with --continue-seconds."
        )
    return request


def _frames_of(source: Sidecar | Path, seconds: float | None, max_duration: float) -> int:
    """How many frames of a source are given: whole ones, so that the new music begins where the given ends."""
    # No more than a clip may have: that much of a file is held in memory.
    wanted = min(GIVEN_SECONDS if seconds is None else seconds, max_duration)
    most = math.floor(wanted * FRAME_RATE + 1e-6)
    if isinstance(source, Sidecar):
        # The last frame of a clip that was made here may be cut in the middle, but it was made whole.
        made_here = source.recipe if source.codes_path is not None else None
        length = source.clip.duration if made_here is None else seconds_of(made_here.steps)
    else:
        audio, rate = read_part(source, most / FRAME_RATE, end=False)
        length = len(audio) / rate
    frames = min(most, math.floor(length * FRAME_RATE + 1e-6))
    if frames < 1:
        raise InvalidInputError(
            f"{_audio_of(source)} is too short to go on from: it has {length:.3f} seconds."
        )
    return frames


def _codes_of(source: Sidecar | Path, frames: int, model: "MusicGen") -> "np.ndarray":
    """The codes `(K, frames)` of a source's end: the very ones of a clip that was made here, else its sound encoded."""
    if isinstance(source, Sidecar) and source.recipe is not None:
        stored = _stored(source)
        if stored is not None and _fits(stored, source.recipe, model):
            return stored.codes[:, -frames:]
    audio, rate = read_part(_audio_of(source), frames / FRAME_RATE, end=True)
    # Of whole frames up to its very end: a part of one would be filled up, and heard at the join.
    whole = min(frames, math.floor(len(audio) / rate * FRAME_RATE + 1e-6))
    return model.encode(audio[-round(whole / FRAME_RATE * rate) :], rate)[:, :whole]


def _fits(stored: StoredCodes, recipe: Recipe, model: "MusicGen") -> bool:
    """Whether codes mean to a model what they meant to the one that made them."""
    decoder = model.config.decoder
    if len(stored.codes) != decoder.num_codebooks or (stored.codes >= decoder.vocab_size).any():
        return False
    if stored.codec is None:  # an older file
        return recipe.weights_digest == model.weights_digest
    return stored.codec == model.codec_digest


def _stored(sidecar: Sidecar) -> StoredCodes | None:
    return None if sidecar.codes_path is None else read_codes(sidecar.codes_path)


def _audio_of(source: Sidecar | Path) -> Path:
    return source.clip.path if isinstance(source, Sidecar) else source


def _name_of(source: Sidecar | Path) -> str:
    return source.clip.id if isinstance(source, Sidecar) else str(source)


def _label_of(source: Sidecar | Path) -> str:
    """What a recipe says of a source: no folders of this machine, and nothing that is no text."""
    if isinstance(source, Sidecar):
        return source.clip.id
    plain = "".join(character if character.isprintable() else "?" for character in source.name)
    return plain[-_MOST_NAME:]


def _lost(sidecar: Sidecar, what: str) -> ReproductionError:
    clip_id = sidecar.clip.id
    return ReproductionError(
        f"The {what} was kept with the codes of clip {clip_id}, and these are lost or damaged. Restore "
        f"{clip_id}.codes.npz from a backup, or make a new clip with --continue {clip_id[-6:]}."
    )
