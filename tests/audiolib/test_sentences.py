"""What is said where there is only one of something, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result
from collection import put_clip
from library_files import forget

from audiolib import AudioLibrary, Clip
from audiolib.errors import LibraryBusyError
from audiolib.folder import LibraryFolder

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
