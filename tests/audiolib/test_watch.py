"""`audiolib watch`: what is there and what comes, when it is whole; folders that vanish."""

from __future__ import annotations

import json
import logging
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result
from sound_files import write_album, write_sound

from audiolib import AudioLibrary, ImportOutcome
from audiolib.errors import InvalidInputError, LibraryBusyError
from audiolib.folder import LibraryFolder
from audiolib.importing import run
from audiolib.importing.run import Importer
from audiolib.importing.scanning import scan
from audiolib.importing.values import ImportOptions
from audiolib.importing.watching import Watcher
from audiolib.settings import Settings
from generation.errors import AudioError

INTERVAL = 0.05


def raise_(error: Exception) -> None:
    raise error


@contextmanager
def watching(library: AudioLibrary, folder: Path) -> Iterator[queue.Queue[ImportOutcome]]:
    """Outcomes of a watcher that runs in a thread."""
    watcher = Watcher(
        folder,
        library=library.path,
        importer=library._importer(),
        options=ImportOptions(),
        interval=INTERVAL,
    )
    outcomes: queue.Queue[ImportOutcome] = queue.Queue()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            for outcome in watcher.run():
                outcomes.put(outcome)
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield outcomes
    finally:
        watcher.stop()
        thread.join(timeout=30)
    assert not thread.is_alive()
    assert not failures


def test_what_is_there_and_what_comes(library: AudioLibrary, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_sound(folder / "a.wav", seed=0)
    with watching(library, folder) as outcomes:
        assert outcomes.get(timeout=30).source == folder / "a.wav"
        write_sound(folder / "deeper" / "b.wav", seed=1)
        assert outcomes.get(timeout=30).source == folder / "deeper" / "b.wav"
        shutil.copy(folder / "a.wav", folder / "c.wav")
        assert outcomes.get(timeout=30).status == "present"
    assert len(list(library.list())) == 2


def test_a_file_is_taken_when_it_is_whole(library: AudioLibrary, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    data = write_sound(tmp_path / "a.wav", seconds=4).read_bytes()
    watcher = Watcher(
        folder, library=library.path, importer=library._importer(), options=ImportOptions(), interval=INTERVAL
    )
    taken = []
    with (folder / "a.wav").open("wb") as file:  # each look sees more of it
        for start in range(0, len(data), 10_000):
            file.write(data[start : start + 10_000])
            file.flush()
            look = watcher._look()
            watcher._seen = look.stamps
            taken += look.ready
            assert look.unsettled
    assert taken == []
    assert [item.path for item in watcher._look().ready] == [folder / "a.wav"]


def test_an_empty_file_is_waited_for(library: AudioLibrary, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").touch()
    assert list(library.watch(tmp_path / "in", once=True, interval=INTERVAL)) == []


def test_a_bad_file_is_told_once_and_tried_when_it_changes(library: AudioLibrary, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.wav").write_text("not yet")
    (folder / "b.wav").symlink_to("/etc/passwd")
    with watching(library, folder) as outcomes:
        assert sorted(outcomes.get(timeout=30).status for _ in range(2)) == ["failed", "skipped"]
        with pytest.raises(queue.Empty):
            outcomes.get(timeout=6 * INTERVAL)
        write_sound(folder / "a.wav")
        assert outcomes.get(timeout=30).status == "added"


def test_a_folder_that_vanishes_is_waited_for(
    library: AudioLibrary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    write_album(folder, 2)
    with caplog.at_level(logging.WARNING, "audiolib"), watching(library, folder) as outcomes:
        assert {outcomes.get(timeout=30).status for _ in range(2)} == {"added"}
        shutil.rmtree(folder)
        while "is gone" not in caplog.text:
            assert outcomes.empty()
        write_album(folder, 3)
        assert [outcomes.get(timeout=30).status for _ in range(3)] == ["present", "present", "added"]
    assert [record.getMessage().split(" is ", 1)[1] for record in caplog.records] == [
        "gone; it is waited for.",
        "back.",
    ]


def test_files_that_vanish_between_the_looks(
    library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_album(tmp_path / "in", 3)
    taking = Importer.take

    def take(self: Importer, items: object, *rest: object, **options: object) -> object:
        files[1].unlink()
        return taking(self, items, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Importer, "take", take)
    outcomes = list(library.watch(tmp_path / "in", once=True, interval=INTERVAL))
    assert [(outcome.source, outcome.status) for outcome in outcomes] == [
        (files[0], "added"),
        (files[2], "added"),
    ]  # what is gone is no failure


def test_a_file_that_was_away_for_a_moment_is_taken(
    library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is taken out and put in again between two looks."""
    (file,) = write_album(tmp_path / "in", 1)
    away = tmp_path / "away.wav"
    reading = run._why_not

    def back(path: Path, error: Exception) -> str:
        reason = reading(path, error)
        threading.Timer(2 * INTERVAL, away.rename, [file]).start()
        return reason

    def take_out(path: Path) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(run, "_why_not", back)
        file.rename(away)

    monkeypatch.setattr(run, "check_sound", take_out)
    with watching(library, tmp_path / "in") as outcomes:
        assert outcomes.get(timeout=30).status == "added"


@pytest.mark.parametrize("step", ["check_sound", "hash_file", "read_sound"])
def test_why_a_file_is_not_taken_names_no_class(
    library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (file,) = write_album(tmp_path / "in", 1)
    items = list(scan([file], library=library.path))
    doing = getattr(run, step)

    def then_it_goes(*arguments: object, **options: object) -> object:
        done = doing(*arguments, **options)
        file.unlink(missing_ok=True)
        return done

    monkeypatch.setattr(run, step, then_it_goes)
    (outcome,) = library._importer().take(items, ImportOptions())
    assert (outcome.status, outcome.reason) == ("failed", "It is gone.")
    monkeypatch.setattr(run, step, lambda *_, **__: raise_(AudioError(f"{file} makes no sense.")))
    write_album(tmp_path / "in", 1)
    (outcome,) = library._importer().take(list(scan([file], library=library.path)), ImportOptions())
    assert outcome.reason == "It makes no sense."


def test_a_busy_library_is_tried_again(
    library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_album(tmp_path / "in", 2)
    taking = Importer.take
    calls = []

    def take(self: Importer, *arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise LibraryBusyError("in use")
        return taking(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Importer, "take", take)
    with watching(library, tmp_path / "in") as outcomes:
        assert {outcomes.get(timeout=30).status for _ in range(2)} == {"added"}


def test_once_on_a_busy_library_is_an_error(tmp_path: Path) -> None:
    write_album(tmp_path / "in", 1)
    library = AudioLibrary(tmp_path / "library", settings=Settings(lock_timeout=0.1))
    library._folder.create(embedder="words")
    with LibraryFolder(library.path).lock(), pytest.raises(LibraryBusyError):
        list(library.watch(tmp_path / "in", once=True, interval=INTERVAL))


def test_folders_that_cannot_be_watched(library: AudioLibrary, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="There is no folder"):
        list(library.watch(tmp_path / "missing"))
    with pytest.raises(InvalidInputError, match="the library itself"):
        list(library.watch(library.path))
    (tmp_path / "in").mkdir()
    with pytest.raises(InvalidInputError, match="interval"):
        list(library.watch(tmp_path / "in", interval=0))


def test_once_on_the_command_line(cli: Callable[..., Result], tmp_path: Path) -> None:
    write_album(tmp_path / "in", 2)
    result = cli("watch", "in", "--once", "--interval", "0.1", "--tag", "new", "--json")
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["status"], line["tags"]) for line in lines] == [("added", ["new"])] * 2
    assert cli("watch", "in", "--once", "--interval", "0.1").stdout == "2 already there.\n"
    missing = cli("watch", "missing", "--once")
    assert (missing.exit_code, missing.stdout) == (2, "")


@pytest.mark.slow
def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    write_album(tmp_path / "in", 2)
    command = [sys.executable, "-m", "audiolib", "watch", "in", "--interval", "0.2", "--json"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert [json.loads(running.stdout.readline())["status"] for _ in range(2)] == ["added"] * 2
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert said == "Interrupted. 2 added.\n"
