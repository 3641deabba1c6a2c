"""The folder that an export goes to: empty, or one of ours to be brought up to date; never somebody's own files."""

import errno
import json
import os
from pathlib import Path
from typing import Final, Literal

from audiolib.errors import InvalidInputError
from audiolib.files import TEMPORARY, check_writable, write_bytes

Kind = Literal["files", "parquet"]

_MARKER: Final = ".audiolib-export.json"
_FORMAT: Final = 1
# What systems put onto a disk by themselves; hidden files are passed over as well.
_SYSTEMS_OWN: Final = frozenset({"System Volume Information", "$RECYCLE.BIN", "lost+found", "desktop.ini"})


def check_target(folder: Path, *, kind: Kind, update: bool, library: Path) -> tuple[Path, bool]:
    """Make sure that an export may go to a folder; nothing is made or written.

    Args:
        folder: Where to; need not exist.
        kind: What is going to be written.
        update: An earlier export of the same kind may be there.
        library: The library's folder, which the export must not be in.

    Returns:
        The folder, absolute, and whether it holds an earlier export.

    Raises:
        InvalidInputError: It holds something else, or is in the library.
        OSError: It cannot be read.
    """
    root = Path(os.path.abspath(folder.expanduser()))
    if root.resolve().is_relative_to(library.resolve()):
        raise InvalidInputError(f"{root} is in the library itself. Choose a folder outside of it.")
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(root))
    if root.is_dir():
        _check_content(root, kind=kind, update=update)
    return root, _earlier_kind(root) is not None


def prepare_target(root: Path, *, kind: Kind) -> None:
    """Make a folder that was checked, and mark it as ours.

    Args:
        root: The folder, absolute.
        kind: What is going to be written.

    Raises:
        OSError: It cannot be made or written.
    """
    check_writable(root)
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    write_bytes(root / _MARKER, json.dumps({"format": _FORMAT, "kind": kind}).encode() + b"\n")


def _check_content(root: Path, *, kind: Kind, update: bool) -> None:
    found = _earlier_kind(root)
    if found is None:
        if any(not name.startswith(".") and name not in _SYSTEMS_OWN for name in os.listdir(root)):
            raise InvalidInputError(
                f"{root} holds other files already. Choose a folder that is empty or not there yet."
            )
    elif not update:
        raise InvalidInputError(
            f"{root} holds an earlier export. --update adds what is missing there; or choose another folder."
        )
    elif found != kind:
        with_or_without = "with" if found == "parquet" else "without"
        raise InvalidInputError(
            f"{root} holds an export of another kind. Use --update {with_or_without} --parquet, or another folder."
        )


def _earlier_kind(root: Path) -> str | None:
    try:
        marker = json.loads((root / _MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        marker = None
    if not isinstance(marker, dict) or marker.get("format") != _FORMAT:
        raise InvalidInputError(f"{root} was exported by another version of audiolib. Choose another folder.")
    return str(marker.get("kind"))


def _sweep(root: Path) -> None:
    """Remove temporaries that a killed export left."""
    if _earlier_kind(root) is None:
        return
    for folder, _, names in os.walk(root):
        for name in names:
            if TEMPORARY.fullmatch(name):
                Path(folder, name).unlink(missing_ok=True)
