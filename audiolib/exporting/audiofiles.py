"""Copies of the clips' files under names for people, each whole or not there."""

import filecmp
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from audiolib.clip import Clip
from audiolib.exporting.fields import FILE_NAME
from audiolib.exporting.names import file_stem, file_suffix, name_key
from audiolib.files import atomic_path

AUDIO_FOLDER: Final = "audio"
_FILES_A_FOLDER: Final = 10_000  # the Hub takes no more


class AudioFiles:
    """Names and copies of one export.

    Args:
        root: The export's folder.
        earlier: The clips that are there already, as lines of `metadata.jsonl`.
    """

    def __init__(self, root: Path, earlier: Iterable[Mapping[str, Any]] = ()) -> None:
        self._root = root
        self._known = {str(d["id"]): (str(d[FILE_NAME]), d.get("sha256")) for d in earlier}
        self._taken = {name_key(name.rpartition("/")[2]) for name, _ in self._known.values()}

    def name_for(self, clip: Clip) -> str:
        """Return the file name of a clip in this export, relative to its folder with forward slashes.

        Args:
            clip: The clip; asked for once.
        """
        if clip.id in self._known:
            return self._known[clip.id][0]
        suffix = file_suffix(clip.path.name)
        stem = file_stem(clip.title, clip.id)
        if name_key(stem + suffix) in self._taken:
            stem = stem.removesuffix(clip.id[-6:]) + clip.id
        number = len(self._taken) // _FILES_A_FOLDER
        self._taken.add(name_key(stem + suffix))
        folder = f"{AUDIO_FOLDER}/{number + 1}" if number else AUDIO_FOLDER
        return f"{folder}/{stem}{suffix}"

    def place(self, clip: Clip, name: str) -> int:
        """Copy a clip's file unless the same one is there.

        Args:
            clip: The clip.
            name: What `name_for` returned.

        Returns:
            How many bytes were copied; 0 when the file was there.

        Raises:
            OSError: The file cannot be read or written.
        """
        target = self._root / name
        size = clip.path.stat().st_size
        if target.is_file() and target.stat().st_size == size and self._same(clip, target):
            return 0
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            shutil.copyfile(clip.path, temporary)
        return size

    def _same(self, clip: Clip, target: Path) -> bool:
        known = self._known.get(clip.id)
        # A file without its line in the table is what an interrupted export left.
        return known[1] == clip.sha256 if known else filecmp.cmp(clip.path, target, shallow=False)
