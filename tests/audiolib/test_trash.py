"""Removed clips: whole in the trash, whole when they come back, and whole wherever a crash leaves them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result
from library_files import files_of

from audiolib import AudioLibrary, Clip
from audiolib.crashpoints import VARIABLE
from audiolib.errors import AmbiguousClipError, ClipNotFoundError, LibraryError
from audiolib.files import file_sha256
from audiolib.sidecars import read_sidecar, write_sidecar
from audiolib.trash import Trash
from indexing.store import ClipIndex

Run = Callable[..., Result]


@pytest.fixture
def library(stocked: AudioLibrary) -> AudioLibrary:
    return stocked


@pytest.fixture
def clips(library: AudioLibrary) -> list[Clip]:
    return list(library.list())[::-1]


def state(library: AudioLibrary) -> dict[str, str]:
    """Every file of the clips, in the library or the trash, with its digest."""
    names = [name for name in files_of(library.path) if name.startswith(("audio/", "trash/"))]
    return {name: file_sha256(library.path / name) for name in names}


def rows(library: AudioLibrary) -> set[str]:
    return ClipIndex(library.path / "index").ids()


class TestRemoveAndRestore:
    def test_a_removed_clip_is_nowhere(self, library: AudioLibrary, clips: list[Clip]) -> None:
        before = state(library)
        (entry,) = library.remove(clips[0])
        assert (entry.id, entry.title, entry.path) == (
            clips[0].id,
            "calm piano",
            library.path / "trash" / clips[0].id,
        )
        assert (
            entry.size
            == sum(
                (library.path / name).stat().st_size for name in state(library) if name.startswith("trash/")
            )
            - (entry.path / "removed.json").stat().st_size
        )
        assert list(library.list()) == clips[:0:-1]
        assert clips[0].id not in {hit.clip.id for hit in library.search("calm piano")}
        assert rows(library) == {clip.id for clip in clips[1:]}
        with pytest.raises(ClipNotFoundError):
            library.get(clips[0].id)
        kept = {Path(name).name: digest for name, digest in state(library).items()}
        assert {Path(name).name: digest for name, digest in before.items()}.items() <= kept.items()
        assert library.index().clips == 2  # nothing brings it back
        assert library.trash() == [entry]

    def test_it_comes_back_as_it_was(self, library: AudioLibrary, clips: list[Clip]) -> None:
        library.tag(clips[0], add=["lofi"])
        tagged, before = library.get(clips[0].id), state(library)
        library.remove([clips[0], clips[1]])
        assert library.restore(clips[0].id[-6:]) == [tagged]
        assert library.search("calm piano")[0].clip == tagged
        assert [entry.id for entry in library.trash()] == [clips[1].id]
        assert library.restore() == [clips[1]]
        assert state(library) == before
        assert rows(library) == {clip.id for clip in clips}
        assert library.restore() == []

    def test_several_are_found_first(self, library: AudioLibrary, clips: list[Clip]) -> None:
        with pytest.raises(ClipNotFoundError):
            library.remove([clips[0], "nothing"])
        assert library.trash() == []
        assert len(library.remove([clips[0], clips[0].id, clips[1].path])) == 2
        with pytest.raises(ClipNotFoundError, match="audiolib trash"):
            library.restore([clips[0].id, clips[2].id])
        with pytest.raises(AmbiguousClipError):
            library.restore(_common_ending(library))
        assert len(library.trash()) == 4  # two were made up for this

    def test_a_clip_of_a_newer_format_is_back_and_said_so(
        self, library: AudioLibrary, clips: list[Clip], caplog: pytest.LogCaptureFixture
    ) -> None:
        sidecar = clips[0].path.with_name(f"{clips[0].id}.json")
        sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "format": 99}))
        library.remove(clips[0].id)
        assert library.restore() == []
        assert sidecar.exists()
        (said,) = [record.getMessage() for record in caplog.records]
        assert said.startswith(
            f"Clip {clips[0].id} is back, but it cannot be used yet. The sidecar {sidecar} was"
        )
        assert said.endswith("Update audiolib to read it.")

    def test_a_clip_whose_sidecar_is_damaged(self, library: AudioLibrary, clips: list[Clip]) -> None:
        sidecar = clips[0].path.with_name(f"{clips[0].id}.json")
        sidecar.write_text("{")
        (entry,) = library.remove(clips[0].id)
        assert entry.title == ""
        assert files_of(entry.path) >= {sidecar.name, clips[0].path.name}
        assert library.restore("last") == []
        assert sidecar.read_text() == "{"
        assert clips[0].path.exists()

    def test_audio_outside_the_library_is_not_touched(
        self, library: AudioLibrary, clips: list[Clip], tmp_path: Path
    ) -> None:
        mine = tmp_path / "mine.wav"
        shutil.copyfile(clips[0].path, mine)
        sidecar = clips[0].path.with_name(f"{clips[0].id}.json")
        clip = Clip.from_json({**clips[0].to_json(), "path": str(mine), "kind": "imported"})
        write_sidecar(sidecar, clip, recipe=None, codes=None, reference=True)
        clips[0].path.unlink()
        before = mine.read_bytes(), mine.stat().st_mtime_ns
        library.remove(clip)
        library.empty_trash()
        assert (mine.read_bytes(), mine.stat().st_mtime_ns) == before

    def test_only_the_clips_own_files_go(self, library: AudioLibrary, clips: list[Clip]) -> None:
        """A sidecar that names another clip's audio takes it to nowhere."""
        sidecar = clips[0].path.with_name(f"{clips[0].id}.json")
        document = json.loads(sidecar.read_text()) | {"file": clips[1].path.name}
        sidecar.write_text(json.dumps(document))
        library.remove(clips[0].id)
        assert clips[1].path.exists()

    def test_an_id_that_comes_back_and_goes_again(self, library: AudioLibrary, clips: list[Clip]) -> None:
        copies = {path: path.read_bytes() for path in clips[0].path.parent.glob(f"{clips[0].id}*")}
        library.remove(clips[0])
        for path, data in copies.items():
            path.write_bytes(data)
        library.tag(clips[0], add=["second"])
        library.index()
        with pytest.raises(LibraryError, match="in the way"):
            library.restore(clips[0].id)
        assert library.get(clips[0].id).tags == ("second",)
        library.remove(clips[0])
        assert len(library.trash()) == 2
        assert library.restore("last")[0].tags == ("second",)
        assert len(library.trash()) == 1

    def test_a_note_that_leads_out_is_not_followed(
        self, library: AudioLibrary, clips: list[Clip], tmp_path: Path
    ) -> None:
        (entry,) = library.remove(clips[0])
        note = entry.path / "removed.json"
        for folder in ("../../outside", "/outside", "index", "audio/../..", 7, None):
            note.write_text(json.dumps({"folder": folder, "files": ["../x", 3], "removed_at": 5}))
            assert library.restore() == [clips[0]]
            library.remove(clips[0])
        note.unlink()
        assert library.restore() == [clips[0]]

    def test_a_library_that_was_copied(
        self, library: AudioLibrary, clips: list[Clip], tmp_path: Path
    ) -> None:
        library.remove(clips[0])
        shutil.copytree(library.path, tmp_path / "elsewhere")
        copy = AudioLibrary(tmp_path / "elsewhere", settings=library.settings)
        assert copy.restore()[0].path.is_relative_to(tmp_path / "elsewhere")


class TestEmpty:
    def test_what_is_old_enough_goes_for_good(self, library: AudioLibrary, clips: list[Clip]) -> None:
        old, new = library.remove(clips[:2])
        note = old.path / "removed.json"
        note.write_text(json.dumps(json.loads(note.read_text()) | {"removed_at": "2026-01-01T00:00:00Z"}))
        assert library.trash(older_than=timedelta(days=30))[0].id == old.id
        assert [entry.id for entry in library.empty_trash(older_than=timedelta(days=30))] == [old.id]
        assert library.trash() == [new]
        assert [entry.id for entry in library.empty_trash()] == [new.id]
        assert files_of(library.path / "trash") == set()
        assert library.empty_trash() == []

    def test_commands(
        self, cli: Run, library: AudioLibrary, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AUDIOLIB_LIBRARY", str(library.path))
        result = cli("remove", "last", clips[0].id)
        assert (result.exit_code, result.stdout) == (0, "in the trash: techno\nin the trash: calm piano\n")
        header, *lines = cli("trash").stdout.splitlines()
        assert header.split() == ["id", "title", "removed", "size"]
        assert {line.split()[0] for line in lines} == {clips[0].id[-6:], clips[2].id[-6:]}
        for command in (["trash", "--json"], ["trash", "list", "--json"]):
            entries = [json.loads(line) for line in cli(*command).stdout.splitlines()]
            assert entries == [entry.to_json() for entry in library.trash()]
        result = cli("trash", "empty")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "-y" in result.stderr
        assert cli("trash", "empty", "--older-than", "1d", "-y").stdout == "0 clips deleted, 0 bytes freed.\n"
        assert cli("trash", "empty", "--older-than", "soon").exit_code == 2
        assert cli("trash", "restore").exit_code == 2
        assert json.loads(cli("trash", "restore", "last", "--json").stdout)["id"] in {c.id for c in clips}
        assert "back: " in cli("trash", "restore", "--all").stdout
        assert "The trash is empty." in cli("trash").stderr
        cli("remove", "last")
        assert cli("trash", "empty", "-y").stdout.startswith("1 clip deleted, ")

    def test_the_library_may_be_named_before_the_subcommand(
        self, cli: Run, library: AudioLibrary, clips: list[Clip]
    ) -> None:
        library.remove(clips[0])
        for command in (
            ["trash", "--library", str(library.path), "list"],
            ["trash", "list", "--library", str(library.path)],
        ):
            assert "calm piano" in cli(*command).stdout


SCRIPT = """
import sys
from audiolib import AudioLibrary
from audiolib.settings import Settings
library = AudioLibrary(sys.argv[1], settings=Settings(model="tiny"))
action, clip = sys.argv[2:]
if action == "empty":
    library.empty_trash()
elif action == "tag":
    library.tag(clip, add=["new"])
else:
    getattr(library, action)(clip)
"""


def crashed(library: AudioLibrary, action: str, clip: Clip, at: str) -> None:
    """Run an action that dies at a step."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(library.path), action, clip.id],
        env={**os.environ, VARIABLE: at},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr


@pytest.mark.slow  # every step is crashed at by test_crash.py as well, which looks less closely at the files
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
class TestCrashes:
    @pytest.mark.parametrize(
        ("step", "stays"),
        [
            ("remove.note-written", True),
            ("remove.sidecar-moved", False),
            ("remove.files-moved", False),
            ("remove.row-removed", False),
        ],
    )
    def test_while_removing(self, library: AudioLibrary, clips: list[Clip], step: str, stays: bool) -> None:
        before = state(library)
        crashed(library, "remove", clips[0], step)
        found = {clip.id for clip in library.list()} | {hit.clip.id for hit in library.search("piano")}
        assert (clips[0].id in found) is stays
        _whole(library, clips[0], before, in_trash=not stays)

    @pytest.mark.parametrize(
        ("step", "back"),
        [("restore.files-moved", False), ("restore.sidecar-moved", True), ("restore.row-written", True)],
    )
    def test_while_restoring(self, library: AudioLibrary, clips: list[Clip], step: str, back: bool) -> None:
        before = state(library)
        library.remove(clips[0])
        crashed(library, "restore", clips[0], step)
        assert (clips[0].id in {clip.id for clip in library.list()}) is back
        _whole(library, clips[0], before, in_trash=not back)

    def test_while_emptying(self, library: AudioLibrary, clips: list[Clip]) -> None:
        library.remove(clips[:2])
        crashed(library, "empty", clips[0], "empty.renamed")
        assert len(library.trash()) == 1  # wholly there or wholly gone
        library.index()
        assert len(library.restore()) == 1
        assert files_of(library.path / "trash") == set()

    def test_tags_are_old_or_new(self, library: AudioLibrary, clips: list[Clip]) -> None:
        for step in ("tag.sidecar-written", "tag.row-written"):
            crashed(library, "tag", clips[0], step)
            assert library.get(clips[0].id).tags == ("new",)
            library.tag(clips[0], replace=())  # nothing is in the way of the next


def _whole(library: AudioLibrary, clip: Clip, before: dict[str, str], *, in_trash: bool) -> None:
    """After the next `index` a clip is wholly in one place, and the other clips are as they were."""
    report = library.index()
    assert report.completed == 0
    assert rows(library) == {found.id for found in library.list()}
    assert [entry.id for entry in library.trash()] == ([clip.id] if in_trash else [])
    if in_trash:
        own = {Path(name).name for name in before if clip.id in name}
        assert files_of(library.path / "trash" / clip.id) == {*own, "removed.json"}
        assert library.restore() == [clip]
    assert state(library) == before
    assert library.search("calm piano")[0].clip == clip
    assert files_of(library.path / "trash") == set()


def test_another_disk(library: AudioLibrary, clips: list[Clip]) -> None:
    """Where `audio` is a link to another disk, files are copied and then taken away."""
    memory = Path("/dev/shm")  # noqa: S108  # a file system of its own, where there is one
    elsewhere = memory / f"audiolib-{os.getpid()}"
    if not memory.is_dir() or memory.stat().st_dev == library.path.stat().st_dev:
        pytest.skip("there is no other disk here")
    try:
        shutil.copytree(library.path / "audio", elsewhere)
        shutil.rmtree(library.path / "audio")
        (library.path / "audio").symlink_to(elsewhere)
        library.remove(clips[0])
        assert not list(elsewhere.rglob(f"{clips[0].id}*"))
        assert library.restore() == [clips[0]]
        assert library.get(clips[0].id) == clips[0]
        # Killed between the copy and the taking away: the library's is the one that counts.
        (entry,) = library.remove(clips[0])
        shutil.copytree(entry.path, clips[0].path.parent, dirs_exist_ok=True)
        clips[0].path.with_name("removed.json").unlink()
        assert Trash(library._folder).mend() == 1
        assert library.trash() == []
        assert read_sidecar(clips[0].path.with_name(f"{clips[0].id}.json")).clip == clips[0]
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)


def _common_ending(library: AudioLibrary) -> str:
    """An ending that all ids share, made by giving the entries such ids."""
    (library.path / "trash" / ("0" * 26)).mkdir()
    (library.path / "trash" / ("1" + "0" * 25)).mkdir()
    for name in ("0" * 26, "1" + "0" * 25):
        (library.path / "trash" / name / f"{name}.json").write_text("{}")
    return "0" * 20
