"""What an export looks like: names of files, Parquet, the command."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from collection import put_clip
from hypothesis import given
from hypothesis import strategies as st
from library_files import files_of

from audiolib import AudioLibrary
from audiolib.errors import InvalidInputError
from audiolib.exporting import parquet
from audiolib.exporting.names import file_stem, file_suffix, name_key

Run = Callable[..., Result]
ID = "01KANDTHAT1SALLTHERE1S7XK2"


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

    @pytest.mark.parametrize(
        "columns",
        [None, {"a": [1]}, {"audio": [1], "id": ["x"], "sha256": ["y"]}, {"audio": [{"path": "a.wav"}]}],
    )
    def test_a_shard_that_is_damaged_or_none_is_told(
        self, three: AudioLibrary, tmp_path: Path, columns: dict[str, Any] | None
    ) -> None:
        three.export(tmp_path / "out", parquet=True)
        shard = tmp_path / "out" / "data" / "train-00000.parquet"
        if columns is None:
            shard.write_bytes(shard.read_bytes()[:-20])
        else:
            pq.write_table(pa.table(columns), shard)
        before = shard.read_bytes()
        with pytest.raises(InvalidInputError, match="Remove it and run this again"):
            three.export(tmp_path / "out", parquet=True, update=True)
        assert shard.read_bytes() == before
        shard.unlink()
        assert three.export(tmp_path / "out", parquet=True, update=True).added == 3

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
