"""Where on this machine a model's folder is; nothing is ever downloaded from here."""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path


def in_models_dirs(name: str, models_dirs: Sequence[Path], files: Sequence[str]) -> Path | None:
    """The first `<models_dir>/<last part of name>` that holds all the files, else None."""
    last_part = name.rstrip("/").rsplit("/", 1)[-1]
    if last_part in {"", ".", ".."}:
        return None
    return next((d / last_part for d in models_dirs if holds(d / last_part, files)), None)


def in_hub_cache(repo_id: str, files: Sequence[str]) -> Path | None:
    """The snapshot of a Hugging Face repository in the local cache, if all the files are in it."""
    if not (_hub_cache() / f"models--{repo_id.replace('/', '--')}").is_dir():
        return None  # the usual case, without the hub's client, which takes a second to import
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repo_id, files[0])
    except HFValidationError:  # a path or another name that no repository can have
        return None
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    return folder if holds(folder, files) else None


def _hub_cache() -> Path:
    """Hugging Face's cache, as its client finds it."""
    loaded = sys.modules.get("huggingface_hub.constants")
    if loaded is not None:
        return Path(loaded.HF_HUB_CACHE)
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"


def in_package(package: str, folder: str, files: Sequence[str]) -> Path | None:
    """`folder` inside an installed top-level package, found without running the package's code."""
    spec = find_spec(package)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        if holds(Path(root) / folder, files):
            return Path(root) / folder
    return None


def holds(folder: Path, files: Sequence[str]) -> bool:
    """Whether all the files lie in the folder."""
    return all((folder / file).is_file() for file in files)
