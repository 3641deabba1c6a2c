"""`check`: every kind of damage is found, named and mended, and nothing of anybody's is lost on the way."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damages import (
    DAMAGES,
    Damage,
    break_the_sidecar,
    break_the_sidecar_of_a_voice,
    change_the_words,
    lose_a_data_file,
    lose_a_row,
    lose_the_files,
    lose_the_vector,
    rename_the_audio,
    stop_a_removal,
)
from library_stock import documents, findable, make_old, open_stock, sidecar_of

from audiolib import AudioLibrary, Clip
from audiolib.checking.findings import CheckReport
from audiolib.errors import LibraryFormatError
from audiolib.folder import LIBRARY_FORMAT
from audiolib.sidecars import read_sidecar
from generation.audio import load_audio, save_audio


@pytest.fixture
def library(mixed: AudioLibrary) -> AudioLibrary:
    return mixed


@pytest.fixture
def clips(library: AudioLibrary) -> list[Clip]:
    """Oldest first: a tagged and rated WAV, a FLAC, one with a transcript."""
    return list(library.list())[::-1]


def kinds(report: CheckReport) -> list[str]:
    return [finding.kind for finding in report.findings]


def test_a_whole_library_is_clean(library: AudioLibrary) -> None:
    seen: list[tuple[int, int]] = []
    report = library.check(progress=lambda done, total: seen.append((done, total)))
    assert (report.clips, report.findings, report.clean) == (3, (), True)
    assert seen[-1] == (3, 3)
    assert library.check(repair=True).findings == ()


def test_what_changes_while_it_is_checked_is_no_damage(library: AudioLibrary, clips: list[Clip]) -> None:
    def tag(done: int, total: int) -> None:
        library.tag(clips[0], add=["jazz"])

    assert library.check(progress=tag).findings == ()


FAST = {lose_a_row, change_the_words, lose_a_data_file, break_the_sidecar, stop_a_removal}


@pytest.mark.parametrize(
    "damage",
    [d if d in FAST else pytest.param(d, marks=pytest.mark.slow) for d in DAMAGES],
    ids=lambda damage: damage.__name__,
)
def test_damage_is_found_and_mended(library: AudioLibrary, clips: list[Clip], damage: Damage) -> None:
    before = documents(library.path)
    kind = damage(library, clips)
    report = library.check()
    assert kind in kinds(report)
    assert not report.clean
    repaired = library.check(repair=True)
    assert repaired.clean
    assert all(finding.repaired for finding in repaired.findings)
    assert library.check().findings == ()
    gone = {clips[0].id} if damage in (lose_the_files, stop_a_removal) else set()
    assert findable(library) == {clip.id for clip in clips} - gone
    if damage not in (change_the_words, rename_the_audio, lose_the_files, stop_a_removal):
        after = documents(library.path)
        if damage is break_the_sidecar_of_a_voice:  # by what it was heard stood nowhere else
            del before[clips[2].id]["transcription"]
        assert after == before  # tags, ratings, transcripts, recipes: all is as it was


def test_a_broken_sidecar_is_kept_aside(library: AudioLibrary, clips: list[Clip]) -> None:
    path = sidecar_of(library.path, clips[0].id)
    path.write_text('{"half')
    library.check(repair=True)
    path.write_text('{"another half')
    library.check(repair=True)
    asides = sorted(path.parent.glob(f"{path.name}.damaged*"))
    assert [aside.read_text() for aside in asides] == ['{"half', '{"another half']
    assert library.get(clips[0].id).tags == clips[0].tags


def test_without_its_row_a_broken_sidecar_still_has_its_recipe(
    library: AudioLibrary, clips: list[Clip]
) -> None:
    shutil.rmtree(library.path / "index")
    sidecar_of(library.path, clips[0].id).write_text("")
    assert library.check(repair=True).clean
    assert library.get(clips[0].id) == replace(clips[0], rating=None)
    assert library.reproduce(clips[0].id).codes_compared


@pytest.mark.slow
class TestAudio:
    def test_lost_audio_is_named_with_the_command_that_makes_it_again(
        self, library: AudioLibrary, clips: list[Clip]
    ) -> None:
        clips[0].path.unlink()
        assert library.check().findings == library.check().findings  # looking changes nothing
        report = library.check(repair=True)
        (finding,) = report.findings
        assert (finding.kind, finding.severity, finding.repaired) == ("audio-missing", "error", False)
        assert f"audiolib regenerate {clips[0].id}" in (finding.by_hand or "")
        assert not report.clean
        library.reproduce(clips[0].id)
        assert library.check().clean

    def test_lost_tokens_likewise(self, library: AudioLibrary, clips: list[Clip]) -> None:
        clips[0].path.with_name(f"{clips[0].id}.codes.npz").unlink()
        assert kinds(library.check(repair=True)) == ["codes-missing"]
        library.reproduce(clips[0].id)
        assert library.check().clean

    def test_new_tags_in_the_file_are_no_damage(self, library: AudioLibrary, clips: list[Clip]) -> None:
        from mutagen.flac import FLAC

        tagged = FLAC(clips[1].path)
        tagged["artist"] = "somebody"
        tagged.save()
        report = library.check()
        assert kinds(report) == ["audio-changed"]
        assert "sounds the same" in report.findings[0].sentence
        assert library.check(quick=True).findings == ()
        assert library.check(repair=True).clean
        assert library.reproduce(clips[1].id)

    def test_another_sound_is_followed_and_measured(self, library: AudioLibrary, clips: list[Clip]) -> None:
        _samples, rate = load_audio(clips[0].path)
        tone = np.sin(np.arange(rate) * 2 * np.pi * 440 / rate).astype(np.float32) / 4
        save_audio(clips[0].path, tone, rate)
        assert kinds(library.check()) == ["audio-changed"]
        assert library.check(repair=True).clean
        now = library.get(clips[0].id)
        assert now.duration == 1.0
        assert (now.tags, now.rating, now.prompt) == (clips[0].tags, 4, clips[0].prompt)
        assert now.loudness_lufs != clips[0].loudness_lufs
        document = read_sidecar(sidecar_of(library.path, now.id)).document
        assert document["original"]["audio_sha256"] == clips[0].audio_sha256
        assert document["recipe"]["seed"] == 1

    @pytest.mark.parametrize("content", [b"", b"RIFF", "half"])
    def test_damaged_audio_is_never_taken_for_a_change(
        self, library: AudioLibrary, clips: list[Clip], content: bytes | str
    ) -> None:
        whole = clips[0].path.read_bytes()
        clips[0].path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
        before = documents(library.path)
        (finding,) = library.check(repair=True).findings
        assert (finding.kind, finding.repaired) == ("audio-damaged", False)
        assert "regenerate" in (finding.by_hand or "")
        assert documents(library.path) == before
        clips[0].path.rename(clips[0].path.with_suffix(".moved"))
        library.reproduce(clips[0].id)
        assert library.check().clean


class TestWhatIsLeftAlone:
    def test_odd_files_are_named_and_kept(
        self, library: AudioLibrary, clips: list[Clip], tmp_path: Path
    ) -> None:
        home = clips[0].path.parent
        odd = [home / "notes.txt", home / "my own song.wav", home / f"{clips[0].id}-cover.jpg"]
        for path in odd:
            path.write_bytes(b"mine")
        (home / ".DS_Store").write_bytes(b"")
        (home / "elsewhere").symlink_to(tmp_path)
        (home / "loop").symlink_to(home)
        make_old(library.path)
        report = library.check(repair=True)
        assert report.clean
        assert {finding.path for finding in report.findings} == {*odd, home / "elsewhere", home / "loop"}
        assert all((f.severity, f.repaired) == ("note", False) for f in report.findings)
        assert all(path.read_bytes() == b"mine" for path in odd)

    def test_what_may_still_be_written_is_left(self, library: AudioLibrary, clips: list[Clip]) -> None:
        sidecar = sidecar_of(library.path, clips[0].id)
        temporary = sidecar.with_name(f".{sidecar.stem}.0123abcd.tmp.json")
        sidecar.rename(temporary)
        os.utime(temporary)
        os.utime(clips[0].path)
        report = library.check(repair=True)
        assert temporary.exists()
        assert "in-progress" in kinds(report)
        assert not {"without-sidecar", "stale-temporary"} & set(kinds(report))

    def test_a_sidecar_of_a_newer_format_is_left(self, library: AudioLibrary, clips: list[Clip]) -> None:
        path = sidecar_of(library.path, clips[0].id)
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
        text = path.read_text()
        report = library.check(repair=True)
        assert kinds(report) == ["sidecar-newer"]
        assert "Update audiolib" in report.findings[0].sentence
        assert path.read_text() == text

    def test_two_sidecars_of_one_id(self, library: AudioLibrary, clips: list[Clip]) -> None:
        other = library.path / "audio" / "copies"
        other.mkdir()
        shutil.copy(sidecar_of(library.path, clips[0].id), other)
        (finding,) = library.check(repair=True).findings
        assert (finding.kind, finding.clip_id, finding.path) == (
            "duplicate-id",
            clips[0].id,
            other / f"{clips[0].id}.json",
        )
        assert other.joinpath(f"{clips[0].id}.json").exists()

    def test_a_library_of_a_newer_format_is_refused(self, library: AudioLibrary) -> None:
        manifest = library.path / "library.json"
        manifest.write_text(json.dumps({"format": LIBRARY_FORMAT + 1}))
        for repair in (False, True):
            with pytest.raises(LibraryFormatError, match="Update audiolib"):
                library.check(repair=repair)

    @pytest.mark.slow  # sentence-transformers is imported to look for it
    def test_without_an_embedder_the_reason_is_known(
        self, library: AudioLibrary, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lose_the_vector(library, clips)
        edit = json.loads((library.path / "library.json").read_text())
        (library.path / "library.json").write_text(json.dumps({**edit, "embedder": "nobody/knows-it"}))
        report = open_stock(library.path).check(repair=True)
        assert "vector-missing" in kinds(report)
        assert not report.clean


class TestCommand:
    def test_it_says_what_is_wrong_and_what_to_do(
        self, library: AudioLibrary, clips: list[Clip], cli
    ) -> None:  # type: ignore[no-untyped-def]
        assert cli("check", "--library", str(library.path)).output == "3 clips checked, nothing is wrong.\n"
        clips[0].path.unlink()
        lose_a_row(library, [clips[1]])
        result = cli("check", "--library", str(library.path))
        assert result.exit_code == 1
        first, way_out, *_ = result.output.splitlines()
        assert first == f"error   The audio of clip {clips[0].id} is gone: {clips[0].path}."
        assert way_out.strip() == f"`audiolib regenerate {clips[0].id}` makes it again."
        last = result.output.splitlines()[-1]
        assert last == "3 clips checked, 2 to look at. `audiolib check --repair` mends 1 of them."
        result = cli("check", "--repair", "--library", str(library.path))
        assert result.exit_code == 1
        assert f"mended  Clip {clips[1].id} is not in the search index." in result.output
        assert result.output.splitlines()[-1] == "3 clips checked, 1 mended, 1 to look at."

    def test_json_is_one_finding_a_line(self, library: AudioLibrary, clips: list[Clip], cli) -> None:  # type: ignore[no-untyped-def]
        lose_a_row(library, clips)
        result = cli("check", "--json", "--library", str(library.path))
        (line,) = result.stdout.splitlines()
        found = json.loads(line)
        assert (found["kind"], found["clip_id"], found["repaired"]) == ("row-missing", clips[0].id, False)
        result = cli("check", "--repair", "--json", "--library", str(library.path))
        assert result.exit_code == 0
        assert json.loads(result.stdout)["repaired"] is True
        assert cli("check", "--json", "--library", str(library.path)).stdout == ""

    def test_many_of_a_kind_are_counted(self, library: AudioLibrary, clips: list[Clip], cli) -> None:  # type: ignore[no-untyped-def]
        for number in range(25):
            (clips[0].path.parent / f"note {number}.txt").touch()
        result = cli("check", "--library", str(library.path))
        assert result.exit_code == 0
        assert "and 15 more like that (odd-file)" in result.output

    def test_where_there_is_no_library_none_is_made(self, cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        result = cli("check", "--library", str(tmp_path / "nothing"))
        assert result.exit_code == 1
        assert "There is no library" in result.output
        assert not (tmp_path / "nothing").exists()
