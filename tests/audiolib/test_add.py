"""`audiolib add`: what it says, its JSON, its exit codes, Ctrl+C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from sound_files import write_album, write_sound

from audiolib import AudioLibrary

Run = Callable[..., Result]


def test_people_see_what_became_of_a_file(cli: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "calm piano.wav", seconds=2)
    result = cli("add", "calm piano.wav")
    title, path, details, summary = result.stdout.splitlines()
    assert (title, summary) == ("calm piano", "1 added.")
    assert Path(path.strip()).is_file()
    assert details.strip().startswith("2.0 s · ")
    assert details.endswith(" LUFS · imported")
    assert result.stderr == ""
    again = cli("add", "calm piano.wav")
    assert again.exit_code == 0
    assert again.stdout.splitlines()[-1] == "1 already there."
    assert "already there as" in again.stdout


def test_json_is_a_line_for_each_file(cli: Run, tmp_path: Path) -> None:
    write_album(tmp_path / "in", 2)
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    result = cli("add", "in", "--tag", "mine", "--json")
    assert result.exit_code == 1
    first, second, bad = map(json.loads, result.stdout.splitlines())
    said = ["status", "source", "reason", "note"]
    (clip,) = (
        c for c in map(json.loads, cli("list", "--json").stdout.splitlines()) if c["id"] == first["id"]
    )
    assert first == {
        "status": "added",
        "source": str(tmp_path / "in/000.wav"),
        "reason": None,
        "note": None,
        **clip,
    }
    assert second["tags"] == ["mine"]
    assert (bad["status"], bad["id"], list(bad)) == ("failed", None, [*said, "id"])
    (present, _, _) = map(json.loads, cli("add", "in", "--json").stdout.splitlines())
    assert (present["status"], present["id"]) == ("present", clip["id"])


def test_a_folder_is_summed_up(cli: Run, tmp_path: Path) -> None:
    write_album(tmp_path / "in", 3)
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    (tmp_path / "in" / "out.wav").symlink_to("/etc/passwd")
    result = cli("add", "in")
    assert result.exit_code == 1
    assert result.stdout == "3 added, 1 skipped, 1 failed.\n"
    bad, out = result.stderr.splitlines()
    assert bad.startswith("in/bad.wav: It cannot be read as a sound file")
    assert out.startswith("in/out.wav: It is a link that points out of the folder.")
    (tmp_path / "empty").mkdir()
    nothing = cli("add", "empty")
    assert (nothing.exit_code, nothing.stdout) == (0, "No sound files were found.\n")


def test_a_note_is_said_of_what_was_added(cli: Run, tmp_path: Path) -> None:
    data = write_sound(tmp_path / "a.wav", seconds=2).read_bytes()
    (tmp_path / "a.wav").write_bytes(data[: len(data) // 2])
    result = cli("add", "a.wav")
    assert result.exit_code == 0
    assert result.stderr.startswith("a.wav: Its header promises 2.0 s and 1.0 s are there")


def test_transcribing_never_fails_the_add(cli: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav")
    result = cli("add", "a.wav", "--transcribe", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["status"] == "added"
    assert "1 of them waits for a transcript." in result.stderr
    write_sound(tmp_path / "b.wav", seed=1)
    result = cli("add", "b.wav", "--whisper", "no/such")
    assert result.exit_code == 0
    assert "no/such" in result.stderr
    assert "1 added." in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["add"], 2, "PATH"),
        (["add", "a.wav", "--title", " "], 2, "The title is empty. Write it, or leave it out."),
        (["add", "a.wav", "--tag", ""], 2, "The tag is empty. Write it, or leave it out."),
        (["add", "a.wav", "--prompt", "x" * 2_001], 2, "2,001 characters"),
        (["add", "missing.wav"], 1, "missing.wav: It does not exist."),
        (["add", "a.wav", "--library", "file/library"], 1, "file"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str], code: int, reason: str, cli: Run, tmp_path: Path
) -> None:
    write_sound(tmp_path / "a.wav")
    (tmp_path / "file").write_text("mine")
    result = cli(*arguments)
    assert result.exit_code == code
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list((tmp_path / "data").rglob("*.wav"))


def test_decoders_keep_quiet(
    process: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """mpg123 writes to stderr itself, past Python."""
    (tmp_path / "a.mp3").write_bytes(bytes(100_000))
    done = process(["add", "a.mp3"])
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "mpg123" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(tmp_path: Path) -> None:
    for number in range(60):
        write_sound(tmp_path / "in" / f"{number:02d}.wav", seed=number, seconds=20)
    command = [sys.executable, "-m", "audiolib", "add", "in", "--json"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    running.stdout.readline()  # at least one batch is done
    start = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert time.monotonic() - start < 10
    assert "The same command goes on where this one ended." in said
    assert "Traceback" not in said
    library = AudioLibrary(tmp_path / "data")
    stored = {clip.id for clip in library.list()}
    assert 0 < len(stored) < 60
    from indexing.store import ClipIndex

    assert ClipIndex(tmp_path / "data" / "index").ids() == stored
    assert not [path for path in (tmp_path / "data" / "audio").rglob(".*") if path.is_file()]
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    statuses = [json.loads(line)["status"] for line in again.stdout.splitlines()]
    assert statuses.count("present") == len(stored)
    assert statuses.count("added") == 60 - len(stored)


@pytest.mark.slow
def test_a_real_limit_of_the_system_breaks_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE in the middle of a copy: one error, nothing half, and the rest later."""
    write_sound(tmp_path / "in" / "a.wav", seconds=1)
    write_sound(tmp_path / "in" / "b.wav", seed=1, seconds=30)
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
        "from audiolib.cli import main; main(args=['add', 'in'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "A file would grow over the size that is allowed" in done.stderr
    files = [path.name for path in (tmp_path / "data" / "audio").rglob("*") if path.is_file()]
    assert sorted(name[26:] for name in files) == ["-a.wav", ".json"]
    done = subprocess.run([sys.executable, "-m", "audiolib", "add", "in"], check=True, capture_output=True)
    assert done.stdout == b"1 added, 1 already there.\n"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(cli: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav")
    (tmp_path / "closed").mkdir(mode=0o500)
    result = cli("add", "a.wav", "--library", "closed/library")
    assert result.exit_code == 1
    assert "No permission" in result.stderr
