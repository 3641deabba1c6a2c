"""Where a clip goes besides the library: one file, or the next free number in a folder."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from audiolib.errors import InvalidInputError
from audiolib.files import (
    atomic_path,
    check_prefix,
    check_writable,
    file_sha256,
    publish_numbered,
    temporary_path,
)
from audiolib.prompts import slug_of
from audiolib.requests import FORMATS


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A file, or a folder with a prefix for numbered files (`lofi_001.wav`).

    Attributes:
        file: The file to write; one of that name is replaced.
        folder: The folder to number files in.
        prefix: What their names start with; the prompt's words when `None`.
    """

    file: Path | None = None
    folder: Path | None = None
    prefix: str | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.folder is None):
            raise InvalidInputError("Give either a file or a folder to write to.")
        if self.prefix is not None:
            check_prefix(self.prefix)

    def audio_format(self, wanted: str | None) -> str:
        """Return the format to write: the one wanted, the file's suffix, or WAV.

        Args:
            wanted: What the user asked for.

        Raises:
            InvalidInputError: The two contradict each other, or the suffix is no known format.
        """
        if self.file is None:
            return wanted or "wav"
        suffix = self.file.suffix.lower().removeprefix(".")
        if suffix not in FORMATS:
            raise InvalidInputError(
                f"{self.file.name!r} does not end in a known format. Use .{', .'.join(FORMATS)}."
            )
        if wanted not in (None, suffix):
            raise InvalidInputError(
                f"{self.file.name!r} contradicts the format {wanted}. Give only one of them."
            )
        return suffix

    def check(self) -> None:
        """Make the folder, before minutes are spent on music that cannot be written.

        Raises:
            OSError: It cannot be made or written.
        """
        home = self._home()
        check_writable(home)
        home.mkdir(parents=True, exist_ok=True)
        if self.file is not None and self.file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.file))

    def holds(self, sha256: str) -> bool:
        """Return whether it is a file with these very bytes.

        Args:
            sha256: Their SHA-256 in hex.

        Raises:
            OSError: It cannot be read.
        """
        return self.file is not None and self.file.is_file() and file_sha256(self.file) == sha256

    def place(self, source: Path, *, prompt: str, move: bool = False) -> Path:
        """Put a copy of a whole file there, under its final name only when it is complete.

        Args:
            source: The file.
            prompt: Where the default prefix comes from.
            move: The source is a temporary in the same folder and may be used up.

        Returns:
            The path that was written.

        Raises:
            OSError: It cannot be written.
        """
        if self.file is not None:
            with atomic_path(self.file) as temporary:
                _transfer(source, temporary, move=move)
            return self.file
        home = self._home()
        prefix = self.prefix or slug_of(prompt) or "clip"
        temporary = temporary_path(home / f"{prefix}{source.suffix}")
        try:
            _transfer(source, temporary, move=move)
            return publish_numbered(temporary, home, prefix)
        finally:
            temporary.unlink(missing_ok=True)

    def scratch(self, audio_format: str) -> Path:
        """Return a hidden path in the same folder.

        Args:
            audio_format: Its suffix.
        """
        return temporary_path(self._home() / f"clip.{audio_format}")

    def _home(self) -> Path:
        home = self.folder if self.file is None else self.file.parent
        return home if home is not None else Path()


def _transfer(source: Path, target: Path, *, move: bool) -> None:
    if move:
        os.replace(source, target)
    else:
        shutil.copyfile(source, target)
