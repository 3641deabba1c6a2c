"""Every package that the code imports is declared, and every declared one is imported."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

OURS = {"audiolib", "generation", "indexing"}


def imports(source: str) -> set[str]:
    """Top-level names of the foreign packages that a module imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - OURS - set(sys.stdlib_module_names) - {"__future__"}


def distribution(requirement: str) -> str:
    """The name in a requirement, spelled as in the index: `huggingface_hub>=2` is `huggingface-hub`."""
    return re.split(r"[\[<>=; ]", requirement)[0].replace("_", "-").lower()


def test_imports_and_dependencies_agree(modules: list[Path], root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    core = {distribution(entry) for entry in project["dependencies"]}
    extras = project["optional-dependencies"]
    training = {distribution(entry) for entry in extras["training"]}
    play = {distribution(entry) for entry in extras["play"]}

    # mlx's import name comes with several distributions, so the declared one is taken where there is one.
    provided = {
        name: {found.lower().replace("_", "-") for found in distributions}
        for name, distributions in importlib.metadata.packages_distributions().items()
    }
    used: dict[str, set[str]] = {}
    for path in modules:
        for name in imports(path.read_text()):
            for found in provided.get(name, {name}) & (core | training | play) or {name}:
                used.setdefault(found, set()).add(path.relative_to(root).as_posix())

    foreign = {name: places for name, places in used.items() if name not in core}
    for name, places in list(foreign.items()):
        # sentence-transformers, which is declared, cannot be without these two.
        if name in {"torch", "transformers"} and places <= {"indexing/clap.py", "generation/bench_peer.py"}:
            del foreign[name]
        elif name in play or (name in training and all("/training/" in place for place in places)):
            del foreign[name]
    assert not foreign, "imported, not declared"
    assert not core - set(used), "declared, not imported"


def test_the_scan_sees_imports() -> None:
    assert imports("import os, torch.nn\ndef f():\n    from numpy import array\nfrom . import x") == {
        "torch",
        "numpy",
    }
