"""From a model's name to its folder, and from a folder to its settings and the tensors of its safetensors."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generation.config import MusicGenConfig
from generation.errors import CheckpointError, ModelNotFoundError

if TYPE_CHECKING:
    import mlx.core as mx

_log = logging.getLogger(__name__)

STARTER = "starter"
PREFERRED = "facebook/musicgen-small"
"""What is used when nothing is named and it is on this machine already; else the starter."""

STYLE_REFUSED = (
    "MusicGen-Style cannot be used here, for it hears a style with MERT, a model that another repository publishes "
    "with code to be run; use facebook/musicgen-melody, or let a clip go on from your music with --continue."
)
_STYLE = "facebook/musicgen-style"
_PUBLISHED = {
    f"musicgen-{size}"
    for size in (
        *("small", "medium", "large", "melody", "melody-large", "style"),
        *("stereo-small", "stereo-medium", "stereo-large", "stereo-melody", "stereo-melody-large"),
    )
}
"""Meta's own: a folder of such a name holds it, unless it says otherwise."""

RECORD = ".repository.json"
"""Beside what `downloads.pull_model` has fetched: where it comes from, for folders have no owner in their name."""
_MODEL_TYPES = ("musicgen", "musicgen_melody")
_CHUNK = 1 << 20
_LONGEST_HEAD = 100 << 20  # safetensors' own limit
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A checkpoint on this machine: the name it goes by, and its folder."""

    model_id: str
    path: Path


def models_dirs() -> list[Path]:
    """Folders that hold checkpoints, first wins: `AUDIOLIB_MODELS` or `./mlx-models`, then what ships with us."""
    package = Path(__file__).resolve().parent
    # In a wheel the starter lies inside the package, in a checkout beside it.
    candidates = [Path(os.environ.get("AUDIOLIB_MODELS") or "mlx-models"), package / "_bundled"]
    candidates.append(package.parent / "mlx-models")
    unique: list[Path] = []
    for folder in candidates:
        if folder.resolve() not in [known.resolve() for known in unique]:
            unique.append(folder)
    return unique


def _hub_cache() -> Path:
    """The Hugging Face cache, found without importing huggingface_hub."""
    explicit = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"


def _is_model(folder: Path) -> bool:
    try:
        return (folder / "config.json").is_file()
    except (OSError, ValueError):  # a name too long for the system, or with a NUL
        return False


def _cached_snapshot(repository: str) -> Path | None:
    folder = _hub_cache() / f"models--{repository.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    snapshot = folder / "snapshots" / revision
    return snapshot if _is_model(snapshot) else None


def repository_name(name: str) -> str:
    """`musicgen-small` is short for `facebook/musicgen-small`."""
    return f"facebook/{name}" if re.fullmatch(r"musicgen-[\w-]+", name) else name


def write_record(folder: Path, repository: str) -> None:
    """Write down whose files lie in a folder.

    Args:
        folder: A checkpoint's.
        repository: `owner/name` on the hub.

    Raises:
        OSError: It cannot be written.
    """
    (folder / RECORD).write_text(json.dumps({"repository": repository}) + "\n", encoding="utf-8")


def held_in(folder: Path) -> str | None:
    """The repository whose files lie in a folder, as far as that is known."""
    try:
        recorded = json.loads((folder / RECORD).read_text(encoding="utf-8"))["repository"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        recorded = None
    if isinstance(recorded, str):
        return recorded
    if folder.name == STARTER:
        return STARTER
    return f"facebook/{folder.name}" if folder.name in _PUBLISHED else None


def holds_another(folder: Path, repository: str) -> bool:
    """Whether the files in a folder are known to be another repository's.

    Args:
        folder: One of a models folder, named like the repository.
        repository: `owner/name`; a name without an owner is anybody's, but for the starter's.
    """
    held = held_in(folder)
    if held is None or ("/" not in repository and repository != STARTER):
        return False
    return held.casefold() != repository.casefold()


def _places(name: str) -> list[Path]:
    """The model folders that bear a name, whoever's they are."""
    if os.sep in name and len(Path(name).parts) != 2:
        return []
    return [path for folder in models_dirs() if _is_model(path := folder / name.split("/")[-1])]


def _locate(name: str) -> Path | None:
    repository = repository_name(name)
    own = [path for path in _places(name) if not holds_another(path, repository)]
    return own[0] if own else _cached_snapshot(repository)


def find_model(name: str | Path | None = None) -> FoundModel:
    """The checkpoint of that name or path; without one, `AUDIOLIB_MODEL`, musicgen-small if it is here, the starter.

    Raises:
        ModelNotFoundError: it is not on this machine. Nothing is ever downloaded here.
    """
    name = name or os.environ.get("AUDIOLIB_MODEL") or None
    if name is None:
        for default in (PREFERRED, STARTER):
            path = _locate(default)
            if path is not None:
                return FoundModel(model_id=default, path=path)
        raise ModelNotFoundError(
            "No model is on this machine, not even the starter that ships with audiolib; "
            f"get one with `audiolib models pull {PREFERRED}`."
        )
    as_path = Path(name).expanduser()
    if _is_model(as_path):
        return FoundModel(model_id=as_path.resolve().name, path=as_path)
    path = None if isinstance(name, Path) else _locate(name)
    if path is None:
        text = str(name)
        if as_path.is_absolute() or text.startswith((".", "~")) or os.path.isdir(as_path):
            raise ModelNotFoundError(f"{text} is no model folder: {_lack(as_path)}.")
        if text == STARTER:
            raise ModelNotFoundError(
                "The starter is missing from this installation; install audiolib-mlx again."
            )
        repository = repository_name(text)
        if repository == _STYLE:
            raise ModelNotFoundError(STYLE_REFUSED)
        for place in _places(text):
            raise ModelNotFoundError(
                f"The model {text!r} is not on this machine: {place} holds {held_in(place)}. Name that one, or move "
                f"the folder away and get the other with `audiolib models pull {repository}`."
            )
        pull = f"get it with `audiolib models pull {repository}`, or " if repository.count("/") == 1 else ""
        raise ModelNotFoundError(
            f"The model {text!r} is not on this machine; {pull}see `audiolib models list`."
        )
    text = str(name)
    return FoundModel(model_id=text if text == STARTER else repository_name(text), path=path)


def _lack(folder: Path) -> str:
    if (folder / "state_dict.bin").is_file():
        return f"it holds audiocraft's files; convert them with `audiolib models convert {folder}`"
    return "it has no config.json"


def check_usable(repository: str) -> None:
    """Refuse what is known to be of no use before it is downloaded.

    Args:
        repository: `owner/name` on the hub.

    Raises:
        CheckpointError: No model of it can be used here; says why, and what to take instead.
    """
    if repository == _STYLE:
        raise CheckpointError(STYLE_REFUSED)


def list_models() -> list[FoundModel]:
    """Every MusicGen checkpoint on this machine: in the model folders and in the Hugging Face cache."""
    found: dict[str, FoundModel] = {}
    for folder in models_dirs():
        for config in sorted(folder.glob("*/config.json")):
            if _model_type(config) in _MODEL_TYPES:
                name = held_in(config.parent) or repository_name(config.parent.name)
                found.setdefault(name, FoundModel(model_id=name, path=config.parent))
    for folder in sorted(_hub_cache().glob("models--*--*")):
        name = folder.name.removeprefix("models--").replace("--", "/", 1)
        path = _cached_snapshot(name)
        if path is not None and _model_type(path / "config.json") in _MODEL_TYPES:
            found.setdefault(name, FoundModel(model_id=name, path=path))
    return list(found.values())


def _model_type(config: Path) -> str | None:
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values.get("model_type") if isinstance(values, dict) else None


def read_json(path: Path) -> dict[str, Any]:
    """A checkpoint's file of settings.

    Raises:
        CheckpointError: It cannot be read, or is no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON.") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is not a JSON object.")
    return values


def load_config(folder: Path) -> MusicGenConfig:
    """Read `config.json`.

    Raises:
        CheckpointError: it is missing, broken or contradicts itself.
    """
    return MusicGenConfig.from_dict(read_json(folder / "config.json"))


def load_generation_config(folder: Path) -> Mapping[str, Any]:
    """The checkpoint's own sampling settings; empty where it has none."""
    path = folder / "generation_config.json"
    return read_json(path) if path.is_file() else {}


def weight_files(folder: Path) -> list[Path]:
    """The safetensors of a checkpoint: one file, or the shards that its index names.

    Raises:
        CheckpointError: there are none, or a shard is missing.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
            raise CheckpointError(f"{index} does not say which shard holds which tensor.")
        names = sorted(set(shards.values()))
        files = [folder / name for name in names if Path(name).name == name]
        lost = [path.name for path in files if not path.is_file()]
        if lost or len(files) != len(names) or not files:
            raise CheckpointError(
                f"{folder} lacks the shard(s) {', '.join(lost) or 'that its index should name'}."
            )
        return files
    whole = folder / "model.safetensors"
    if not whole.is_file():
        raise CheckpointError(
            f"{folder} has no model.safetensors; "
            + (
                f"make it from its pickles with `audiolib models convert {folder}`."
                if any(folder.glob("pytorch_model*.bin"))
                else "pull the model again with `audiolib models pull`."
            )
        )
    return [whole]


def stored_dtypes(files: Sequence[Path]) -> list[str]:
    """The number types of the tensors in safetensors files, by name; nothing but the files' heads is read.

    Args:
        files: From `weight_files`.

    Raises:
        CheckpointError: A head is broken.
    """
    kinds = set()
    for path in files:
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                head = json.loads(file.read(min(length, _LONGEST_HEAD)))
            kinds |= {tensor["dtype"] for name, tensor in head.items() if name != "__metadata__"}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path} cannot be read as safetensors.") from error
    return sorted(_DTYPES.get(kind, str(kind)) for kind in kinds)


def load_tensors(folder: Path) -> dict[str, mx.array]:
    """Every tensor of a checkpoint by its published name.

    Raises:
        CheckpointError: a file is missing, cut short or no safetensors, or two shards hold the same name.
    """
    import mlx.core as mx

    tensors: dict[str, mx.array] = {}
    for path in weight_files(folder):
        try:
            part = mx.load(str(path))
        except (RuntimeError, ValueError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read as safetensors: {error}.") from error
        if not isinstance(part, dict):
            raise CheckpointError(f"{path} holds no named tensors.")
        double = tensors.keys() & part.keys()
        if double:
            raise CheckpointError(f"{path} repeats the tensor {min(double)} of another shard.")
        tensors.update(part)
    return tensors


def weight_digest(folder: Path) -> str:
    """`sha256:<hex>` over the weights; for shards, over the list of their digests."""
    digests = [_file_digest(path) for path in weight_files(folder)]
    if len(digests) == 1:
        return f"sha256:{digests[0]}"
    return f"sha256:{hashlib.sha256(chr(10).join(digests).encode()).hexdigest()}"


def _file_digest(path: Path) -> str:
    # The hub's cache names a large file by its sha256, so gigabytes need not be read again.
    blob = path.resolve().name
    if path.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", blob):
        return blob
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def model_license(folder: Path, model_id: str = "") -> str | None:
    """The licence named at the head of the checkpoint's model card; Meta's weights are known without one."""
    try:
        card = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        card = ""
    if card.startswith("---"):
        head = card[3:].split("\n---", 1)[0]
        match = re.search(r"^license:\s*(\S+)", head, re.MULTILINE)
        if match:
            return match.group(1)
    return "cc-by-nc-4.0" if model_id.startswith("facebook/musicgen") else None
