"""Many files at once: one that is bad stops nothing, and a run that was cut off goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from library_files import add, files_of
from sound_files import write_album, write_sound

from audiolib import AudioLibrary, ImportOutcome
from audiolib.files import file_sha256
from audiolib.folder import LibraryFolder
from audiolib.importing import run
from audiolib.sidecars import read_sidecar
from generation.audio import load_audio


def statuses(outcomes: list[ImportOutcome]) -> dict[str, str]:
    return {outcome.source.name: outcome.status for outcome in outcomes}


class TestManyFiles:
    def test_one_bad_file_stops_nothing(self, library: AudioLibrary, tmp_path: Path) -> None:
        write_album(tmp_path / "in", 3)
        (tmp_path / "in" / "001a.wav").write_text("no sound")
        (tmp_path / "in" / "notes.txt").write_text("no sound, and none is said to be")
        calls: list[tuple[int, int]] = []
        outcomes = add(library, tmp_path / "in", progress=lambda *at: calls.append(at))
        assert [outcome.status for outcome in outcomes] == ["added", "added", "failed", "added"]
        assert calls[-1] == (4, 4)
        assert sorted(calls) == calls

    def test_a_failure_nobody_foresaw_stops_nothing_either(
        self, library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_album(tmp_path / "in", 3)
        reading = run.read_sound

        def fail(path: Path, **options: Any) -> Any:
            if path.name == "001.wav":
                raise ZeroDivisionError("by zero\nand more")
            return reading(path, **options)

        monkeypatch.setattr(run, "read_sound", fail)
        outcomes = add(library, tmp_path / "in")
        assert [outcome.status for outcome in outcomes] == ["added", "failed", "added"]
        assert outcomes[1].reason == "It cannot be read (ZeroDivisionError: by zero)."

    def test_each_outcome_comes_when_its_clip_can_be_found(
        self, library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(run, "_BATCH", 4)
        write_album(tmp_path / "in", 10)
        from indexing.store import ClipIndex

        sizes = []
        for outcome in library.add_all([tmp_path / "in"]):
            ids = ClipIndex(library.path / "index").ids()
            assert outcome.id in ids
            sizes.append(len(ids))
        assert sizes == [4] * 4 + [8] * 4 + [10] * 2

    def test_a_second_run_reads_nothing(
        self, library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = write_album(tmp_path / "in", 5)
        add(library, tmp_path / "in")
        opened: list[Path] = []
        monkeypatch.setattr(run, "check_sound", lambda path: opened.append(path))
        again = AudioLibrary(library.path)
        assert set(statuses(add(again, tmp_path / "in")).values()) == {"present"}
        assert opened == []
        write_sound(files[2], seed=99)
        outcomes = add(again, tmp_path / "in")
        assert [outcome.status for outcome in outcomes] == [
            "present",
            "present",
            "added",
            "present",
            "present",
        ]
        assert opened == [files[2]]

    def test_a_run_that_stops_in_the_middle_goes_on(
        self, library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from indexing.store import ClipIndex

        write_album(tmp_path / "in", 6)
        storing = run.store
        calls: list[object] = []

        def interrupted(*arguments: Any, **options: Any) -> Any:
            calls.append(arguments)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return storing(*arguments, **options)

        monkeypatch.setattr(run, "store", interrupted)
        with pytest.raises(KeyboardInterrupt):
            add(library, tmp_path / "in")
        stored = {clip.id for clip in library.list()}
        assert len(stored) == 3
        assert ClipIndex(library.path / "index").ids() == stored  # though no batch was full
        rest = add(AudioLibrary(library.path), tmp_path / "in")
        assert [outcome.status for outcome in rest] == ["present"] * 3 + ["added"] * 3

    def test_ctrl_c_while_rows_are_written_leaves_none_without(
        self, library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from audiolib.catalogue import Catalogue
        from indexing.store import ClipIndex

        write_album(tmp_path / "in", 3)
        adding = Catalogue.add

        def interrupted(self: Catalogue, sidecars: Any) -> None:
            monkeypatch.setattr(Catalogue, "add", adding)
            raise KeyboardInterrupt

        monkeypatch.setattr(Catalogue, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            add(library, tmp_path / "in")
        stored = {clip.id for clip in library.list()}
        assert len(stored) == 3
        assert ClipIndex(library.path / "index").ids() == stored

    def test_a_long_file_keeps_nobody_waiting(
        self, library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = write_album(tmp_path / "in", 3)
        go_on = threading.Event()
        in_time: list[bool] = []
        reading = run.read_sound

        def slow(path: Path, **options: Any) -> Any:
            if path == files[2]:
                in_time.append(go_on.wait(timeout=30))
            return reading(path, **options)

        monkeypatch.setattr(run, "read_sound", slow)
        monkeypatch.setattr(run, "_BATCH_SECONDS", 2.0)
        outcomes = library.add_all([tmp_path / "in"])
        assert [next(outcomes).source for _ in range(2)] == files[:2]
        go_on.set()
        assert next(outcomes).source == files[2]
        assert in_time == [True]

    def test_rows_that_a_killed_run_did_not_write_are_written(
        self, library: AudioLibrary, tmp_path: Path
    ) -> None:
        from indexing.store import ClipIndex

        clip = library.add(write_sound(tmp_path / "a.wav"))
        ClipIndex(library.path / "index").remove([clip.id])
        (outcome,) = add(AudioLibrary(library.path), tmp_path / "a.wav")
        assert outcome.status == "present"
        assert ClipIndex(library.path / "index").ids() == {clip.id}

    def test_reading_ends_soon_when_it_is_stopped(self, tmp_path: Path) -> None:
        from audiolib.importing.reading import Stopped, read_sound

        stop = threading.Event()
        source = write_sound(tmp_path / "a.wav", seconds=60)
        stop.set()
        with pytest.raises(Stopped):
            read_sound(source, stopped=stop.is_set)

    @pytest.mark.parametrize(
        "damage",
        [
            b'{"path": "x", "si',
            b"\xff\xfe\n[]\n{}\n5\n",
            b"",
            b'{"sha256": "a", "audio_sha256": "b", "path": "x"}\n',
            b'{"sha256": "a", "audio_sha256": "b", "path": ["x"], "size": 1, "mtime_ns": 2}\n',
            b'{"sha256": "a", "audio_sha256": ["b"], "id": "01ARYZ6S41TSV4RRFFQ69G5FAV"}\n',
            b'{"sha256": ["a"], "audio_sha256": null, "id": "01ARYZ6S41TSV4RRFFQ69G5FAV"}\n',
        ],
    )
    def test_a_damaged_journal_is_no_matter(
        self, damage: bytes, library: AudioLibrary, tmp_path: Path
    ) -> None:
        write_album(tmp_path / "in", 2)
        add(library, tmp_path / "in")
        with (library.path / "imports.jsonl").open("ab") as file:
            file.write(damage)
        write_album(tmp_path / "in", 1, first=2)
        fresh = AudioLibrary(library.path)
        assert [o.status for o in add(fresh, tmp_path / "in")] == ["present", "present", "added"]
        lines = (library.path / "imports.jsonl").read_bytes().splitlines()
        assert json.loads(lines[-1])["path"].endswith("002.wav")

    @pytest.mark.parametrize("clip_id", ["x", "../../etc", 5, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"])
    def test_a_journal_that_names_no_clip(
        self, clip_id: object, library: AudioLibrary, tmp_path: Path
    ) -> None:
        source = write_sound(tmp_path / "a.wav")
        library._folder.create(embedder="words")
        entry = {"sha256": file_sha256(source), "audio_sha256": None, "id": clip_id}
        (library.path / "imports.jsonl").write_text(json.dumps(entry) + "\n")
        assert [outcome.status for outcome in add(library, source)] == ["added"]


class TestTrouble:
    def test_a_disk_that_is_full_ends_the_run_and_leaves_nothing_half(
        self, library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_album(tmp_path / "in", 3)
        for step in ("add.copied", "add.journal-written", "add.audio-written"):
            monkeypatch.setenv("AUDIOLIB_CRASH_AT", f"{step}:1:enospc")
            monkeypatch.setattr("audiolib.crashpoints._passes", 0)
            with pytest.raises(OSError, match="No space"):
                add(AudioLibrary(library.path), tmp_path / "in")
            assert files_of(library.path / "audio") == set(), step
        monkeypatch.delenv("AUDIOLIB_CRASH_AT")
        assert len(add(library, tmp_path / "in")) == 3

    def test_a_library_that_may_not_be_written(self, tmp_path: Path) -> None:
        write_album(tmp_path / "in", 1)
        (tmp_path / "file").write_text("x")
        with pytest.raises(OSError, match="Not a directory"):
            add(AudioLibrary(tmp_path / "file" / "library"), tmp_path / "in")

    def test_what_a_killed_run_left_is_finished_under_its_id(
        self, library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Audio with its final name and no sidecar, as SIGKILL leaves it between the two."""
        source = write_sound(tmp_path / "a.wav")
        clip = library.add(source)
        LibraryFolder(library.path).sidecar_path(clip.id).unlink()
        shutil.rmtree(library.path / "index")  # its row comes last
        again = AudioLibrary(library.path).add(source, title="Another name")
        assert again.id == clip.id
        assert [path.name for path in library.path.glob("audio/*/*.wav")] == [f"{clip.id}-another-name.wav"]

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "step", ["copied", "journal-written", "audio-written", "sidecar-written", "row-written"]
    )
    def test_killed_at_every_step(self, step: str, tmp_path: Path) -> None:
        write_album(tmp_path / "in", 4)
        command = [sys.executable, "-m", "audiolib", "add", "in", "--library", "lib", "--json"]
        count = 1 if step == "row-written" else 2
        environment = {**os.environ, "AUDIOLIB_CRASH_AT": f"add.{step}:{count}"}
        killed = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert killed.returncode == -9
        for path in (tmp_path / "lib" / "audio").rglob("[!.]*.*"):  # whatever has its name is whole
            read_sidecar(path) if path.suffix == ".json" else load_audio(path)
        again = subprocess.run(command, capture_output=True, text=True, check=True)
        lines = [json.loads(line) for line in again.stdout.splitlines()]
        assert len(lines) == 4
        library = AudioLibrary(tmp_path / "lib")
        assert len(list(library.list())) == 4
        assert len(library.search("anything")) == 4
        sounds = [path for path in files_of(tmp_path / "lib" / "audio") if path.endswith(".wav")]
        assert len([path for path in sounds if not Path(path).name.startswith(".")]) == 4
