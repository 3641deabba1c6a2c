"""A library with a few real clips, made once and copied for every test: which is also what users do."""

import os
from pathlib import Path
from typing import Any

from audiolib import AudioLibrary
from audiolib.settings import Settings
from audiolib.sidecars import edit_sidecar, read_sidecar
from generation.finish import SoundFinish

PROMPTS = ("calm piano", "happy rock", "slow ambient pads")
UNCLIPPED = SoundFinish(normalize="peak")  # random weights overshoot, and every clip would be told of


def stock(root: Path) -> None:
    """Make a library of three clips: tagged and rated, a FLAC, one with a transcript; all in the index.

    Args:
        root: Its folder, which is made.
    """
    library = open_stock(root)
    piano = library.generate(PROMPTS[0], duration=0.6, seed=1, tags=("lofi", "night"), finish=UNCLIPPED)
    library.generate(PROMPTS[1], duration=0.6, seed=2, audio_format="flac", finish=UNCLIPPED)
    pads = library.generate(PROMPTS[2], duration=0.6, seed=3, finish=UNCLIPPED)
    edit_sidecar(sidecar_of(root, piano.id), {"rating": 4})
    said = {"transcript": "hello", "segments": [{"start": 0.0, "end": 0.5, "text": "hello"}]}
    edit_sidecar(sidecar_of(root, pads.id), said)
    library.index()
    make_old(root)


def open_stock(root: Path) -> AudioLibrary:
    """Open a library with the tiny checkpoint.

    Args:
        root: Its folder.
    """
    return AudioLibrary(root, settings=Settings(model="tiny", lock_timeout=5))


def sidecar_of(root: Path, clip_id: str) -> Path:
    """The sidecar of a clip.

    Args:
        root: The library's folder.
        clip_id: The clip.
    """
    (path,) = (root / "audio").rglob(f"{clip_id}.json")
    return path


def make_old(root: Path) -> None:
    """Make every file look as if it had been written long ago: nobody is at work on it any more.

    Args:
        root: The library's folder.
    """
    for path in (root / "audio").rglob("*"):
        if path.is_file():
            os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)


def findable(library: AudioLibrary) -> set[str]:
    """Ids of all clips that a search finds."""
    return {hit.clip.id for hit in library.search("music", limit=1_000)}


def documents(root: Path) -> dict[str, Any]:
    """Every sidecar's whole object, by the clip's id.

    Args:
        root: The library's folder.
    """
    return {path.stem: read_sidecar(path).document for path in (root / "audio").rglob("*.json")}
