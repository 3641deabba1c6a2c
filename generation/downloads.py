"""Checkpoints from the Hugging Face hub, only when asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generation.audiocraft import CODEC, LANGUAGE_MODEL
from generation.checkpoints import (
    RECORD,
    check_usable,
    held_in,
    holds_another,
    models_dirs,
    repository_name,
    write_record,
)
from generation.convert import INDEX as PICKLE_INDEX
from generation.convert import convert, pickled_weights
from generation.errors import DownloadError

_log = logging.getLogger(__name__)

_PATTERNS = [
    "*.json",
    "*.safetensors",
    "*.npz",
    "spiece.model",
    "*.txt",
    "README.md",
    "1_Pooling/config.json",
]
"""Weights without pickles, tokenizers and cards of MusicGen, Whisper and sentence-transformers repositories."""

_PICKLES = ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
_EXPORT = [LANGUAGE_MODEL, CODEC]
"""audiocraft's own. Each of these is asked for only where a repository has nothing better."""

_PATIENCE = 30.0  # seconds for the hub's first answer


def pull_model(name: str, *, progress: Callable[[int, int], None] | None = None) -> Path:
    """Download a repository into the first model folder and return where it lies.

    One that holds pickles alone, as Meta's medium and large models, is converted to safetensors; nothing in the pickles
    is run, and they are removed afterwards. audiocraft's own exports need T5, and some the codec, from another
    checkpoint on this machine; where it is missing the pickles stay until `convert` is called.

    Args:
        name: `owner/name` on the hub; `musicgen-small` stands for `facebook/musicgen-small`.
        progress: Called with the bytes done and the bytes in all.

    Raises:
        CheckpointError: pickles hold anything but tensors, a part that they leave out is not on this machine, or the
            model is known to be of no use here.
        DownloadError: the name is wrong, another repository lies in the folder, the hub is not reachable,
            `HF_HUB_OFFLINE` is set, or the disk is full.
    """
    from huggingface_hub import constants

    repository = repository_name(name)
    if repository.count("/") != 1:
        raise DownloadError(
            f"{name!r} is no repository; name it as owner/name, as in facebook/musicgen-small."
        )
    check_usable(repository)
    if constants.HF_HUB_OFFLINE:
        raise DownloadError("HF_HUB_OFFLINE is set, so nothing is downloaded; unset it and try again.")
    target = models_dirs()[0] / repository.split("/")[1]
    if target.is_dir() and any(target.iterdir()) and holds_another(target, repository):
        raise DownloadError(
            f"{target} holds {held_in(target)}, and {repository} would lie in the same folder. Move that folder away, "
            "or name another models folder with AUDIOLIB_MODELS, and try again."
        )
    if _fetch(repository, target, progress) and (
        pickled_weights(target) or (target / LANGUAGE_MODEL).is_file()
    ):
        _replace_pickles(target)
    if not any(target.glob("*.safetensors")) and not any(target.glob("*.npz")):
        raise DownloadError(f"{repository} publishes no weights that can be used.")
    return target


def _fetch(repository: str, target: Path, progress: Callable[[int, int], None] | None) -> list[str]:
    """Download what is needed of a repository; returns the patterns of the pickles among it."""
    from huggingface_hub import errors, model_info, snapshot_download

    options: dict[str, Any] = {} if progress is None else {"tqdm_class": _reporter(progress)}
    try:
        # Asked first: without the hub `snapshot_download` takes a folder that is there for a download.
        info = model_info(repository, timeout=_PATIENCE)
        pickles = _pickles_needed([sibling.rfilename for sibling in info.siblings or []])
        target.mkdir(parents=True, exist_ok=True)
        write_record(target, repository)
        snapshot_download(
            repository,
            revision=info.sha,
            local_dir=target,
            allow_patterns=[*_PATTERNS, *pickles],
            ignore_patterns=[RECORD],  # ours, not theirs
            **options,
        )
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise DownloadError(
            f"The hub has no public repository {repository!r} (or it needs HF_TOKEN)."
        ) from error
    except Exception as error:  # the client lets its HTTP library's errors through, and that library changes
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        # What the system refused (a full disk, a folder) has its own way out; else it is the network.
        way_out = (
            ""
            if isinstance(error, OSError)
            else " Check the network and try again; what has arrived is kept."
        )
        raise DownloadError(
            f"{repository} could not be downloaded: {reason.rstrip('.')}.{way_out}"
        ) from error
    return pickles


def _pickles_needed(names: list[str]) -> list[str]:
    """Patterns of the pickles to take from a repository with files of these names: none where there is better."""
    if any(name.endswith((".safetensors", ".npz")) for name in names):
        return []
    whole = any(name.startswith("pytorch_model") for name in names)
    return _PICKLES if whole or LANGUAGE_MODEL not in names else _EXPORT


def _replace_pickles(folder: Path) -> None:
    pickles = pickled_weights(folder) or [folder / name for name in _EXPORT]
    _log.warning(
        "Only pickles are published: their tensors are written again as safetensors, and nothing in them is run."
    )
    for note in convert(folder).notes:
        _log.warning("%s", note)
    for path in [*pickles, folder / PICKLE_INDEX]:
        path.unlink(missing_ok=True)


def _reporter(progress: Callable[[int, int], None]) -> type[Any]:
    """A tqdm that draws nothing and tells `progress` the bytes instead."""
    from tqdm import tqdm

    class Reporter(tqdm):  # type: ignore[misc]  # tqdm ships no types
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            self._bytes = options.get("unit") == "B"
            super().__init__(*args, **{**options, "disable": False, "file": _Nowhere()})

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self._bytes and self.total:
                progress(int(self.n), int(self.total))
            return shown

    return Reporter


class _Nowhere:
    """A stream that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return None
