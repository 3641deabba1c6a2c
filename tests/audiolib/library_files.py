"""Files and clips for the library's tests."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from audiolib import AudioLibrary, BatchOutcome, Clip, GenerationRequest, ImportOutcome
from audiolib.clip import Recipe
from audiolib.codes import StoredCodes, read_codes
from generation.errors import GenerationError

if TYPE_CHECKING:
    from generation.musicgen import MusicGen

FIVE = b"calm piano\nhappy rock\ntechno\nsad strings\ndark ambient\n"
"""A file of prompts."""


def files_of(folder: Path) -> set[str]:
    """Every file under a folder but the lock's, relative to it."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".lock")
    }


def bare_clip(path: Path, clip_id: str) -> Clip:
    """A clip of which as little is known as can be.

    Args:
        path: Its audio file, which need not exist.
        clip_id: Its id.
    """
    return Clip(
        id=clip_id,
        path=path,
        prompt="calm",
        title="calm",
        model=None,
        seed=None,
        duration=1.0,
        sample_rate=32_000,
        channels=1,
        created_at="2026-11-22T11:32:55.438Z",
        kind="imported",
        sha256="a",
        audio_sha256="b",
    )


def clips_of(library: AudioLibrary, *prompts: str, index: bool = True) -> list[Clip]:
    """Clips of a fifth of a second, made by the tiny model of the settings.

    Args:
        library: Where they go.
        prompts: One for each clip.
        index: Make them searchable.
    """
    requests = [GenerationRequest(prompt=prompt, duration=0.2, seed=7) for prompt in prompts]
    return list(library.generate_all(requests, index=index))


def make(library: AudioLibrary, prompt: str = "calm", **options: Any) -> Clip:
    """A clip without a row in the index."""
    return library.generate(prompt, index=False, **{"seed": 1, **options})


def made(outcomes: list[BatchOutcome]) -> list[BatchOutcome]:
    """The same outcomes, all of clips that were made."""
    assert {outcome.status for outcome in outcomes} == {"made"}
    return outcomes


def add(library: AudioLibrary, *paths: Path, **options: Any) -> list[ImportOutcome]:
    """Import files and folders."""
    return list(library.add_all(paths, **options))


def codes_path(clip: Clip) -> Path:
    """Where a clip's codec tokens are."""
    return clip.path.with_name(f"{clip.id}.codes.npz")


def codes_of(clip: Clip) -> StoredCodes:
    """A clip's codec tokens."""
    stored = read_codes(codes_path(clip))
    assert stored is not None
    return stored


def recipe(library: AudioLibrary, clip: Clip) -> Recipe:
    """All that made a clip."""
    found = library.recipe(clip.id)
    assert found is not None
    return found


def forget(clip: Clip) -> None:
    """Remove every file of a clip."""
    for path in clip.path.parent.glob(f"{clip.id}*"):
        path.unlink()


def bad_prompts(
    monkeypatch: pytest.MonkeyPatch, *prompts: str, error: type[Exception] = GenerationError
) -> list[int]:
    """Make the engine fail at prompts; how large the batches were that were tried."""
    from generation.musicgen import MusicGen

    encode, compose, tried = MusicGen.encode_text, MusicGen.compose, list[int]()

    def failing(self: "MusicGen", prompt: str) -> object:
        if prompt in prompts:
            raise error(f"The weights are damaged at {prompt}.")
        return encode(self, prompt)

    def counting(self: "MusicGen", texts: list[str], **options: object) -> object:
        tried.append(len(texts))
        return compose(self, texts, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(MusicGen, "encode_text", failing)
    monkeypatch.setattr(MusicGen, "compose", counting)
    return tried
