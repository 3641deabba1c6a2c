"""Files are whole or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from audiolib.errors import InvalidInputError
from audiolib.files import (
    atomic_path,
    check_prefix,
    file_sha256,
    publish_numbered,
    samples_sha256,
    temporary_path,
    write_bytes,
)


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
    assert target.read_text() == "whole"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError()])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.json"
    write_bytes(target, b"old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_temporary_keeps_the_suffix() -> None:
    path = temporary_path(Path("x/clip.wav"))
    assert path.suffix == ".wav"
    assert path.parent == Path("x")
    assert path != temporary_path(Path("x/clip.wav"))


def publish(folder: Path, prefix: str, content: bytes = b"x") -> str:
    temporary = temporary_path(folder / "new.wav")
    temporary.write_bytes(content)
    path = publish_numbered(temporary, folder, prefix)
    assert not temporary.exists()
    assert path.read_bytes() == content
    return path.name


def test_numbers_go_on_after_the_highest(tmp_path: Path) -> None:
    assert [publish(tmp_path, "lofi") for _ in range(2)] == ["lofi_001.wav", "lofi_002.wav"]
    (tmp_path / "lofi_007.flac").touch()
    (tmp_path / "lofi_x.wav").touch()
    (tmp_path / "lofi_slow_099.wav").touch()
    assert publish(tmp_path, "lofi") == "lofi_008.wav"
    assert publish(tmp_path, "l+fi") == "l+fi_001.wav"
    (tmp_path / "lofi_999.wav").touch()
    assert publish(tmp_path, "lofi") == "lofi_1000.wav"


def test_a_number_taken_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lofi_001.wav").write_bytes(b"other's")
    monkeypatch.setattr("audiolib.files._highest_number", lambda folder, prefix: 0)
    assert publish(tmp_path, "lofi") == "lofi_002.wav"
    assert (tmp_path / "lofi_001.wav").read_bytes() == b"other's"


def test_a_disk_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "lofi_003.wav").touch()
    assert publish(tmp_path, "lofi") == "lofi_004.wav"
    # What comes between the look and the renaming is not replaced either.
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr("audiolib.files._highest_number", lambda folder, prefix: 2)
    temporary = temporary_path(tmp_path / "new.wav")
    temporary.write_bytes(b"mine")
    assert publish_numbered(temporary, tmp_path, "lofi").name == "lofi_005.wav"
    assert (tmp_path / "lofi_003.wav").read_bytes() == b""


@pytest.mark.parametrize("prefix", ["", ".hidden", "a/b", "..", "a\\b", "a\0b"])
def test_a_prefix_stays_in_its_folder(prefix: str) -> None:
    with pytest.raises(InvalidInputError):
        check_prefix(prefix)


def test_digests(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert file_sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    samples = np.linspace(-1, 1, 64, dtype=np.float32)
    assert samples_sha256(samples) == samples_sha256(samples.astype(">f4"))
    assert samples_sha256(samples) == samples_sha256(np.repeat(samples, 2)[::2])
    assert samples_sha256(samples) != samples_sha256(samples[::-1])
