"""Exports: what is in them, that they are safe to write and to read, and that they can be continued."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import Result
from collection import put_clip
from hypothesis import given
from hypothesis import strategies as st
from library_files import files_of

from audiolib import AudioLibrary
from audiolib.errors import InvalidInputError
from audiolib.exporting import audiofiles, parquet, tables
from audiolib.exporting.names import file_stem, file_suffix, name_key
from indexing.filters import Filters

Run = Callable[..., Result]
ID = "01KANDTHAT1SALLTHERE1S7XK2"


@pytest.fixture
def three(library: AudioLibrary) -> AudioLibrary:
    """A library of three clips."""
    put_clip(
        library.path, "calm piano", tags=("lofi", "night"), rating=4, license="cc-by-nc-4.0", key="A minor"
    )
    put_clip(library.path, "happy rock", model="starter", license="mit", tempo_bpm=120.0, duration=1.6)
    put_clip(library.path, 'Ænima, "live"', kind="imported", model=None, prompt=None, suffix=".flac")
    return library


def metadata(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


class TestNames:
    @pytest.mark.parametrize(
        ("title", "words"),
        [
            ("Calm Piano", "calm-piano"),
            ("  80s: driving / pop\\track?  ", "80s-driving-pop-track"),
            ("CON", "con"),
            ("nul.txt", "nul-txt"),
            (".hidden", "hidden"),
            ("-rf *", "rf"),
            ("../../etc/passwd", "etc-passwd"),
            ("line\nbreak\ttab\0null", "line-break-tab-null"),
            ("静かなピアノ", "静かなピアノ"),
            ("\uff26\uff55\uff4c\uff4c\u3000width", "full-width"),
            ("cafe\u0301", "café"),
            ("हिन्दी गीत", "हिन्दी-गीत"),
            ("red \u202e alert \u200b now", "red-alert-now"),
            ("🎹🎶", "clip"),
            ("❤\ufe0f", "clip"),
            ("\u0301", "clip"),
            ("...", "clip"),
            ("", "clip"),
            ("trailing dot. ", "trailing-dot"),
            ("train whistle, test 2", "Train-whistle-Test-2"),
            ("dev2 trainspotting", "Dev2-trainspotting"),
        ],
    )
    def test_words_of_a_title(self, title: str, words: str) -> None:
        assert file_stem(title, ID) == f"{words}-1S7XK2"

    def test_long_titles_end_with_a_whole_word(self) -> None:
        stem = file_stem("very " * 400 + "long", ID).removesuffix(f"-{ID[-6:]}")
        assert stem == "-".join(["very"] * 12)
        assert len(file_stem("x" * 2_000, ID)) == 60 + 7
        assert len(file_stem("語" * 2_000, ID).encode()) <= 120 + 7

    @given(st.text(max_size=300))
    def test_any_title_gives_a_name_that_every_system_takes(self, title: str) -> None:
        stem = file_stem(title, ID)
        name = f"{stem}.wav"
        assert len(name.encode()) <= 143
        assert len(unicodedata.normalize("NFD", name).encode("utf-16-le")) // 2 <= 255
        assert all(c.isalnum() or unicodedata.category(c)[0] == "M" or c == "-" for c in stem)
        assert stem[0] not in "-."
        assert unicodedata.category(stem[0])[0] in "LN"
        assert not PureWindowsPath(name).is_reserved()
        # As `datasets` 5.2 looks for splits in file names.
        words = "train|training|validation|valid|dev|val|test|testing|eval|evaluation"
        assert not re.search(rf"(?:^|[-._ 0-9])(?:{words})[-._ 0-9]", name)

    @pytest.mark.parametrize(
        ("name", "suffix"),
        [
            ("a.WAV", ".wav"),
            ("a.tar.mp3", ".mp3"),
            ("a", ""),
            ("a.w v", ""),
            ("a.toolong", ""),
            ("a.\u202e", ""),
        ],
    )
    def test_suffixes(self, name: str, suffix: str) -> None:
        assert file_suffix(name) == suffix

    def test_names_that_some_file_system_takes_for_the_same(self) -> None:
        assert name_key("É") == name_key("e\u0301")
        assert name_key("straße") == name_key("STRASSE")
        assert name_key("a") != name_key("b")


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
        three.export(tmp_path / "c", filters=Filters(tags=("x' OR '1'='1",)))
        assert metadata(tmp_path / "c") == []

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


class TestParquet:
    def test_the_layout_is_that_of_the_audio_feature(self, three: AudioLibrary, tmp_path: Path) -> None:
        report = three.export(tmp_path / "out", parquet=True)
        assert report.clips == 3
        table = pq.read_table(tmp_path / "out" / "data" / "train-00000.parquet")
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        assert features["audio"] == {"_type": "Audio"}
        assert features["tags"] == {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"}
        assert features["duration"] == {"dtype": "float64", "_type": "Value"}
        assert list(features) == table.schema.names
        rows = table.to_pylist()
        for row, clip in zip(rows, three.list(), strict=True):
            audio = row.pop("audio")
            assert audio["bytes"] == clip.path.read_bytes()
            assert re.fullmatch(r"[-\w]+\.(wav|flac)", audio["path"])
            assert row == {key: value for key, value in clip.to_json().items() if key != "path"}
        assert "metadata.jsonl" not in files_of(tmp_path / "out")
        assert '"data/*.parquet"' in (tmp_path / "out" / "README.md").read_text()

    def test_shards_and_groups_are_small(
        self, three: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parquet, "_GROUP_ROWS", 2)
        # Less than any clip takes: two that sound the same are stored once in a group.
        monkeypatch.setattr(parquet, "_SHARD_BYTES", 1_000)
        put_clip(three.path, "four")
        put_clip(three.path, "five")
        three.export(tmp_path / "out", parquet=True)
        shards = sorted((tmp_path / "out" / "data").iterdir())
        assert [shard.name for shard in shards] == [f"train-0000{n}.parquet" for n in range(3)]
        assert [pq.read_metadata(shard).num_rows for shard in shards] == [2, 2, 1]

    def test_an_update_adds_a_shard(self, three: AudioLibrary, tmp_path: Path) -> None:
        three.export(tmp_path / "out", parquet=True, csv=True)
        first = tmp_path / "out" / "data" / "train-00000.parquet"
        before = first.read_bytes()
        put_clip(three.path, "new")
        report = three.export(tmp_path / "out", parquet=True, update=True)
        assert (report.clips, report.added) == (4, 1)
        assert first.read_bytes() == before
        assert pq.read_metadata(first.with_name("train-00001.parquet")).num_rows == 1
        assert len((tmp_path / "out" / "clips.csv").read_text().splitlines()) == 5
        assert three.export(tmp_path / "out", parquet=True, update=True).added == 0
        assert len(list(first.parent.iterdir())) == 2

    def test_one_that_was_cut_off_leaves_whole_shards(
        self, three: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parquet, "_GROUP_ROWS", 1)
        monkeypatch.setattr(parquet, "_SHARD_BYTES", 1)

        def stop(done: int, total: int) -> None:
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            three.export(tmp_path / "out", parquet=True, progress=stop)
        assert {n for n in files_of(tmp_path / "out") if "data" in n} == {
            f"data/train-0000{n}.parquet" for n in (0, 1)
        }
        report = three.export(tmp_path / "out", parquet=True, update=True)
        assert (report.clips, report.added) == (3, 1)

    def test_a_file_too_large_for_a_value_is_left_out(
        self, three: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clip = three.get("last")
        with clip.path.open("ab") as file:
            file.truncate(parquet.MAX_FILE_BYTES + 1)  # sparse: takes no room
        report = three.export(tmp_path / "out", parquet=True)
        assert report.clips == 2
        assert "too large" in report.left_out[0]


class TestCommand:
    def test_for_people(self, cli: Run, three: AudioLibrary, tmp_path: Path) -> None:
        result = cli("export", "out", "--library", str(three.path))
        assert result.exit_code == 0
        assert re.fullmatch(r"3 clips in out, 3 copied \(\d+\.\d kB\)\.\n", result.stdout)

    def test_json(self, cli: Run, three: AudioLibrary, tmp_path: Path) -> None:
        result = cli("export", "out", "--library", str(three.path), "--json", "--m3u8", "--csv", "-n", "2")
        report = json.loads(result.stdout)
        assert (report["folder"], report["clips"], report["left_out"]) == (str(tmp_path / "out"), 2, [])
        assert files_of(tmp_path / "out") >= {"clips.csv", "clips.m3u8", "metadata.jsonl", "README.md"}

    def test_what_cannot_be_read_is_told_and_the_rest_exported(
        self, cli: Run, three: AudioLibrary, tmp_path: Path
    ) -> None:
        clips = list(three.list())
        clips[0].path.unlink()
        clips[1].path.with_suffix(".json").write_text("{")
        result = cli("export", "out", "--library", str(three.path))
        assert result.exit_code == 1
        assert result.stdout.startswith("1 clip in out, 1 copied")
        assert clips[0].path.name in result.stderr
        assert "is damaged" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--parquet", "--m3u8"], "playlist needs audio files"),
            (["--sort", "colour"], "colour"),
            (["--bpm", "fast"], "'fast' is no range"),
        ],
    )
    def test_wrong_usage(self, cli: Run, three: AudioLibrary, arguments: list[str], reason: str) -> None:
        result = cli("export", "out", "--library", str(three.path), *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert reason in result.stderr
        assert result.stderr.count("\n") == 1
        assert not os.path.exists("out")

    def test_nothing_is_made_without_a_library(self, cli: Run, tmp_path: Path) -> None:
        result = cli("export", "out")
        assert result.exit_code == 1
        assert files_of(tmp_path) == set()
        assert not (tmp_path / "out").exists()


def test_a_library_is_whole_without_its_exports(three: AudioLibrary, tmp_path: Path) -> None:
    three.export(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert all(clip.path.is_file() for clip in three.list())
