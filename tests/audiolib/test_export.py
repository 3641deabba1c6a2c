"""Exports: what is in them, that they are safe to write and to read, and that they can be continued."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from collection import put_clip
from library_files import files_of

from audiolib import AudioLibrary
from audiolib.errors import InvalidInputError
from audiolib.exporting import audiofiles, tables
from indexing.filters import Filters


def metadata(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


class TestFiles:
    def test_the_files_and_their_metadata(self, three: AudioLibrary, tmp_path: Path) -> None:
        report = three.export(tmp_path / "out")
        assert (report.clips, report.added, report.left_out) == (3, 3, ())
        lines = metadata(tmp_path / "out")
        clips = list(three.list())
        assert [line["id"] for line in lines] == [clip.id for clip in clips]
        for line, clip in zip(lines, clips, strict=True):
            name = line.pop("file_name")
            assert re.fullmatch(rf"audio/[-\w]+-{clip.id[-6:]}{clip.path.suffix}", name)
            assert (tmp_path / "out" / name).read_bytes() == clip.path.read_bytes()
            assert line == {key: value for key, value in clip.to_json().items() if key != "path"}
        assert report.bytes == sum(clip.path.stat().st_size for clip in clips)
        assert str(tmp_path) not in (tmp_path / "out" / "metadata.jsonl").read_text()

    def test_they_are_copies(self, three: AudioLibrary, tmp_path: Path) -> None:
        three.export(tmp_path / "out")
        for path in (tmp_path / "out" / "audio").iterdir():
            assert not path.is_symlink()
            assert path.stat().st_nlink == 1

    def test_filters_sorting_and_limit(self, three: AudioLibrary, tmp_path: Path) -> None:
        three.index()
        three.export(tmp_path / "a", filters=Filters(kind="generated"), sort="title", reverse=True)
        assert [line["title"] for line in metadata(tmp_path / "a")] == ["happy rock", "calm piano"]
        three.export(tmp_path / "b", limit=1)
        assert [line["title"] for line in metadata(tmp_path / "b")] == ['Ænima, "live"']
        assert three.export(tmp_path / "c", filters=Filters(tags=("x' OR '1'='1",))).clips == 0
        assert not (tmp_path / "c").exists()

    def test_the_table(self, three: AudioLibrary, tmp_path: Path) -> None:
        three.export(tmp_path / "out", csv=True)
        with (tmp_path / "out" / "clips.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["title"] for row in rows] == ['Ænima, "live"', "happy rock", "calm piano"]
        assert rows[2]["tags"] == "lofi; night"
        assert (rows[2]["rating"], rows[1]["rating"], rows[1]["tempo_bpm"]) == ("4", "", "120.0")
        assert {row["file_name"] for row in rows} == {
            line["file_name"] for line in metadata(tmp_path / "out")
        }

    def test_the_playlist(self, three: AudioLibrary, tmp_path: Path) -> None:
        put_clip(three.path, "two\nlines\r#EXTM3U")
        three.export(tmp_path / "out", playlist=True)
        first, *rest = (tmp_path / "out" / "clips.m3u8").read_text(encoding="utf-8").splitlines()
        assert first == "#EXTM3U"
        assert rest[::2] == [
            "#EXTINF:1,two lines #EXTM3U",
            '#EXTINF:1,Ænima, "live"',
            "#EXTINF:2,happy rock",
            "#EXTINF:1,calm piano",
        ]
        assert all((tmp_path / "out" / name).is_file() for name in rest[1::2])

    def test_the_card_tells_the_licences(self, three: AudioLibrary, tmp_path: Path) -> None:
        yaml = pytest.importorskip("yaml")
        put_clip(three.path, "evil", model="a | b\n# c", license="free`beer`")
        three.export(tmp_path / "out")
        card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
        head = yaml.safe_load(card.split("---")[1])
        assert head["license"] == "other"
        assert head["configs"][0]["data_files"][0]["path"] == ["metadata.jsonl", "audio/**"]
        names = [feature["name"] for feature in head["dataset_info"]["features"]]
        assert names == ["audio", *list(metadata(tmp_path / "out")[0])[1:]]
        assert "| 1 | tiny | cc-by-nc-4.0 |" in card
        assert "| 1 | starter | mit |" in card
        assert "| 1 | imported | unknown |" in card
        assert "| 1 | a \ufffd b \ufffd c | free\ufffdbeer\ufffd |" in card
        assert "4 clips, 0 min 02 s in all" in card

    def test_every_field_has_a_value_early(
        self, three: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(6):
            put_clip(three.path, f"plain {number}", model=None)
        monkeypatch.setattr(tables, "_FRONT_BYTES", 1)
        three.export(tmp_path / "out", csv=True)
        lines = metadata(tmp_path / "out")
        order = [line["title"] for line in lines]
        assert order[:3] == ["plain 5", "happy rock", "calm piano"]
        assert sorted(order) == sorted(clip.title for clip in three.list())
        assert order[3:] == [clip.title for clip in three.list() if clip.title in order[3:]]
        assert (tmp_path / "out" / "clips.csv").read_text().splitlines()[1].startswith("audio/plain-5")

    def test_of_two_clips_with_one_name_the_second_gets_its_whole_id(
        self, three: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(audiofiles, "file_stem", lambda title, clip_id: f"same-{clip_id[:6]}")
        three.export(tmp_path / "out")
        names = [line["file_name"] for line in metadata(tmp_path / "out")]
        assert len({name.casefold() for name in names}) == 3

    def test_large_exports_go_to_several_folders(
        self, three: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(audiofiles, "_FILES_A_FOLDER", 2)
        three.export(tmp_path / "out")
        folders = [line["file_name"].rpartition("/")[0] for line in metadata(tmp_path / "out")]
        assert folders == ["audio", "audio", "audio/2"]


class TestUpdate:
    def test_only_what_is_missing_is_copied(self, three: AudioLibrary, tmp_path: Path) -> None:
        three.export(tmp_path / "out", csv=True)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "audio").iterdir()}
        put_clip(three.path, "slow strings")
        damaged, lost, *_ = sorted(before)
        damaged.write_bytes(b"x" * 10)
        lost.unlink()
        report = three.export(tmp_path / "out", update=True)
        assert (report.clips, report.added) == (4, 3)
        assert len(metadata(tmp_path / "out")) == 4
        untouched = set(before) - {damaged, lost}
        assert all(path.stat().st_mtime_ns == before[path] for path in untouched)
        assert len((tmp_path / "out" / "clips.csv").read_text().splitlines()) == 5  # kept up to date unasked

    def test_what_is_said_of_a_clip_is_said_anew_and_nothing_is_taken_away(
        self, three: AudioLibrary, tmp_path: Path
    ) -> None:
        three.export(tmp_path / "out")
        three.tag("last", add=["loud"])
        three.index()
        report = three.export(tmp_path / "out", update=True, filters=Filters(tags=("loud",)))
        assert (report.clips, report.added) == (3, 0)
        assert [line["tags"] for line in metadata(tmp_path / "out")] == [["loud"], [], ["lofi", "night"]]

    def test_an_export_that_was_cut_off_goes_on(self, three: AudioLibrary, tmp_path: Path) -> None:
        def stop(done: int, total: int) -> None:
            assert total == 3
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            three.export(tmp_path / "out", progress=stop)
        assert not (tmp_path / "out" / "metadata.jsonl").exists()
        with pytest.raises(InvalidInputError, match="--update"):
            three.export(tmp_path / "out")
        report = three.export(tmp_path / "out", update=True)
        assert (report.clips, report.added) == (3, 1)
        assert not any(".tmp" in name for name in files_of(tmp_path / "out"))

    def test_one_that_was_killed_leaves_no_half_file(self, three: AudioLibrary, tmp_path: Path) -> None:
        code = (
            "import os, shutil, signal, sys\n"
            "from audiolib import AudioLibrary\n"
            "def half(source, target):\n"
            "    data = open(source, 'rb').read()\n"
            "    open(target, 'wb').write(data[: len(data) // 2])\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "shutil.copyfile = half\n"
            "AudioLibrary(sys.argv[1]).export(sys.argv[2])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(three.path), str(tmp_path / "out")], check=False
        )
        assert done.returncode == -signal.SIGKILL
        (half,) = (name for name in files_of(tmp_path / "out") if name.startswith("audio/"))
        assert ".tmp" in half
        report = three.export(tmp_path / "out", update=True)
        assert (report.clips, report.added) == (3, 3)
        assert not any(".tmp" in name for name in files_of(tmp_path / "out"))

    def test_a_table_that_was_tampered_with_leads_nowhere_else(
        self, three: AudioLibrary, tmp_path: Path
    ) -> None:
        three.export(tmp_path / "out")
        lines = metadata(tmp_path / "out")
        lines[0]["file_name"] = "audio/../../victim.wav"
        lines[1]["file_name"] = "/tmp/victim.wav"  # noqa: S108
        text = "\n".join(map(json.dumps, lines)) + "\nno json\n[]\n"
        (tmp_path / "out" / "metadata.jsonl").write_text(text)
        report = three.export(tmp_path / "out", update=True)
        assert report.clips == 3
        assert not (tmp_path / "victim.wav").exists()
        assert all(line["file_name"].startswith("audio/") for line in metadata(tmp_path / "out"))


class TestFolder:
    def test_other_peoples_files_are_left_alone(self, three: AudioLibrary, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "README.md").write_text("mine")
        for update in (False, True):
            with pytest.raises(InvalidInputError, match="holds other files"):
                three.export(tmp_path / "out", update=update)
        assert files_of(tmp_path / "out") == {"README.md"}

    def test_what_systems_leave_on_a_disk_is_no_content(self, three: AudioLibrary, tmp_path: Path) -> None:
        (tmp_path / "out" / "System Volume Information").mkdir(parents=True)
        (tmp_path / "out" / ".DS_Store").write_text("")
        (tmp_path / "out" / ".mine.0123abcd.tmp").write_text("")
        assert three.export(tmp_path / "out").clips == 3
        assert (tmp_path / "out" / ".mine.0123abcd.tmp").exists()

    @pytest.mark.parametrize("marker", ["", "[]", "[" * 100_000])
    def test_a_mark_that_cannot_be_read(self, three: AudioLibrary, tmp_path: Path, marker: str) -> None:
        three.export(tmp_path / "out")
        (tmp_path / "out" / ".audiolib-export.json").write_text(marker)
        with pytest.raises(InvalidInputError, match="another version"):
            three.export(tmp_path / "out", update=True)

    def test_another_kind(self, three: AudioLibrary, tmp_path: Path) -> None:
        three.export(tmp_path / "out", parquet=True)
        with pytest.raises(InvalidInputError, match="with --parquet"):
            three.export(tmp_path / "out", update=True)

    def test_the_library_itself_is_no_place(self, three: AudioLibrary) -> None:
        for folder in (three.path, three.path / "export"):
            with pytest.raises(InvalidInputError, match="in the library itself"):
                three.export(folder)

    def test_a_file_in_the_way(self, three: AudioLibrary, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("mine")
        with pytest.raises(NotADirectoryError):
            three.export(tmp_path / "out")

    def test_a_full_disk_leaves_whole_files_only(self, three: AudioLibrary, tmp_path: Path) -> None:
        code = (
            "import resource, signal, sys\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))\n"
            "from audiolib.cli import main\n"
            "main(prog_name='audiolib')\n"
        )
        arguments = ["export", str(tmp_path / "out"), "--library", str(three.path)]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert done.stderr.startswith("Error: A file would grow over the size")
        assert done.stderr.count("\n") == 1
        whole = {clip.path.read_bytes() for clip in three.list()}
        assert {path.read_bytes() for path in (tmp_path / "out" / "audio").iterdir()} <= whole
        assert not any(".tmp" in name or name == "metadata.jsonl" for name in files_of(tmp_path / "out"))
        assert three.export(tmp_path / "out", update=True).clips == 3


def test_a_library_is_whole_without_its_exports(three: AudioLibrary, tmp_path: Path) -> None:
    three.export(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert all(clip.path.is_file() for clip in three.list())
