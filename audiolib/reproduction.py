"""Making a clip again from its recipe and holding it against what is stored, bit for bit."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audiolib.clip import Clip, Recipe
from audiolib.codes import read_codes, write_codes
from audiolib.composer import Composer, MadeAudio
from audiolib.errors import ReproductionError
from audiolib.files import file_sha256, sync_file, sync_folder
from audiolib.folder import LibraryFolder
from audiolib.recording import (
    LINE_KEY,
    AudioFacts,
    read_facts,
    scratch_file,
    write_audio,
)
from audiolib.requests import GenerationRequest, Progress, request_of
from audiolib.sidecars import Sidecar, edit_sidecar


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A clip that came out the same again, in its codes and its samples.

    Attributes:
        clip: The stored clip.
        codes_compared: Stored codes were there to compare with; samples always are, by their digest.
        restored: Lost files that were written again.
    """

    clip: Clip
    codes_compared: bool
    restored: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what was compared and restored as a JSON object; the clip has one of its own."""
        return {"codes_compared": self.codes_compared, "restored": [str(path) for path in self.restored]}


def recipe_of(sidecar: Sidecar) -> Recipe:
    """Return a clip's recipe.

    Args:
        sidecar: The clip.

    Raises:
        ReproductionError: It has none.
    """
    if sidecar.recipe is None:
        raise ReproductionError(
            f"Clip {sidecar.clip.id} was imported, so there is no recipe to make it again."
        )
    return sidecar.recipe


def request_again(sidecar: Sidecar) -> GenerationRequest:
    """Return the request that makes a clip again, out of the same given sound.

    Args:
        sidecar: The clip.

    Raises:
        ReproductionError: It has no recipe.
    """
    recipe = recipe_of(sidecar)
    return replace(request_of(recipe), conditioned_as=sidecar.clip.id if recipe.conditioned else None)


def reproduce(
    folder: LibraryFolder, composer: Composer, sidecar: Sidecar, *, progress: Progress | None = None
) -> Reproduction:
    """Make a clip again and compare; restore its files where they are lost, add nothing else.

    Args:
        folder: The library.
        composer: Makes the sound.
        sidecar: The clip.
        progress: Called with the steps done and the steps in all.

    Raises:
        ReproductionError: It came out otherwise, or a stored file is not what was recorded.
        ModelChangedError: The weights on this machine are others.
        GenerationError: The model is not here or could not make it.
        OSError: A file cannot be read or written.
    """
    recipe = recipe_of(sidecar)
    request = replace(
        request_again(sidecar),
        model=composer.names_for(recipe),
        audio_format=sidecar.clip.path.suffix.removeprefix("."),
        sample_rate=sidecar.clip.sample_rate,
    )
    made = composer.compose(request, progress=progress)
    codes_compared = _compare_codes(sidecar, made)
    clip = sidecar.clip
    with scratch_file(clip.path) as scratch:
        # Through the same writer and reader as the stored file, so that 16-bit and lossy formats compare too.
        write_audio(
            scratch,
            made,
            clip_id=clip.id,
            title=clip.title,
            tags=clip.tags,
            sample_rate=clip.sample_rate,
            line=sidecar.document.get(LINE_KEY),
        )
        fresh = read_facts(scratch)
        if fresh.audio_sha256 != clip.audio_sha256:
            raise ReproductionError(_otherwise(recipe, made, "samples"))
        restored = _restore_audio(folder, sidecar, scratch, fresh)
    if sidecar.codes_path is not None and not sidecar.codes_path.exists():
        write_codes(sidecar.codes_path, made.codes)
        restored = (*restored, sidecar.codes_path)
    return Reproduction(clip=clip, codes_compared=codes_compared, restored=restored)


def _compare_codes(sidecar: Sidecar, made: MadeAudio) -> bool:
    import numpy as np

    if sidecar.codes_path is None or not sidecar.codes_path.exists():
        return False
    stored = read_codes(sidecar.codes_path)
    if stored is None:
        raise ReproductionError(
            f"{sidecar.codes_path} is damaged. Move it away and run this again: it will be restored."
        )
    if not np.array_equal(stored.codes, made.codes.codes):
        raise ReproductionError(_otherwise(recipe_of(sidecar), made, "codes"))
    return True


def _restore_audio(
    folder: LibraryFolder, sidecar: Sidecar, scratch: Path, fresh: AudioFacts
) -> tuple[Path, ...]:
    clip = sidecar.clip
    if clip.path.exists():
        if file_sha256(clip.path) != clip.sha256 and read_facts(clip.path).audio_sha256 != clip.audio_sha256:
            raise ReproductionError(
                f"The clip came out as recorded, but {clip.path} holds other samples now. "
                "Move that file away and run this again: it will be restored."
            )
        return ()
    sync_file(scratch)
    os.replace(scratch, clip.path)
    sync_folder(clip.path.parent)
    if fresh.sha256 != clip.sha256:  # the same sound in other bytes, as another encoder's version writes
        with folder.lock():
            edit_sidecar(sidecar.path, {"sha256": fresh.sha256})
    return (clip.path,)


def _otherwise(recipe: Recipe, made: MadeAudio, what: str) -> str:
    there = f"{recipe.backend} in {recipe.dtype}"
    here = f"{made.recipe.backend} in {made.recipe.dtype}"
    if there != here:
        return f"The {what} came out otherwise: the clip was made on {there}, this is {here}."
    return (
        f"The {what} came out otherwise than they are stored. "
        "Another version of audiolib, of MLX or of the matrix library may be the cause."
    )
