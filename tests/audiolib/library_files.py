"""Files and clips for the library's tests."""

from pathlib import Path

from audiolib import AudioLibrary, Clip, GenerationRequest


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
