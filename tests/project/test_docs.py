"""What the documentation says can be typed: commands parse, links lead somewhere, no command is left out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

PAGES = ("README.md", "CONTRIBUTING.md", "docs", "data/README.md", "mlx-models/README.md")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


def pages(root: Path) -> list[Path]:
    found: list[Path] = []
    for name in PAGES:
        path = root / name
        found += sorted(path.rglob("*.md")) if path.is_dir() else [path]
    return found


def commands(text: str) -> Iterator[list[str]]:
    """Every call of ours in a console block, as words; what a pipe feeds in or takes on is left out."""
    for language, block in BLOCK.findall(text):
        if language not in {"console", "sh", "bash"}:
            continue
        lines = block.replace("\\\n", " ").splitlines()
        # In a console block only lines with a prompt are typed; the others are output.
        typed = [line.removeprefix("$ ") for line in lines if language != "console" or line.startswith("$ ")]
        for line in typed:
            for part in re.split(r"\||&&", line.split(" # ")[0]):
                words = shlex.split(part)
                while words and ("=" in words[0] or words[:2] == ["uv", "run"]):
                    words = words[2:] if words[0] == "uv" else words[1:]
                if words and Path(words[0]).name in {"audiolib", "musicgen-cli"}:
                    yield [Path(words[0]).name, *words[1:]]


def parse(words: list[str]) -> None:
    """Parse a call without running it.

    Raises:
        click.UsageError: No such command or option, or an argument is missing. A file that is not on this
            machine is not the page's fault.
    """
    from audiolib.cli import cli as audiolib
    from audiolib.cli.musicgen import command as musicgen

    command: click.Command = audiolib if words[0] == "audiolib" else musicgen
    arguments = words[1:]
    if {"--help", "--version"} & set(arguments[-1:]):
        arguments, last = arguments[:-1], arguments[-1]
    else:
        last = None
    context = click.Context(command, info_name=words[0])
    while isinstance(command, click.Group) and arguments:
        found = command.get_command(context, arguments[0])
        if found is None:
            raise click.UsageError(f"no command {arguments[0]!r}")
        command, context = found, click.Context(found, info_name=arguments[0], parent=context)
        arguments = arguments[1:]
    if last:
        known = {option for parameter in command.get_params(context) for option in parameter.opts}
        if last not in known:
            raise click.UsageError(f"no option {last}")
        return
    try:
        command.make_context(context.info_name, arguments, parent=context.parent)
    except click.MissingParameter:
        raise
    except click.BadParameter as error:
        if not isinstance(error.param.type if error.param else None, click.Path | click.File):
            raise


def test_every_command_in_the_docs_parses(root: Path) -> None:
    calls = [(path.name, words) for path in pages(root) for words in commands(path.read_text())]
    assert len(calls) > 20
    wrong = {}
    for name, words in calls:
        try:
            parse(words)
        except click.UsageError as error:
            wrong[f"{name}: {shlex.join(words)}"] = error.format_message()
    assert not wrong


def test_the_demo_calls_commands_that_exist(root: Path) -> None:
    script = (root / "docs" / "demo.sh").read_text()
    lines = re.findall(r"^show (.+)$", script, re.MULTILINE)
    assert {line.split()[0] for line in lines} == {"generate", "search", "regenerate"}
    for line in lines:
        parse(["audiolib", *shlex.split(line)])


def test_every_command_has_its_section(root: Path) -> None:
    from audiolib.cli import cli as audiolib

    page = (root / "docs" / "cli.md").read_text()
    sections = set(re.findall(r"^## (?:audiolib )(\S+)$", page, re.MULTILINE))
    assert sections == set(audiolib.list_commands(click.Context(audiolib)))


def test_every_option_is_on_the_page(root: Path) -> None:
    from audiolib.cli import cli as audiolib
    from audiolib.cli.musicgen import command as musicgen

    def options(command: click.Command) -> Iterator[str]:
        context = click.Context(command)
        for parameter in command.get_params(context):
            if isinstance(parameter, click.Option):
                yield max(parameter.opts, key=len)
                yield from parameter.secondary_opts
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                if found := command.get_command(context, name):
                    yield from options(found)

    named = set(re.findall(r"--[a-z][a-z0-9-]+", (root / "docs" / "cli.md").read_text()))
    assert {*options(audiolib), *options(musicgen)} - named == set()
    # Nor one that is gone.
    assert named - {*options(audiolib), *options(musicgen)} == set()


def test_the_settings_table_tells_the_defaults(root: Path) -> None:
    from audiolib.settings import Settings

    page = (root / "docs" / "cli.md").read_text()
    rows = dict(re.findall(r"^\| `AUDIOLIB_(\w+)` \|.*\| ([^|]*?) *\|$", page, re.MULTILINE))
    names = {field.name.upper() for field in fields(Settings)}
    assert names <= rows.keys()
    numbers = {name: getattr(Settings(), name.lower()) for name in ("MAX_DURATION", "LOCK_TIMEOUT")}
    assert {name: float(rows[name]) for name in numbers} == numbers


def test_every_field_of_the_json_is_told(root: Path) -> None:
    from audiolib.clip import Clip, SearchHit
    from audiolib.details import ClipDetails, Transcription

    page = (root / "docs" / "cli.md").read_text()
    told = set(re.findall(r"`(\w+)`", page[page.index("## JSON") : page.index("## Environment")]))
    shown = {field.name for cls in (Clip, SearchHit, ClipDetails, Transcription) for field in fields(cls)}
    assert shown - {"clip"} <= told  # a clip's fields stand beside the others, not in an object


def test_the_first_screen_of_the_readme(root: Path) -> None:
    first_screen = "\n".join((root / "README.md").read_text().splitlines()[:30])
    for call in ("make demo", "make test", 'audiolib generate "calm piano"', 'audiolib search "calm piano"'):
        assert call in first_screen


def test_make_targets_in_the_docs_exist(root: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    for path in pages(root):
        named = set(
            re.findall(r"`make ([a-z][\w-]*)`|^\$ make ([a-z][\w-]*)", path.read_text(), re.MULTILINE)
        )
        assert {first or second for first, second in named} <= targets, path.name


def test_no_page_has_gaps(root: Path) -> None:
    for path in [*pages(root), root / "mlx-models" / "starter" / "README.md"]:
        assert not re.search(r"@@|\bTBD\b|\bXXX\b", path.read_text()), path


@pytest.mark.parametrize("package", ["audiolib", "generation", "indexing"])
def test_the_map_names_every_room(root: Path, package: str) -> None:
    page = (root / "docs" / "architecture.md").read_text()
    section = page.split(f"**{package}/**")[1].split("**")[0].split("\n## ")[0]
    rooms = {path.name for path in (root / package).glob("*.py")} - {
        "__init__.py",
        "__main__.py",
        "errors.py",
    }
    named = set(re.findall(r"`(\w+\.py)`", section))
    assert named - {"errors.py"} == rooms


def test_links_lead_somewhere(root: Path) -> None:
    broken = [
        f"{path.relative_to(root)}: {link}"
        for path in [*pages(root), root / "CHANGELOG.md"]
        for link in LINK.findall(path.read_text())
        if not (path.parent / link).exists()
    ]
    assert not broken


@pytest.mark.parametrize(
    "line",
    [
        "audiolib generte x",
        "audiolib generate x --no-such",
        "audiolib generate x --seed many",
        "audiolib search",
    ],
)
def test_the_check_catches(line: str) -> None:
    block = f"```console\n$ {line}\n```"
    (words,) = commands(block)
    with pytest.raises(click.UsageError):
        parse(words)


@pytest.mark.slow
def test_the_python_of_the_readme_runs(root: Path, tmp_path: Path) -> None:
    blocks = [
        code for language, code in BLOCK.findall((root / "README.md").read_text()) if language == "python"
    ]
    assert len(blocks) == 2
    keep = {name: value for name, value in os.environ.items() if not name.startswith("AUDIOLIB_")}
    for code in blocks:
        command = [sys.executable, "-W", "error", "-c", code]
        env = {**keep, "AUDIOLIB_MODELS": str(root / "mlx-models"), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "output.wav").is_file()
    # get_or_generate found the clip that was there, so there is still one.
    assert len(list((tmp_path / "data").rglob("*.wav"))) == 1
