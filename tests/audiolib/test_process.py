"""What only real processes show: start-up, signals, full disks, foreign users, two writers at once."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from library_files import files_of

from audiolib import AudioLibrary
from audiolib.ids import new_id
from audiolib.sidecars import write_sidecar
from indexing.store import ClipIndex

Process = Callable[..., subprocess.CompletedProcess[str]]
SHORT = ["--duration", "0.2"]
WHOLE = ("--normalize", "peak")  # the random model shouts, and what is clipped is told
LONG = ["--duration", "30"]  # seconds of music: long enough to be interrupted

posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


def loaded_after(arguments: list[str]) -> set[str]:
    """Top-level modules that a command leaves in memory."""
    script = (
        "import sys, json\n"
        "from audiolib.cli import cli\n"
        "cli.main(sys.argv[1:], prog_name='audiolib', standalone_mode=False)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["generate", "--help"], ["models", "--help"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert not {"mlx", "lancedb", "torch", "numpy", "pyarrow", "soundfile"} & loaded_after(arguments)


def test_help_is_instant(process: Process) -> None:
    def timed() -> float:
        start = time.perf_counter()
        assert process(["--help"]).returncode == 0
        return time.perf_counter() - start

    assert min(timed() for _ in range(5)) <= 0.3


def test_the_library_needs_no_torch(process: Process) -> None:
    for prompt in ("calm piano", "happy rock"):
        assert process(["generate", prompt, *SHORT]).returncode == 0
    banned = {"torch", "transformers", "sentence_transformers", "mlx_whisper", "scipy"}
    assert not banned & loaded_after(["search", "quiet keyboard"])
    assert not banned & loaded_after(["generate", "calm piano", *SHORT])
    assert not {"mlx", "lancedb", *banned} & loaded_after(["list"])


@posix
@pytest.mark.parametrize(
    "stop", [signal.SIGINT, signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_stopped_generation_leaves_no_half_file(tmp_path: Path, stop: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "audiolib",
        "generate",
        "calm piano",
        "--count",
        "50",
        "--duration",
        "5",
        "--json",
        *WHOLE,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        first = json.loads(running.stdout.readline())
        time.sleep(0.3)
        running.send_signal(stop)
        out, err = running.communicate(timeout=60)
    acknowledged = {first["id"], *(json.loads(line)["id"] for line in out.splitlines())}
    audio = tmp_path / "data" / "audio"
    names = {Path(name).name for name in files_of(audio)}
    shown = {name for name in names if not name.startswith(".")}
    library = AudioLibrary(tmp_path / "data")
    stored = {clip.id for clip in library.list()}
    assert acknowledged <= stored
    assert library.reproduce(first["id"]).codes_compared
    if stop == signal.SIGINT:
        assert running.returncode == 130
        assert err.count("\n") == 1
        assert f"Interrupted. {len(acknowledged)} of 50 clips are stored." in err
        assert len(names) == 3 * len(stored)
    else:
        assert running.returncode == -stop
        # At most one clip's audio and codes came before its sidecar; whatever has its name is whole.
        assert (
            len(shown - {f"{i}{end}" for i in stored for end in (".json", ".codes.npz", "-calm-piano.wav")})
            <= 2
        )


@posix
def test_on_a_terminal_a_bar_runs_and_ctrl_c_ends_it_with_one_line(tmp_path: Path) -> None:
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = [sys.executable, "-m", "audiolib", "generate", "calm piano", *LONG]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as running:
        os.close(theirs)
        shown = b""
        while b"step/s" not in shown:
            shown += os.read(ours, 1 << 16)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=60)
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert (running.returncode, out) == (130, "")
    assert "calm piano:   0%" in shown.decode()  # the whole is known from the first step on
    *_bar, last = re.sub(r"\x1b\[\d*m", "", shown.decode()).strip().splitlines()
    assert last == "Interrupted. Nothing was stored."
    assert "Traceback" not in shown.decode()
    assert files_of(tmp_path) == set()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the other side is closed
        return b""


@pytest.mark.slow
@posix
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("rename", [1, 2, 3, 4])
def test_killed_at_every_rename(process: Process, tmp_path: Path, rename: int, when: str) -> None:
    """Renames 1 to 4 of the second clip's command: audio, codes, sidecar of a clip, audio of the next."""
    assert process(["generate", "calm piano", *SHORT]).returncode == 0
    script = (
        "import os, signal, sys\n"
        "replace, left = os.replace, [int(sys.argv[1])]\n"
        "def dying(*paths):\n"
        "    left[0] -= 1\n"
        "    if sys.argv[2] == 'after': replace(*paths)\n"
        "    if not left[0]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    if sys.argv[2] == 'before': replace(*paths)\n"
        "os.replace = dying\n"
        "from audiolib.cli import cli\n"
        "cli.main(['generate', 'happy rock', '--count', '2', '--duration', '0.2', '--no-index'])"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(rename), when], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    library = AudioLibrary(tmp_path / "data")
    assert all(library.reproduce(clip.id).codes_compared for clip in library.list())
    for path in (tmp_path / "data" / "audio").rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    library.index()
    clips = list(library.list())
    renamed = rename if when == "after" else rename - 1
    assert len(clips) == 1 + (renamed + 2) // 3  # whatever got its name is a clip again
    assert all(library.reproduce(clip.id) for clip in clips)
    assert {hit.clip.id for hit in library.search("music")} == {clip.id for clip in clips}
    assert not [name for name in files_of(tmp_path / "data" / "audio") if ".tmp" in name]


@posix
def test_a_full_disk_is_one_sentence_and_breaks_nothing(process: Process, tmp_path: Path) -> None:
    assert process(["generate", "calm piano", *SHORT]).returncode == 0
    before = files_of(tmp_path / "data" / "audio")

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    for more in ([], ["--output", "song.wav", "--no-index"]):
        result = process(["generate", "happy rock", "--duration", "2", *WHOLE, *more], preexec_fn=limit)
        assert result.returncode == 1
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1
        assert "large" in result.stderr
        assert result.stdout == ""
    assert files_of(tmp_path / "data" / "audio") == before
    assert not (tmp_path / "song.wav").exists()
    assert process(["regenerate", "last"]).returncode == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_a_really_full_disk(process: Process, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        result = process(["generate", "calm", "--duration", "20", "--library", str(small / "library")])
        assert result.returncode == 1
        assert "No space left" in result.stderr
        assert "Free some space" in result.stderr
        assert files_of(small / "library") == {"library.json"}
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        result = process(["generate", "calm", *SHORT, "--library", str(small / "library")])
        assert result.returncode == 1
        assert "The disk is read-only" in result.stderr
    finally:
        subprocess.run(["umount", str(small)], check=True)


@posix
def test_an_unwritable_folder_is_told_before_the_music(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    command = [sys.executable, "-m", "audiolib", "generate", "calm piano", *LONG]
    if os.geteuid() == 0:  # root may write anywhere unless that power is taken away
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root can write anywhere")
        command = [setpriv, "--bounding-set=-dac_override", *command]
    start = time.monotonic()
    for more in (["--library", str(folder)], ["--output", str(folder / "a.wav"), "--no-index"]):
        result = subprocess.run([*command, *more], capture_output=True, text=True, timeout=60, check=False)
        assert (result.returncode, result.stdout) == (1, "")
        assert (
            result.stderr
            == f"Error: No permission: {folder}. Choose another folder or change its permissions.\n"
        )
    assert time.monotonic() - start < 20
    assert files_of(folder) == set()


@posix
def test_bytes_that_are_no_text_are_refused(process: Process, tmp_path: Path) -> None:
    result = process(["generate", b"calm \xff\xfe piano"])
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Error: The prompt is not valid Unicode text. Type it again in UTF-8.\n"
    assert files_of(tmp_path) == set()


def test_two_processes_lose_no_row(tmp_path: Path) -> None:
    def start(prompt: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "audiolib",
            "generate",
            prompt,
            "--count",
            "8",
            *SHORT,
            *WHOLE,
            "--json",
        ]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    ids: list[str] = []
    for running in [start("calm piano"), start("happy rock")]:
        out, err = running.communicate(timeout=120)
        assert running.returncode == 0, err
        assert err == ""
        ids += [json.loads(line)["id"] for line in out.splitlines()]
    assert len(set(ids)) == 16
    index = ClipIndex(tmp_path / "data" / "index")
    assert index.ids() == set(ids)
    assert index.count() == 16
    assert index.pending_ids() == []
    assert len(AudioLibrary(tmp_path / "data").search("piano", limit=50)) == 16


@posix
def test_a_reader_that_stops_early_is_no_error(process: Process, tmp_path: Path) -> None:
    assert process(["generate", "calm", "--count", "3", *SHORT]).returncode == 0
    command = f"{sys.executable} -m audiolib list --json | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(result.stdout)["prompt"] == "calm"
    assert result.stderr == ""


def test_debug_shows_the_traceback(process: Process) -> None:
    environment = {**os.environ, "AUDIOLIB_DEBUG": "1"}
    result = process(["show", "last"], env=environment)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.slow
def test_a_cold_search_of_a_thousand_clips(process: Process, tmp_path: Path) -> None:
    library = AudioLibrary(tmp_path / "data")
    clip = library.generate("calm piano", duration=0.2)
    words = (
        "calm happy slow fast dark bright tense dreamy lonely warm".split(),
        "piano guitar strings techno jazz drums synth choir flute organ".split(),
        "night game rain hall sea vinyl film morning train forest".split(),
    )
    for mood, what, where in list(itertools.product(*words))[1:]:
        prompt, clip_id = f"{mood} {what} {where}", new_id()
        path = clip.path.with_name(f"{clip_id}.wav")
        other = dataclasses.replace(clip, id=clip_id, prompt=prompt, title=prompt, path=path)
        write_sidecar(path.with_suffix(".json"), other, recipe=None, codes=None)
    assert library.index().clips == 1_000

    def timed() -> float:
        # Processor time: what the command takes when it has a core to itself, whatever else runs here.
        before = os.times()
        assert "calm piano" in process(["search", "calm piano"]).stdout
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])

    assert min(timed() for _ in range(5)) <= 2.5
