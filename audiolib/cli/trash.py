"""`audiolib trash`: what was removed; listed, brought back, or deleted for good."""

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiolib.cli import output
from audiolib.cli.naming import read_names
from audiolib.cli.options import json_option, library_option, open_library

if TYPE_CHECKING:
    from audiolib import TrashedClip

_EMPTY = "The trash is empty."
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> timedelta | None:
    """Read an age like 30d, 12h, 45m or 2w."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([mhdw])", value.strip().lower())
    if match is None:
        raise click.BadParameter(f"{value!r} is no age. Write 30d, 12h, 45m or 2w.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.group("trash", invoke_without_command=True, short_help="List, restore or delete removed clips.")
@library_option
@json_option
@click.pass_context
def trash_command(context: click.Context, library_path: Path | None, as_json: bool) -> None:
    """See what was removed, bring it back, or delete it for good."""
    if context.invoked_subcommand is None:
        _show(library_path, as_json=as_json)


@trash_command.command("list", short_help="List the clips in the trash.")
@library_option
@json_option
def list_command(library_path: Path | None, as_json: bool) -> None:
    """List the clips in the trash, the last removed first."""
    _show(_library(library_path), as_json=_wants_json(as_json))


@trash_command.command("restore", short_help="Bring clips back.")
@click.argument("clips", nargs=-1, metavar="CLIP...")
@click.option("--all", "everything", is_flag=True, help="Bring back all that is in the trash.")
@library_option
@json_option
def restore_command(
    clips: tuple[str, ...], everything: bool, library_path: Path | None, as_json: bool
) -> None:
    """Bring one CLIP or several back: ids, ends of ids, or `last`; - reads ids from standard input."""
    if bool(clips) == everything:
        raise click.UsageError("Name the clips to bring back, or --all.")
    names = None if everything else read_names(clips)
    if names == []:
        return
    library, as_json = open_library(_library(library_path)), _wants_json(as_json)
    if everything and not as_json and not library.trash():
        output.notice(_EMPTY)
        return
    for clip in library.restore(names):
        if as_json:
            output.json_line(clip.to_json())
        else:
            output.result(f"back: {output.plain(clip.title)}  {output.short_path(clip.path)}")


@trash_command.command("empty", short_help="Delete what is in the trash, for good.")
@click.option(
    "--older-than", callback=_age, metavar="AGE", help="Only what was removed longer ago: 30d, 12h."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@library_option
@json_option
def empty_command(older_than: timedelta | None, yes: bool, library_path: Path | None, as_json: bool) -> None:
    """Delete what is in the trash, for good."""
    as_json = _wants_json(as_json)
    library = open_library(_library(library_path))
    waiting = library.trash(older_than=older_than)
    if waiting and not yes:
        if not output.is_terminal(sys.stdin):
            raise click.UsageError("Emptying cannot be undone. Add -y to do it without being asked.")
        click.confirm(f"Delete {output.clips(len(waiting))} for good?", abort=True, err=True)
    deleted = library.empty_trash(older_than=older_than, only=None if yes else waiting)
    for entry in deleted if as_json else ():
        output.json_line(entry.to_json())
    if not as_json:
        output.result(f"{output.clips(len(deleted))} deleted, {output.size(_bytes(deleted))} freed.")


def _library(path: Path | None) -> Path | None:
    """`--library` may stand before the subcommand as well."""
    parent = click.get_current_context().parent
    return path or (parent.params.get("library_path") if parent else None)


def _wants_json(asked: bool) -> bool:
    """So may `--json`."""
    parent = click.get_current_context().parent
    return asked or bool(parent and parent.params.get("as_json"))


def _show(path: Path | None, *, as_json: bool) -> None:
    entries = open_library(path).trash()
    if as_json:
        for entry in entries:
            output.json_line(entry.to_json())
        return
    if not entries:
        output.notice(_EMPTY)
        return
    output.table(
        (
            output.Column(title="id", style={"fg": "cyan"}),
            output.Column(title="title", shrink=True, style={"bold": True}),
            output.Column(title="removed"),
            output.Column(title="size", right=True),
        ),
        [
            (entry.id[-6:], entry.title, output.local_time(entry.removed_at), output.size(entry.size))
            for entry in entries
        ],
    )
    output.hint(
        f"Bring one back: audiolib trash restore {entries[0].id[-6:]}   Delete all: audiolib trash empty"
    )


def _bytes(entries: "list[TrashedClip]") -> int:
    return sum(entry.size for entry in entries)
