"""generation: text in, music out; MusicGen in MLX, and sound files."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generation.audio import load_audio, read_comment, resample, save_audio
    from generation.composition import Composition
    from generation.errors import GenerationError
    from generation.finish import SoundFinish
    from generation.musicgen import MusicGen
    from generation.sampling import SamplingSettings
    from generation.sketch import GeneratedAudio, generate_and_play, generate_audio

__all__ = [
    "Composition",
    "GeneratedAudio",
    "GenerationError",
    "MusicGen",
    "SamplingSettings",
    "SoundFinish",
    "generate_and_play",
    "generate_audio",
    "load_audio",
    "read_comment",
    "resample",
    "save_audio",
]

_HOMES = {
    "Composition": "generation.composition",
    "GeneratedAudio": "generation.sketch",
    "GenerationError": "generation.errors",
    "MusicGen": "generation.musicgen",
    "SamplingSettings": "generation.sampling",
    "SoundFinish": "generation.finish",
    "generate_and_play": "generation.sketch",
    "generate_audio": "generation.sketch",
    "load_audio": "generation.audio",
    "read_comment": "generation.audio",
    "resample": "generation.audio",
    "save_audio": "generation.audio",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import generation` stays instant and imports no MLX."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'generation' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
