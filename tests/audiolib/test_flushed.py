"""What is acknowledged is on the disk, and so is the name of the folder that it is in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from sound_files import write_sound

from audiolib import AudioLibrary
from audiolib.files import write_bytes


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was flushed and renamed so far, in order."""
    seen: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flush(descriptor: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        seen.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    return seen


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The inodes of what was flushed so far: a file keeps its own when it is renamed."""
    seen: set[int] = set()
    fsync = os.fsync

    def flush(descriptor: int) -> None:
        seen.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    return seen


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, steps: list[str]) -> None:
    write_bytes(tmp_path / "a", b"x")
    assert steps == ["file", "rename", "folder"]


@pytest.mark.parametrize("command", ["generate", "add"])
def test_the_first_clip_of_a_month(
    library: AudioLibrary, tmp_path: Path, flushed: set[int], command: str
) -> None:
    if command == "add":
        clip = library.add(write_sound(tmp_path / "a.wav"))
    else:
        clip = library.generate("calm piano", duration=0.2, index=False)
    for path in (*clip.path.parent.glob(f"{clip.id}*"), clip.path.parent, library.path / "audio"):
        assert path.stat().st_ino in flushed, path


def test_what_is_exported(three: AudioLibrary, tmp_path: Path, flushed: set[int]) -> None:
    three.export(tmp_path / "files")
    three.export(tmp_path / "parquet", parquet=True)
    files = [path for path in tmp_path.glob("[fp]*/**/*") if path.is_file()]
    assert len(files) > 6
    assert [path for path in files if path.stat().st_ino not in flushed] == []
