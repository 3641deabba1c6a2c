"""The trash beside other processes, with what systems leave in folders, and with notes of no date."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result
from collection import put_clip
from library_files import files_of

from audiolib import AudioLibrary, Clip, trash

Run = Callable[..., Result]


@pytest.fixture
def clips(library: AudioLibrary) -> list[Clip]:
    """Three clips, indexed."""
    made = [put_clip(library.path, title, measured=True) for title in ("calm piano", "happy rock", "techno")]
    library.index()
    return made


def test_no_more_is_deleted_than_was_confirmed(
    cli: Run, library: AudioLibrary, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    library.remove(clips[0])

    def confirm(question: str, **_options: object) -> bool:
        assert question == "Delete 1 clip for good?"
        library.remove(clips[1])  # another process, while somebody thinks
        return True

    monkeypatch.setattr("click.confirm", confirm)
    monkeypatch.setattr("audiolib.cli.output.is_terminal", lambda stream: True)
    assert cli("trash", "empty", "--library", str(library.path)).stdout.startswith("1 clip deleted, ")
    assert [entry.id for entry in library.trash()] == [clips[1].id]


def test_one_that_was_removed_again_is_not_the_one_that_was_seen(
    library: AudioLibrary, clips: list[Clip]
) -> None:
    seen = library.remove(clips[0])
    library.restore()
    (now,) = library.remove(clips[0])
    assert now.path == seen[0].path
    assert library.empty_trash(only=seen) == []
    assert library.trash() == [now]


class TestOfTheSystem:
    def test_what_it_leaves_is_no_damage_and_in_nobodys_way(
        self, library: AudioLibrary, clips: list[Clip]
    ) -> None:
        (entry,) = library.remove(clips[0])
        for folder in (entry.path.parent, entry.path, clips[1].path.parent):
            (folder / ".DS_Store").write_bytes(bytes(folder))
        assert library.check().findings == ()
        assert library.check(repair=True).findings == ()
        assert library.trash() == [entry]
        assert library.restore() == [clips[0]]
        assert files_of(library.path / "trash") == {".DS_Store"}
        library.remove(clips[0])
        assert len(library.empty_trash()) == 1

    def test_a_file_that_is_called_like_an_entry_is_none(
        self, library: AudioLibrary, clips: list[Clip]
    ) -> None:
        library.remove(clips[0])
        for name in (clips[1].id, f"{clips[1].id}.2", f"{clips[1].id}.wav"):
            (library.path / "trash" / name).write_bytes(b"mine")
        assert [entry.id for entry in library.trash()] == [clips[0].id]
        assert library.check().findings == ()
        assert library.index().clips == 2
        library.remove(clips[1])
        assert sorted(library.restore(), key=lambda clip: clip.id) == clips[:2]


def test_an_entry_that_goes_while_it_is_read_is_not_there(
    library: AudioLibrary, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stays = library.remove(clips[:2])
    contents = trash._contents

    def slowly(entry: Path) -> list[str]:
        names = contents(entry)
        if entry.name == clips[0].id:
            shutil.rmtree(entry)
        return names

    monkeypatch.setattr(trash, "_contents", slowly)
    assert library.trash() == [stays]


class TestDates:
    def test_ages_before_the_first_year(self, cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
        library.remove(clips[0])
        assert library.trash(older_than=timedelta.max) == []
        result = cli("trash", "empty", "--older-than", "999999w", "-y", "--library", str(library.path))
        assert (result.exit_code, result.stdout) == (0, "0 clips deleted, 0 bytes freed.\n")

    @pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "soon"])
    def test_a_note_of_no_date_is_as_old_as_its_folder(
        self, cli: Run, library: AudioLibrary, clips: list[Clip], moment: str
    ) -> None:
        (entry,) = library.remove(clips[0])
        note = entry.path / "removed.json"
        note.write_text(json.dumps(json.loads(note.read_text()) | {"removed_at": moment}))
        (found,) = library.trash()
        assert abs(found.removed - entry.removed) < timedelta(minutes=5)
        assert cli("trash", "--library", str(library.path)).exit_code == 0
        assert library.restore("last") == [clips[0]]


def test_json_may_be_asked_for_before_the_subcommand(
    cli: Run, library: AudioLibrary, clips: list[Clip]
) -> None:
    library.remove(clips[:2])
    where = ["trash", "--json", "--library", str(library.path)]
    for command in (["list"], ["restore", "last"], ["empty", "-y"]):
        lines = cli(*where, *command).stdout.splitlines()
        assert {json.loads(line)["id"] for line in lines} <= {clip.id for clip in clips}
        assert lines
