"""House rules that neither ruff nor mypy knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

MAX_LINES = 400
MAX_BODY = 60
# Folders of one person's or one machine's: they mean nothing to anybody else.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home|Users|root|work|mnt)/\w")
MAY_PRINT = (
    "audiolib/cli/",
    "generation/training/",
    "indexing/bench/",
    "indexing/evaluation/",
    "indexing/training/",
)


def prints(source: str) -> list[int]:
    """Lines on which `print` is called."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def bodies(source: str) -> dict[str, int]:
    """Lines of each function by its name, from behind its docstring to its end: what has to be read at once."""
    lengths: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[min(len(node.body) - 1, 0 if ast.get_docstring(node) is None else 1)]
            length = (node.end_lineno or node.lineno) - first.lineno + 1
            lengths[node.name] = max(length, lengths.get(node.name, 0))
    return lengths


def undocumented(source: str) -> list[str]:
    """Names of the public classes and functions without a docstring; `module` stands for the module itself.

    Methods are left to judgement: a protocol's or an override's meaning is written once.
    """
    tree = ast.parse(source)
    if not tree.body:
        return []
    missing = [] if ast.get_docstring(tree) else ["module"]
    public = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return missing + [
        node.name
        for node in tree.body
        if isinstance(node, public) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]


def test_libraries_do_not_print(modules: list[Path], root: Path) -> None:
    names = {path.relative_to(root).as_posix(): path for path in modules}
    assert not {
        name: lines
        for name, path in names.items()
        if not name.startswith(MAY_PRINT) and (lines := prints(path.read_text()))
    }


def test_files_stay_small(modules: list[Path], root: Path) -> None:
    lengths = {str(path.relative_to(root)): len(path.read_text().splitlines()) for path in modules}
    assert not {name: length for name, length in lengths.items() if length > MAX_LINES}


def test_functions_stay_small(modules: list[Path], root: Path) -> None:
    found = {str(path.relative_to(root)): bodies(path.read_text()) for path in modules}
    assert not {
        f"{path}: {name}": length
        for path, lengths in found.items()
        for name, length in lengths.items()
        if length > MAX_BODY
    }


def test_public_names_are_documented(modules: list[Path], root: Path) -> None:
    missing = {str(path.relative_to(root)): undocumented(path.read_text()) for path in modules}
    assert not {name: names for name, names in missing.items() if names}


def test_no_machine_paths(texts: list[Path], root: Path) -> None:
    found = {
        f"{path.relative_to(root)}:{number}": line.strip()
        for path in texts
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if MACHINE_PATH.search(line)
    }
    # Tests may name folders that do not exist on purpose.
    assert not {place: line for place, line in found.items() if not place.startswith("tests/")}


@pytest.mark.parametrize("package", ["audiolib", "generation", "indexing"])
def test_packages_are_typed(root: Path, package: str) -> None:
    assert (root / package / "py.typed").is_file()


def test_the_rules_catch() -> None:
    assert prints("def f():\n    print('x')") == [2]
    assert bodies('def f(\n    x,\n):\n    """What.\n\n    How.\n    """\n    a = 1\n    return a') == {
        "f": 2
    }
    assert bodies(
        'class C:\n    async def f(self):\n        """What."""\ndef f():\n    a = 1\n    return a'
    ) == {"f": 2}
    assert undocumented("def f(): ...\nclass _C: ...") == ["module", "f"]
    assert not undocumented("")
    assert MACHINE_PATH.search("path = '" + "/ho" + "me/ann/model'")
    assert not MACHINE_PATH.search("https://example.org/home/page")
