"""Libraries whose clips are like a test wants them: real files and sidecars, made without a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from audiolib import Clip
from audiolib.files import file_sha256, samples_sha256
from audiolib.folder import LibraryFolder, utc_text
from audiolib.ids import new_id, time_of
from audiolib.sidecars import write_sidecar
from audiolib.vectors import encode
from generation.audio import load_audio, save_audio
from indexing.describe import DESCRIPTORS_VERSION

RATE = 8_000


def tone(hertz: float, *, seconds: float = 0.25) -> np.ndarray:
    """A sine `(samples,)` at `RATE`."""
    return (0.2 * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)


def put_clip(
    root: Path,
    title: str,
    *,
    sound: np.ndarray | None = None,
    vectors: dict[str, np.ndarray] | None = None,
    suffix: str = ".wav",
    measured: bool = False,
    **fields: Any,
) -> Clip:
    """Store a clip as `add` and `generate` do, without measuring it.

    Args:
        root: The library's folder.
        title: Its title, and its prompt unless `fields` say otherwise.
        sound: `(samples,)` at `RATE`; a tone when `None`.
        vectors: By their space.
        suffix: Of the audio file.
        measured: What `fields` say of the sound is all there is; `index` listens to it otherwise.
        **fields: Other fields of `Clip`.
    """
    folder = LibraryFolder(root)
    folder.create(embedder="all-MiniLM-L6-v2")
    clip_id = new_id()
    path = folder.month_folder(clip_id) / f"{clip_id}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_audio(path, tone(440 + 10 * int(clip_id[-1], 36)) if sound is None else sound, RATE)
    samples, rate = load_audio(path)
    clip = Clip(
        id=clip_id,
        path=path,
        prompt=title,
        title=title,
        model="tiny",
        seed=1,
        duration=len(samples) / rate,
        sample_rate=rate,
        channels=1,
        created_at=utc_text(time_of(clip_id)),
        kind="generated",
        sha256=file_sha256(path),
        audio_sha256=samples_sha256(samples),
    )
    clip = replace(clip, **fields)
    more: dict[str, Any] = {"vectors": {space: encode(vector) for space, vector in (vectors or {}).items()}}
    if measured:
        more["descriptors"] = {"version": DESCRIPTORS_VERSION, "confidence": {}}
    write_sidecar(path.with_suffix(".json"), clip, recipe=None, codes=None, more=more)
    return clip
