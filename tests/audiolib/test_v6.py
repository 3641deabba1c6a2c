"""Proposed tests."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from collection import put_clip

from audiolib import AudioLibrary
from audiolib.errors import LibraryBusyError
from audiolib.files import file_sha256, publish_numbered, temporary_path, write_bytes
from audiolib.folder import LibraryFolder
from audiolib.sidecars import read_sidecar


def test_it_nests(tmp_path: Path) -> None:
    folder = LibraryFolder(tmp_path)
    with folder.lock():
        with folder.lock():
            pass
        with pytest.raises(LibraryBusyError), LibraryFolder(tmp_path, lock_timeout=0.1).lock():
            pass


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flush(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    write_bytes(tmp_path / "a", b"x")
    assert steps == ["file", "rename", "folder"]


def test_without_hard_links_no_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    (tmp_path / "lofi_001.wav").write_bytes(b"other's")
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(Path, "exists", lambda path: False)  # it came after the look
    monkeypatch.setattr("audiolib.files._highest_number", lambda folder, prefix: 0)
    temporary = temporary_path(tmp_path / "new.wav")
    temporary.write_bytes(b"mine")
    assert publish_numbered(temporary, tmp_path, "lofi").name == "lofi_002.wav"
    assert (tmp_path / "lofi_001.wav").read_bytes() == b"other's"


class Slow:
    """An embedder during whose work somebody tags the clip."""

    name, dimension = "sentence-transformers/all-MiniLM-L6-v2", 384

    def __init__(self, library: AudioLibrary, clip_id: str) -> None:
        self._library, self._id = library, clip_id

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        if "jazz" not in self._library.get(self._id).tags:
            self._library.tag(self._id, add=["jazz"])
        vectors = np.zeros((len(texts), 384), np.float32)
        vectors[:, 0] = 1
        return vectors


def test_an_older_row_never_comes_after_a_newer_one(library: AudioLibrary) -> None:
    clip = put_clip(library.path, "calm piano", measured=True)
    sidecar = read_sidecar(clip.path.with_suffix(".json"))
    library._catalogue.write([sidecar], Slow(library, clip.id))
    (row,) = (row for rows in library._catalogue.index.rows() for row in rows)
    assert row.tags == ("jazz",)


def test_what_changes_while_it_is_checked_is_no_damage(library: AudioLibrary) -> None:
    clip = put_clip(library.path, "calm piano", measured=True)
    library.index()
    assert library.check().findings == ()

    def tag(done: int, total: int) -> None:
        library.tag(clip.id, add=["jazz"])

    assert library.check(progress=tag).findings == ()


def test_a_restored_file_is_what_the_sidecar_says(library: AudioLibrary) -> None:
    clip = library.generate("calm piano", duration=0.2, seed=7)
    library.tag(clip.id, add=["later"])  # tags are inside the file too: it is written with other bytes
    clip.path.unlink()
    assert library.reproduce(clip.id).restored == (clip.path,)
    assert library.get(clip.id).sha256 == file_sha256(clip.path) != clip.sha256
