"""A full disk and a disk that may not be written, under every command that writes: one clear error, nothing broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from library_stock import findable, make_old, open_stock, stock

from audiolib import AudioLibrary
from generation.audio import save_audio

pytestmark = pytest.mark.skipif(os.name != "posix", reason="file systems and limits of POSIX")

WRITING = {
    "generate": ["generate", "dark techno", "--duration", "0.5", "--normalize", "peak"],
    "add": ["add", "song.wav"],
    "add by reference": ["add", "song.wav", "--reference"],
    "tag": ["tag", "last", "--add", "jazz"],
    "rate": ["rate", "last", "1"],
    "remove": ["remove", "last"],
    "restore": ["trash", "restore", "--all"],
    "index": ["index"],
    "rebuild": ["index", "--rebuild"],
    "regenerate": ["regenerate", "last"],
    "vary": ["regenerate", "last", "--seed", "9"],
    "repair": ["check", "--repair"],
}
READING = [
    ["list"],
    ["show", "last"],
    ["search", "piano"],
    ["search", "piano", "--mode", "keyword"],
    ["similar", "last"],
    ["trash", "list"],
    ["check"],
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """A library with a clip in the trash and one whose audio was lost."""
    root = tmp_path_factory.mktemp("stock") / "library"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIOLIB_MODELS", str(models))
        stock(root)
        library = open_stock(root)
        library.remove(library.generate("gone", duration=0.2).id)
    return root


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(autouse=True)
def _song(tmp_path: Path) -> None:
    save_audio(tmp_path / "song.wav", np.sin(np.arange(30_000) / 9).astype(np.float32) / 3, 16_000)


def some(names: Iterable[str], *, fast: tuple[str, ...]) -> list[object]:
    """All of them, the rest with the slow tests."""
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


def contents(root: Path) -> dict[str, bytes]:
    """Every file of the clips and the trash."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for folder in ("audio", "trash")
        for path in (root / folder).rglob("*")
        if path.is_file()
    }


def give_work(name: str, library: AudioLibrary) -> None:
    """Something to be written, for commands that would find nothing to do."""
    last = library.get("last")
    if name == "regenerate":
        last.path.unlink()
    if name in ("index", "repair"):
        shutil.rmtree(library.path / "index")
    make_old(library.path)


def fill(folder: Path) -> Path:
    """Leave no room at all on a disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    return filler


def assert_refused(result: Result, *reasons: str) -> None:
    """One sentence with a reason, and nothing that looks like a result."""
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("Error: ")
    assert any(reason in result.stderr for reason in reasons), result.stderr
    assert "Unexpected" not in result.stderr


@pytest.mark.parametrize("name", some(WRITING, fast=("add", "tag")))
def test_a_full_disk(made: Path, small: Path, cli: Callable[..., Result], name: str) -> None:
    shutil.copytree(made, small / "library")
    library = open_stock(small / "library")
    give_work(name, library)
    before = contents(library.path)
    filler = fill(small)
    result = cli(*WRITING[name], "--library", str(library.path))
    if result.exit_code == 0:  # renames need no room: what was asked for is done, the index may lag behind
        assert name in ("remove", "restore")
    elif "stored but not searchable" not in result.stderr:
        assert_refused(result, "The disk is full", "No space left")
        assert contents(library.path) == before
    filler.unlink()
    assert library.check(repair=True).clean or name == "regenerate"
    again = cli(*WRITING[name], "--library", str(library.path))
    assert again.exit_code == 0 or name in ("remove", "restore"), again.output
    library = open_stock(library.path)
    assert library.check().clean
    assert findable(library) == {clip.id for clip in library.list()}


@pytest.mark.parametrize("name", some(WRITING, fast=("tag",)))
def test_a_read_only_disk(made: Path, small: Path, cli: Callable[..., Result], name: str) -> None:
    shutil.copytree(made, small / "library")
    library = open_stock(small / "library")
    give_work(name, library)
    before = contents(library.path)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    result = cli(*WRITING[name], "--library", str(library.path))
    assert_refused(result, "read-only", "Read-only")
    assert contents(library.path) == before


def test_a_read_only_disk_can_be_read(made: Path, small: Path, cli: Callable[..., Result]) -> None:
    shutil.copytree(made, small / "library")
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    for command in READING:
        result = cli(*command, "--library", str(small / "library"))
        assert (result.exit_code, result.stderr) == (0, ""), (command, result.output)
    result = cli("export", "out", "--library", str(small / "library"))
    assert result.exit_code == 0


LIMITED = """
import json, resource, signal, sys
from click.testing import CliRunner
from audiolib.cli import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
for arguments in json.load(sys.stdin):
    result = CliRunner().invoke(cli, arguments, prog_name="audiolib")
    print(json.dumps([result.exit_code, result.stderr]))
"""


@pytest.mark.slow
def test_files_that_may_not_grow(made: Path, tmp_path: Path) -> None:
    """Where nothing may be mounted, a limit on the size of files is a full disk; commands one after another."""
    library = open_stock(shutil.copytree(made, tmp_path / "library"))
    commands = [
        [*command, "--library", str(library.path)]
        for name, command in WRITING.items()
        if name not in ("index", "repair", "regenerate", "remove", "restore")
    ]
    before = contents(library.path)
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, "600"],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    for command, (code, said) in zip(commands, answers, strict=True):
        assert (code, said.count("\n")) == (1, 1), (command, said)
        assert "large" in said or "full" in said or "allowed" in said, (command, said)
        assert "Unexpected" not in said
    assert contents(library.path) == before
    assert library.check().findings == ()


@pytest.mark.parametrize("name", some(["add", "tag", "remove", "rebuild", "repair"], fast=()))
def test_a_folder_of_somebody_else(made: Path, tmp_path: Path, name: str) -> None:
    library = open_stock(shutil.copytree(made, tmp_path / "library"))
    give_work(name, library)
    before = contents(library.path)
    for folder, _, _ in os.walk(library.path):
        os.chmod(folder, 0o555)  # noqa: S103
    command = [sys.executable, "-m", "audiolib", *WRITING[name], "--library", str(library.path)]
    if os.geteuid() == 0:  # root may write anywhere unless that power is taken away
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root can write anywhere")
        command = [setpriv, "--bounding-set=-dac_override", *command]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
    assert "ermission" in result.stderr
    assert "Unexpected" not in result.stderr
    assert contents(library.path) == before
