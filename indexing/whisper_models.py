"""Whisper models in mlx-whisper's format on this machine: found by name, loaded, checked; nothing is downloaded."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from indexing import locate
from indexing.errors import TranscriberUnavailableError

if TYPE_CHECKING:
    import mlx.core as mx

# Best first; the repositories of mlx-community in mlx-whisper's format.
CANDIDATES: Final = (
    "mlx-community/whisper-large-v3-turbo",
    "mlx-community/whisper-large-v3-mlx",
    "mlx-community/whisper-medium-mlx",
    "mlx-community/whisper-small-mlx",
    "mlx-community/whisper-base-mlx",
    "mlx-community/whisper-tiny",
    "mlx-community/whisper-tiny-mlx",
)
SUGGESTED: Final = "mlx-community/whisper-tiny"
"""What is suggested where there is none: 75 MB, and quick on any machine."""
_WEIGHTS = ("weights.safetensors", "weights.npz")


def find_whisper(name: str | None, *, models_dirs: Sequence[Path]) -> Path:
    """The folder of a Whisper model in mlx-whisper's format that is on this machine.

    Args:
        name: A folder, a Hugging Face name, or the last part of one of mlx-community's; None takes the
            best of the usual ones that is here, and never one that this project trained for its tests.
        models_dirs: Folders that are looked through before the Hugging Face cache.

    Raises:
        TranscriberUnavailableError: There is none; the message says how to get one.
    """
    if name is None:
        found = next((f for c in CANDIDATES if (f := _find(c, models_dirs)) is not None), None)
        wanted, pulled = "No Whisper model is", SUGGESTED
    else:
        found = Path(name) if _is_whisper(Path(name)) else _find(name, models_dirs)
        wanted, pulled = f"The Whisper model {name} is not", _repository(name)
    if found is None:
        raise TranscriberUnavailableError(
            f"{wanted} on this machine in mlx-whisper's format (config.json and weights.safetensors or "
            f"weights.npz). Get one with `audiolib models pull {pulled}`."
        )
    return found


def load_whisper(path: Path) -> tuple[Any, bool]:
    """mlx_whisper's model of a folder, all its tensors there, and whether it computes in float16.

    Raises:
        TranscriberUnavailableError: The folder holds no model in mlx-whisper's format, its weights are
            unusable, or mlx_whisper is not installed.
    """
    import mlx.core as mx

    if not _is_whisper(path):
        raise TranscriberUnavailableError(f"{path} holds no Whisper model in mlx-whisper's format.")
    try:
        from mlx_whisper.load_models import load_model
    except ImportError as error:
        raise TranscriberUnavailableError(
            "Transcribing needs mlx-whisper: `pip install mlx-whisper`."
        ) from error
    weights = next(path / file for file in _WEIGHTS if (path / file).is_file())
    try:
        stored: Any = mx.load(str(weights))
        dtypes = {value.dtype for value in stored.values()}
        # On a CPU float16 is the slow type, and float32 weights cannot be decoded as float16.
        half = mx.float32 not in dtypes and mx.default_device().type != mx.DeviceType.cpu
        dtype = mx.float16 if half else mx.float32
        model = load_model(str(path), dtype)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise TranscriberUnavailableError(f"The Whisper model in {path} cannot be loaded: {error}") from error
    _require_all(model, stored, path)
    model.set_dtype(dtype)
    return model, half


def name_of(folder: Path) -> str:
    """What a model is called: `models--org--name/snapshots/<revision>` is the Hugging Face cache's `org/name`."""
    repo = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repo.startswith("models--"):
        return repo.removeprefix("models--").replace("--", "/")
    return folder.resolve().name


@contextmanager
def uncompiled_on_cpu() -> Iterator[None]:
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


def _require_all(model: Any, stored: Mapping[str, "mx.array"], path: Path) -> None:
    """mlx_whisper leaves a tensor that the file lacks at its random start; here that is an error."""
    from mlx.utils import tree_flatten

    named: Any = tree_flatten(model.parameters())
    missing = sorted(name for name, _ in named if name not in stored and name != "alignment_heads")
    if missing:
        raise TranscriberUnavailableError(f"The Whisper model in {path} lacks {', '.join(missing[:5])}.")
