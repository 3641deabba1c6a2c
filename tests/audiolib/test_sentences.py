"""What is said where there is only one of something, or nothing at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from collection import RATE, put_clip, tone
from damages import embed_otherwise
from library_files import files_of, forget

from audiolib import AudioLibrary, Clip
from audiolib.errors import LibraryBusyError
from audiolib.folder import LibraryFolder
from generation.audio import save_audio
from indexing.filters import Filters

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _this_library(monkeypatch: pytest.MonkeyPatch, library: AudioLibrary) -> None:
    monkeypatch.setenv("AUDIOLIB_LIBRARY", str(library.path))


class TestOne:
    def test_clip_waits_for_a_transcript(self, cli: Run, library: AudioLibrary) -> None:
        clips = [put_clip(library.path, title, measured=True) for title in ("calm piano", "happy rock")]
        said = cli("index", "--transcribe").stdout
        assert "\n2 wait for a transcript. No Whisper model" in said
        forget(clips[0])
        said = cli("index", "--transcribe").stdout
        assert "\n1 waits for a transcript. No Whisper model" in said
        assert "\n1 whose files are gone was taken out of the index.\n" in said

    @pytest.mark.slow  # sentence-transformers is asked, and takes seconds to import
    def test_clip_waits_for_an_embedder(
        self, cli: Run, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AUDIOLIB_EMBEDDER", "no/such")
        LibraryFolder(library.path).create(embedder="no/such")
        put_clip(library.path, "calm piano", measured=True)
        assert "\n1 waits for an embedder. " in cli("index").stdout

    def test_file_is_young(self, cli: Run, library: AudioLibrary) -> None:
        clip = put_clip(library.path, "calm piano", measured=True)
        for name, said in (("a", "One file is younger"), ("b", "2 files are younger")):
            clip.path.with_name(f".{clip.id}.0123abc{name}.tmp.json").touch()
            assert f"{said} than ten minutes and may still be written." in cli("check").stdout

    def test_clip_has_the_vector_of_another_embedder(self, cli: Run, library: AudioLibrary) -> None:
        put_clip(library.path, "calm piano", measured=True)
        library.index()
        embed_otherwise(library, [])
        said = cli("check").stdout
        assert "One clip has vectors of " in said
        assert said.endswith("1 clip checked, 1 to look at. `audiolib check --repair` mends it.\n")

    def test_second(self, library: AudioLibrary, clip: Clip) -> None:
        folder = LibraryFolder(library.path)
        with (
            folder.lock(),
            pytest.raises(LibraryBusyError, match=r"for 1 second\. "),
            LibraryFolder(library.path, lock_timeout=1).lock(),
        ):
            pass


class TestNone:
    def test_nothing_to_bring_back(self, cli: Run, library: AudioLibrary) -> None:
        clip = put_clip(library.path, "calm piano", measured=True)
        result = cli("trash", "restore", "--all")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "The trash is empty.\n")
        result = cli("trash", "restore", "--all", "--json")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
        library.remove(clip)
        result = cli("trash", "restore", "--all")
        assert (result.stdout.split()[:3], result.stderr) == (["back:", "calm", "piano"], "")

    def test_clip_to_list(self, cli: Run, library: AudioLibrary) -> None:
        LibraryFolder(library.path).create(embedder="all-MiniLM-L6-v2")
        for arguments in ([], ["--sort", "bpm"], ["--tag", "lofi"]):
            assert cli("list", *arguments).stderr == "The library is empty.\n"
        assert library.count() == 0
        clip = put_clip(library.path, "calm piano", measured=True)
        unindexed = "One clip is not indexed yet. `audiolib index` catches up.\n"
        assert cli("list", "--sort", "bpm").stderr == f"{unindexed}None of the clips can be listed.\n"
        assert cli("list", "--tag", "lofi").stderr == f"{unindexed}No clip is like that.\n"
        clip.path.with_suffix(".json").write_text("{")
        said = cli("list").stderr
        assert "is damaged" in said
        assert said.endswith("\nNone of the clips can be listed.\n")
        assert library.count() == 1

    def test_clip_to_compare_with(self, cli: Run, library: AudioLibrary, tmp_path: Path) -> None:
        save_audio(tmp_path / "tone.wav", tone(440, seconds=0.5), RATE)
        clip = put_clip(library.path, "calm piano", sound=tone(440, seconds=0.5))
        library.index()
        assert cli("similar", "last").stderr == "There is no other clip to compare it with.\n"
        put_clip(library.path, "happy rock", sound=tone(550, seconds=0.5))
        library.index()
        shutil.rmtree(library.path / "index")
        unindexed = "2 clips are not indexed yet. `audiolib index` catches up.\n"
        for arguments in ([clip.id], ["--file", "tone.wav"]):
            said = cli("similar", *arguments).stderr
            assert said == f"{unindexed}None of the other clips can be compared with it.\n"
        for each in list(library.list()):
            forget(each)
        assert cli("similar", "--file", "tone.wav").stderr == "The library is empty.\n"

    @pytest.mark.parametrize("parquet", [False, True])
    def test_clip_to_export(self, cli: Run, library: AudioLibrary, tmp_path: Path, parquet: bool) -> None:
        clip = put_clip(library.path, "calm piano", measured=True, tags=("lofi",))
        library.index()
        kind = ["--parquet"] if parquet else []
        for more in ([], ["--update"], ["--csv"]):
            result = cli("export", "out", "--tag", "none", *kind, *more)
            assert (result.exit_code, result.stdout) == (0, "")
            assert result.stderr == "No clip is like that.\nNothing was exported.\n"
        assert not (tmp_path / "out").exists()
        report = json.loads(cli("export", "out", "--tag", "none", "--json", *kind).stdout)
        assert (report["clips"], report["added"], report["folder"]) == (0, 0, str(tmp_path / "out"))
        (tmp_path / "out").mkdir()
        assert cli("export", "out", "--tag", "none", *kind).exit_code == 0
        assert files_of(tmp_path / "out") == set()
        assert library.export("out", parquet=parquet).clips == 1
        before = files_of(tmp_path / "out")
        # An earlier export stays one, and what is wrong with the folder is told all the same.
        report = library.export(
            "out", filters=Filters(tags=("none",)), parquet=parquet, update=True, csv=True
        )
        assert (report.clips, report.added) == (1, 0)
        assert files_of(tmp_path / "out") == before | {"clips.csv"}
        assert "holds an earlier export" in cli("export", "out", "--tag", "none", *kind).stderr
        clip.path.with_suffix(".json").write_text("{")
        result = cli("export", "other", *kind)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.endswith("\nNothing was exported.\n")
        assert not (tmp_path / "other").exists()
