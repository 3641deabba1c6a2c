"""The packages depend on each other in one direction, and the command line on the facade alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

OURS = {"audiolib", "generation", "indexing"}
MAY_IMPORT = {
    "audiolib": {"audiolib", "generation", "indexing"},
    "generation": {"generation"},
    "indexing": {"indexing"},
}
# What a CLI module may know: the facade, the values it takes and returns, settings, errors and other CLI modules.
CLI_MAY_IMPORT = (
    "audiolib.library",
    "audiolib.clip",
    "audiolib.selection",
    "audiolib.settings",
    "audiolib.errors",
    "audiolib.version",
    "audiolib.cli",
)
# torch costs seconds at every command and gigabytes on disk: nothing of ours imports it at run time.
BANNED = {"torch", "transformers", "torchaudio", "librosa"}
# CLAP exists in transformers alone, and the benchmark times transformers where that is asked for.
MAY_IMPORT_TORCH = {"indexing.clap", "generation.bench_peer"}


def imported(source: str, module: str, *, is_package: bool = False) -> set[str]:
    """Full dotted names that `module` with this source imports, wherever in it the import stands.

    `from a import b` counts as `a.b`, for `b` may be a module.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parent = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parent, base] if base else parent)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def cli_may_import(name: str) -> bool:
    """Whether `name` is of the facade: a room in the list, or a class or the version from `audiolib`."""
    if any(name == room or name.startswith(f"{room}.") for room in CLI_MAY_IMPORT):
        return True
    package, _, rest = name.partition(".")
    return package == "audiolib" and (rest == "__version__" or ("." not in rest and rest[:1].isupper()))


def wrong_imports(source: str, module: str, *, is_package: bool = False) -> set[str]:
    """The imports that break the rules above; empty for a well-behaved module."""
    names = imported(source, module, is_package=is_package)
    package = module.split(".")[0]
    wrong = {name for name in names if name.split(".")[0] in OURS - MAY_IMPORT[package]}
    if module not in MAY_IMPORT_TORCH:
        wrong |= {name for name in names if name.split(".")[0] in BANNED}
    if module == "audiolib.cli" or module.startswith("audiolib.cli."):
        wrong |= {name for name in names if name.split(".")[0] in OURS and not cli_may_import(name)}
    return wrong


def dotted(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_imports_go_in_one_direction(modules: list[Path], root: Path) -> None:
    wrong = {
        str(path.relative_to(root)): found
        for path in modules
        if (found := wrong_imports(path.read_text(), dotted(path, root), is_package=path.stem == "__init__"))
    }
    assert not wrong


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("generation.musicgen", "import indexing.store"),
        ("generation.musicgen", "def f():\n    from audiolib import AudioLibrary"),
        ("indexing.store", "from generation.audio import load_audio"),
        ("indexing.store", "from ..audiolib import files"),
        ("generation.t5", "import torch.nn as nn"),
        ("audiolib.cli.search", "from indexing import store"),
        ("audiolib.cli.search", "from ..files import write_atomically"),
        ("audiolib.cli.search", "from audiolib import files"),
    ],
)
def test_the_rule_catches(module: str, source: str) -> None:
    assert wrong_imports(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("audiolib.library", "from generation import MusicGen\nfrom indexing.store import ClipIndex"),
        ("generation.musicgen", "from .sampling import sample\nfrom generation import delay"),
        ("audiolib.cli.search", "from audiolib import AudioLibrary, __version__\nfrom .output import emit"),
        ("audiolib.cli.search", "def f():\n    from audiolib.library import AudioLibrary"),
    ],
)
def test_the_rule_allows(module: str, source: str) -> None:
    assert not wrong_imports(source, module)
