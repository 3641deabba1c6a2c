"""What the library's tests look at on the disk."""

from pathlib import Path


def files_of(folder: Path) -> set[str]:
    """Every file under a folder but the lock's, relative to it."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".lock")
    }
