"""The library's folder: ids, manifest, lock, and clips by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from library_files import bare_clip

from audiolib.errors import (
    AmbiguousClipError,
    ClipNotFoundError,
    LibraryBusyError,
    LibraryError,
    LibraryFormatError,
)
from audiolib.folder import LIBRARY_FORMAT, LibraryFolder, utc_text
from audiolib.ids import ID_PATTERN, new_id, time_of
from audiolib.sidecars import write_sidecar


def test_ids_are_ulids_that_sort_by_time() -> None:
    before = datetime.now(UTC)
    ids = [new_id() for _ in range(5_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(ID_PATTERN.fullmatch(clip_id) for clip_id in ids)
    assert abs((time_of(ids[0]) - before).total_seconds()) < 1


def test_the_time_of_an_id_is_the_specifications() -> None:
    # The example of the ULID specification's reference implementation: 1469918176385 ms.
    assert time_of("01ARYZ6S41TSV4RRFFQ69G5FAV").timestamp() == 1_469_918_176.385
    with pytest.raises(ValueError, match="no ULID"):
        time_of("01ARYZ6S41TSV4RRFFQ69G5FAU")


def test_an_id_of_no_year_that_can_be_told_is_none() -> None:
    assert time_of("75" + "Z" * 24).year == 9983
    assert ID_PATTERN.fullmatch("76" + "0" * 24) is None


def test_moments_are_written_in_utc() -> None:
    assert utc_text(datetime(2026, 11, 22, 11, 14, 11, 123_456, UTC)) == "2026-11-22T11:14:11.123Z"


@pytest.fixture
def folder(tmp_path: Path) -> LibraryFolder:
    folder = LibraryFolder(tmp_path / "library", lock_timeout=0.2)
    folder.create(embedder="words")
    return folder


def add_clip(folder: LibraryFolder, clip_id: str) -> Path:
    home = folder.month_folder(clip_id)
    home.mkdir(parents=True, exist_ok=True)
    clip = bare_clip(home / f"{clip_id}-calm.wav", clip_id)
    path = home / f"{clip_id}.json"
    write_sidecar(path, clip, recipe=None, codes=None)
    return path


class TestManifest:
    def test_a_new_library_records_format_and_embedder(self, folder: LibraryFolder) -> None:
        manifest = folder.manifest()
        assert (manifest["format"], manifest["embedder"]) == (LIBRARY_FORMAT, "words")
        folder.create(embedder="other words")
        assert folder.manifest() == manifest

    def test_unknown_keys_are_kept(self, folder: LibraryFolder) -> None:
        folder.manifest_path.write_text('{"format": 1, "colour": "blue"}')
        folder.update_manifest(embedder="words")
        assert folder.manifest() == {"format": 1, "colour": "blue", "embedder": "words"}

    @pytest.mark.parametrize(
        ("text", "error", "reason"),
        [
            (f'{{"format": {LIBRARY_FORMAT + 1}}}', LibraryFormatError, "Update audiolib"),
            ('{"format": ', LibraryError, "damaged"),
            ('{"name": "web app"}', LibraryError, "no library's manifest"),
            ("[]", LibraryError, "no library's manifest"),
            ("[" * 100_000, LibraryError, "damaged"),
        ],
    )
    def test_a_foreign_manifest_is_refused_and_kept(
        self, folder: LibraryFolder, text: str, error: type[Exception], reason: str
    ) -> None:
        folder.manifest_path.write_text(text)
        with pytest.raises(error, match=reason) as caught:
            folder.create(embedder="words")
        assert str(folder.root) in str(caught.value)
        assert folder.manifest_path.read_text() == text


class TestLock:
    def test_it_nests(self, folder: LibraryFolder) -> None:
        with folder.lock():
            with folder.lock():
                pass
            with pytest.raises(LibraryBusyError), LibraryFolder(folder.root, lock_timeout=0.1).lock():
                pass

    def test_who_waits_too_long_learns_who_holds_it(self, folder: LibraryFolder) -> None:
        script = (
            "import sys, time; from pathlib import Path; from audiolib.folder import LibraryFolder\n"
            "with LibraryFolder(Path(sys.argv[1])).lock(): print('held', flush=True); time.sleep(60)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, str(folder.root)], stdout=subprocess.PIPE, text=True
        ) as holder:
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == "held\n"
                start = time.monotonic()
                with pytest.raises(LibraryBusyError, match=f"process {holder.pid} "), folder.lock():
                    pass
                assert time.monotonic() - start < 5
            finally:
                holder.kill()
        with folder.lock():  # a killed holder leaves nothing behind
            pass


class TestNames:
    def test_a_clip_is_found_by_id_ending_path_and_last(self, folder: LibraryFolder) -> None:
        first, second = (add_clip(folder, new_id()) for _ in range(2))
        assert folder.sidecar_paths() == [first, second]
        assert folder.resolve(first.stem) == first
        assert folder.resolve(first.stem.lower()) == first
        assert folder.resolve("last") == second
        assert folder.resolve(str(first)) == first
        assert folder.resolve(first.with_name(f"{first.stem}-calm.wav")) == first
        unique = next(n for n in range(1, 27) if first.stem[-n:] != second.stem[-n:])
        assert folder.resolve(first.stem[-unique:].lower()) == first

    def test_an_ending_of_several_is_ambiguous(self, folder: LibraryFolder) -> None:
        for clip_id in ("01ARYZ6S41TSV4RRFFQ69G5FAV", "01ARYZ6S42TSV4RRFFQ69G5FAV"):
            add_clip(folder, clip_id)
        with pytest.raises(AmbiguousClipError, match="2 clips end in 'FAV'"):
            folder.resolve("FAV")

    def test_a_clip_that_was_moved_is_found(self, folder: LibraryFolder) -> None:
        path = add_clip(folder, new_id())
        other = folder.audio / "favourites"
        other.mkdir()
        moved = path.rename(other / path.name)
        assert folder.resolve(path.stem) == moved

    @pytest.mark.parametrize("backwards", [False, True])
    def test_of_copies_the_one_in_the_usual_place_counts(
        self, folder: LibraryFolder, monkeypatch: pytest.MonkeyPatch, backwards: bool
    ) -> None:
        path, listdir = add_clip(folder, new_id()), os.listdir
        for name in ("0 before", "zzz after"):
            (folder.audio / name).mkdir()
            shutil.copy(path, folder.audio / name)
        monkeypatch.setattr(os, "listdir", lambda where: sorted(listdir(where), reverse=backwards))
        assert folder.sidecar_paths() == [folder.resolve("last")] == [path]
        assert folder.count() == 1

    @pytest.mark.parametrize(
        "name",
        [
            "nothing",
            "",
            "last",
            "/etc/passwd",
            "../x.wav",
            "01ARYZ6S41TSV4RRFFQ69G5FAV",
            "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        ],
    )
    def test_what_is_not_there_is_not_found(self, folder: LibraryFolder, name: str) -> None:
        with pytest.raises(ClipNotFoundError):
            folder.resolve(name)

    def test_a_file_outside_is_no_clip(self, folder: LibraryFolder, tmp_path: Path) -> None:
        path = add_clip(folder, new_id())
        with pytest.raises(ClipNotFoundError, match="no file of the library"):
            folder.resolve(tmp_path / path.name)

    def test_other_json_files_are_no_sidecars(self, folder: LibraryFolder) -> None:
        path = add_clip(folder, new_id())
        (path.parent / "notes.json").write_text(json.dumps({"my": "notes"}))
        (path.parent / f".{path.stem}.12345678.tmp.json").write_text("half")
        assert folder.sidecar_paths() == [path]
