"""Words sung or spoken in a clip, by Whisper in MLX (Radford et al. 2022, arXiv:2212.04356).

mlx_whisper takes up to five seconds to import (numba), so that happens where a model is loaded.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexing import locate
from indexing.errors import IndexingError, TranscriberUnavailableError

if TYPE_CHECKING:
    import mlx.core as mx
    import numpy as np

SAMPLING_RATE = 16_000

# Best first; the repositories of mlx-community in mlx-whisper's format.
CANDIDATES = (
    "mlx-community/whisper-large-v3-turbo",
    "mlx-community/whisper-large-v3-mlx",
    "mlx-community/whisper-medium-mlx",
    "mlx-community/whisper-small-mlx",
    "mlx-community/whisper-base-mlx",
    "mlx-community/whisper-tiny",
    "mlx-community/whisper-tiny-mlx",
)
_WEIGHTS = ("weights.safetensors", "weights.npz")
_SCORES = ("avg_logprob", "no_speech_prob", "compression_ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of text; `start` and `end` in seconds from the clip's beginning."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was heard in a clip.

    Attributes:
        text: The segments' texts, joined; empty when nothing was heard.
        language: Whisper's code for it (`en`, `de`, ...); None when nothing was heard.
        segments: In order of time.
        model: Name of the model's folder or repository.
    """

    text: str
    language: str | None
    segments: tuple[Segment, ...]
    model: str


def find_whisper(name: str | None, *, models_dirs: Sequence[Path]) -> Path:
    """The folder of a Whisper model in mlx-whisper's format that is on this machine.

    Args:
        name: A folder, a Hugging Face name, or the last part of one of mlx-community's; None takes the
            best of the usual ones that is here.
        models_dirs: Folders that are looked through before the Hugging Face cache.

    Raises:
        TranscriberUnavailableError: There is none; the message says how to get one.
    """
    if name is None:
        found = next((f for c in CANDIDATES if (f := _find(c, models_dirs)) is not None), None)
        wanted, pulled = "No Whisper model is", CANDIDATES[0]
    else:
        found = Path(name) if _is_whisper(Path(name)) else _find(name, models_dirs)
        wanted, pulled = f"The Whisper model {name} is not", _repository(name)
    if found is None:
        raise TranscriberUnavailableError(
            f"{wanted} on this machine in mlx-whisper's format (config.json and weights.safetensors or "
            f"weights.npz). Get one with `audiolib models pull {pulled}`."
        )
    return found


class Transcriber:
    """One Whisper model; mlx_whisper keeps it in memory until another one is used."""

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        """Loads the model, which takes seconds, so that one that is of no use is known before the first clip.

        Args:
            path: Its folder, as `find_whisper` gives it.
            name: What transcripts call it; a cache snapshot's repository or the folder's name by default.

        Raises:
            TranscriberUnavailableError: The folder holds no model in mlx-whisper's format, its weights are
                unusable, or mlx_whisper is not installed.
        """
        self._path = Path(path)
        if not _is_whisper(self._path):
            raise TranscriberUnavailableError(f"{path} holds no Whisper model in mlx-whisper's format.")
        self.name = name or _name_of(self._path)
        self._half = self._load()

    def transcribe(self, audio: "np.ndarray", sampling_rate: int) -> Transcript:
        """Transcribes one clip; its language is detected from the first 30 seconds.

        Args:
            audio: `(samples,)` or `(samples, channels)` float, finite.
            sampling_rate: Hz.

        Raises:
            IndexingError: The audio is not finite, or of another shape.
        """
        heard = _prepare(audio, sampling_rate)
        if not len(heard):
            return Transcript(text="", language=None, segments=(), model=self.name)
        from mlx_whisper.transcribe import ModelHolder, transcribe

        with _uncompiled_on_cpu():
            if ModelHolder.model_path != str(self._path):  # another Transcriber took the one place
                self._half = self._load()
            result = transcribe(
                heard,
                path_or_hf_repo=str(self._path),
                fp16=self._half,
                # A window's invention would otherwise prompt the next one.
                condition_on_previous_text=False,
            )
        segments = _accepted(result["segments"], len(heard) / SAMPLING_RATE)
        text = " ".join(segment.text for segment in segments)
        # A language is always detected; where nothing was heard it means nothing.
        language = result["language"] if segments else None
        return Transcript(text=text, language=language, segments=segments, model=self.name)

    def _load(self) -> bool:
        """Puts the model where mlx_whisper looks for it; True when it computes in float16."""
        import mlx.core as mx

        try:
            from mlx_whisper.transcribe import ModelHolder
        except ImportError as error:
            raise TranscriberUnavailableError(
                "Transcribing needs mlx-whisper: `pip install mlx-whisper`."
            ) from error
        weights = next(self._path / file for file in _WEIGHTS if (self._path / file).is_file())
        try:
            stored: Any = mx.load(str(weights))
            dtypes = {value.dtype for value in stored.values()}
            # On a CPU float16 is the slow type, and float32 weights cannot be decoded as float16.
            half = mx.float32 not in dtypes and mx.default_device().type != mx.DeviceType.cpu
            dtype = mx.float16 if half else mx.float32
            model = ModelHolder.get_model(str(self._path), dtype)
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
            raise TranscriberUnavailableError(
                f"The Whisper model in {self._path} cannot be loaded: {error}"
            ) from error
        _require_all(model, stored, self._path)
        model.set_dtype(dtype)
        return half


def _repository(name: str) -> str:
    return name if "/" in name else f"mlx-community/{name}"


def _find(name: str, models_dirs: Sequence[Path]) -> Path | None:
    repo = _repository(name)
    for weights in _WEIGHTS:
        files = (weights, "config.json")
        folder = locate.in_models_dirs(name, models_dirs, files) or locate.in_hub_cache(repo, files)
        if folder is not None and _is_whisper(folder):
            return folder
    return None


def _is_whisper(folder: Path) -> bool:
    if not any(locate.holds(folder, (weights, "config.json")) for weights in _WEIGHTS):
        return False
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "n_audio_state" in config


def _name_of(folder: Path) -> str:
    """`models--org--name/snapshots/<revision>` is the Hugging Face cache's spelling of `org/name`."""
    repo = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repo.startswith("models--"):
        return repo.removeprefix("models--").replace("--", "/")
    return folder.name


def _prepare(audio: "np.ndarray", sampling_rate: int) -> "np.ndarray":
    """Whisper's input: `(samples,)` float32 at 16 kHz."""
    import numpy as np
    import soxr

    mono = np.asarray(audio, dtype=np.float32)
    if mono.ndim == 2:
        mono = mono.mean(axis=1)
    if mono.ndim != 1 or not np.isfinite(mono).all() or sampling_rate <= 0:
        raise IndexingError("Audio to transcribe must be finite samples, one column a channel.")
    if sampling_rate == SAMPLING_RATE or not len(mono):
        return mono
    resampled: np.ndarray = soxr.resample(mono, sampling_rate, SAMPLING_RATE)
    return resampled


def _accepted(segments: Sequence[Mapping[str, Any]], duration: float) -> tuple[Segment, ...]:
    """Segments with words and finite scores, inside the clip.

    A score that is not a number passes every threshold of mlx_whisper's, so such text means nothing.
    """
    kept = []
    for segment in segments:
        text = " ".join(segment["text"].split())
        if text and all(math.isfinite(segment[score]) for score in _SCORES):
            # Whisper pads to 30 seconds and may end a segment in the padding.
            start, end = (min(max(float(segment[side]), 0.0), duration) for side in ("start", "end"))
            kept.append(Segment(start=start, end=max(start, end), text=text))
    return tuple(kept)


def _require_all(model: Any, stored: Mapping[str, "mx.array"], path: Path) -> None:
    """mlx_whisper leaves a tensor that the file lacks at its random start; here that is an error."""
    from mlx.utils import tree_flatten

    named: Any = tree_flatten(model.parameters())
    missing = sorted(name for name, _ in named if name not in stored and name != "alignment_heads")
    if missing:
        raise TranscriberUnavailableError(f"The Whisper model in {path} lacks {', '.join(missing[:5])}.")


@contextmanager
def _uncompiled_on_cpu() -> Iterator[None]:
    """MLX compiles for the CPU with the system's C++ compiler: slow, and not everyone has one."""
    import mlx.core as mx

    if mx.default_device().type != mx.DeviceType.cpu or "MLX_DISABLE_COMPILE" in os.environ:
        yield
        return
    mx.disable_compile()
    try:
        yield
    finally:
        mx.enable_compile()
