"""`audiolib generate` for files of prompts and `--count`: what is printed, written and refused."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from library_files import FIVE, bad_prompts, files_of

from audiolib import (
    GenerationRequest,
)
from audiolib.studio import Studio

Run = Callable[..., Result]
FROM_FILE = [sys.executable, "-m", "audiolib", "generate", "--from-file", "prompts.txt"]
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


class TestCommand:
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        (tmp_path / "prompts.txt").write_bytes(FIVE)

    def test_json_tells_of_each(self, cli: Run, tmp_path: Path) -> None:
        arguments = ("generate", "--from-file", "prompts.txt", "--duration", "0.2", "--json")
        outcomes = [json.loads(line) for line in cli(*arguments).stdout.splitlines()]
        assert [(o["line"], o["status"]) for o in outcomes] == [(n, "made") for n in range(1, 6)]
        again = [json.loads(line) for line in cli(*arguments).stdout.splitlines()]
        assert again == [{**outcome, "status": "present"} for outcome in outcomes]
        anew = [json.loads(line) for line in cli(*arguments, "--again").stdout.splitlines()]
        assert {o["id"] for o in anew}.isdisjoint(o["id"] for o in outcomes)

    def test_people_see_what_was_made_and_what_was_there(self, cli: Run) -> None:
        first = cli("generate", "--from-file", "prompts.txt", "--duration", "0.2")
        assert first.exit_code == 0
        assert re.fullmatch(r"5 clips in [\d.]+ s, [\d.]+ a minute\.", first.stdout.splitlines()[-1])
        assert cli("generate", "--from-file", "prompts.txt", "--duration", "0.2").stdout == (
            "5 clips were there already.\n"
        )

    def test_failures_are_told_at_the_end(self, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        arguments = ("generate", "--from-file", "prompts.txt", "--duration", "0.2", "--seed", "1")
        with monkeypatch.context() as patch:
            bad_prompts(patch, "techno", "dark ambient")
            result = cli(*arguments, "--json")
        assert result.exit_code == 1
        outcomes = [json.loads(line) for line in result.stdout.splitlines()]
        assert {o["line"]: o["status"] for o in outcomes} == {
            1: "made",
            2: "made",
            3: "failed",
            4: "made",
            5: "failed",
        }
        assert [o for o in outcomes if o["line"] == 3] == [
            {
                "prompt": "techno",
                "reason": "The weights are damaged at techno.",
                "line": 3,
                "status": "failed",
            }
        ]
        *_notes, one, other, last = result.stderr.splitlines()
        assert one == "Line 3 (techno, seed 3): The weights are damaged at techno."
        assert other.startswith("Line 5 (dark ambient, seed 5)")
        assert last == "Error: 2 of 5 clips could not be made. The same command tries only them again."
        assert cli(*arguments).stdout.splitlines()[-1].endswith("3 clips were there already.")

    @pytest.mark.parametrize(
        ("error", "more"),
        [(KeyboardInterrupt, ()), (KeyboardInterrupt, ("--again",)), (OSError(errno.ENOSPC, "full"), ())],
    )
    def test_failures_are_told_also_where_it_ends_early(
        self, cli: Run, monkeypatch: pytest.MonkeyPatch, error: Any, more: tuple[str, ...]
    ) -> None:
        """And with --again nothing is promised: the same command would make all anew."""
        store = Studio.store

        def ending(self: Studio, made: Any, request: GenerationRequest, **options: Any) -> Any:
            if request.prompt == "sad strings":
                raise error
            return store(self, made, request, **options)

        monkeypatch.setattr(Studio, "store", ending)
        bad_prompts(monkeypatch, "techno")
        result = cli("generate", "--from-file", "prompts.txt", "--duration", "0.2", *more)
        *_notes, failure, last = result.stderr.splitlines()
        assert failure == "Line 3 (techno): The weights are damaged at techno."
        if error is KeyboardInterrupt:
            assert last.startswith("Interrupted. 2 of 5 clips are stored.")
            assert ("goes on where" in last) == (more == ())
        else:
            assert "The disk is full" in last

    def test_with_again_all_would_be_tried_again(self, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        bad_prompts(monkeypatch, "techno")
        result = cli("generate", "--from-file", "-", "--duration", "0.2", "--again", input="techno\n")
        assert result.stderr.splitlines()[-1] == "Error: 1 of 1 clip could not be made."

    def test_one_of_a_count_fails(self, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        bad_prompts(monkeypatch, "techno")
        result = cli("generate", "techno", "--count", "2", "--duration", "0.2")
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == "Error: 2 of 2 clips could not be made."

    def test_copies(self, cli: Run, tmp_path: Path) -> None:
        lines = [{"prompt": "one", "output": "out/a.flac"}, {"prompt": "two"}]
        (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
        arguments = ("generate", "--from-file", "mine.jsonl", "--duration", "0.2")
        outcomes = [json.loads(line) for line in cli(*arguments, "--json").stdout.splitlines()]
        assert [o.get("output") for o in outcomes] == [str(tmp_path / "out" / "a.flac"), None]
        (tmp_path / "out" / "a.flac").unlink()
        again = [json.loads(line) for line in cli(*arguments, "--json").stdout.splitlines()]
        assert [o["status"] for o in again] == ["present"] * 2
        assert again[0]["output"] == outcomes[0]["output"]
        assert (tmp_path / "out" / "a.flac").read_bytes() == Path(outcomes[0]["path"]).read_bytes()
        assert "nowhere" not in cli(*arguments).stderr

    def test_a_copy_is_of_the_line_as_it_is_now(self, cli: Run, tmp_path: Path) -> None:
        """A present clip takes the place of another version of its line, and of a missing file with --output too."""
        arguments = ("generate", "--from-file", "mine.jsonl", "--duration", "0.2", "--json")

        def run(prompt: str, *more: str, **line: str) -> tuple[str, bool, str | None]:
            (tmp_path / "mine.jsonl").write_text(json.dumps({"prompt": prompt, **line}))
            clip = json.loads(cli(*arguments, *more).stdout)
            same = (tmp_path / "a.wav").read_bytes() == Path(clip["path"]).read_bytes()
            return clip["status"], same, clip.get("output")

        copied = str(tmp_path / "a.wav")
        assert run("one", output="a.wav") == ("made", True, copied)
        assert run("two", output="a.wav") == ("made", True, copied)
        assert run("one", output="a.wav") == ("present", True, copied)
        assert run("one", output="a.wav") == ("present", True, None)
        assert run("two", "--output", "a.wav") == ("present", True, copied)
        (tmp_path / "a.wav").unlink()
        assert run("two", "--output", "a.wav") == ("present", True, copied)

    @pytest.mark.parametrize("more", [(), ("--no-index",)])
    def test_files_that_cannot_be_what_is_asked_for(
        self, cli: Run, tmp_path: Path, more: tuple[str, ...]
    ) -> None:
        lines = [{"prompt": "one", "output": "a.wav"}, {"prompt": "two", "output": "./out/../a.wav"}]
        (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
        result = cli("generate", "--from-file", "mine.jsonl", *more)
        assert (result.exit_code, result.stderr) == (
            2,
            "Error: Line 2: out/../a.wav is written by line 1 too. Give each its own.\n",
        )
        (tmp_path / "mine.jsonl").write_text('{"prompt": "one", "audio_format": "mp3"}')
        result = cli("generate", "--from-file", "mine.jsonl", "--output", "y.wav", *more)
        assert result.exit_code == 2
        assert "Line 1: 'y.wav' contradicts the format mp3" in result.stderr
        assert files_of(tmp_path) == {"prompts.txt", "mine.jsonl"}

    @pytest.mark.parametrize("more", [(), ("--no-index",)])
    def test_two_names_for_one_clip_are_refused(
        self, cli: Run, tmp_path: Path, more: tuple[str, ...]
    ) -> None:
        (tmp_path / "mine.jsonl").write_text('{"prompt": "one", "output": "a.wav"}')
        arguments = ("generate", "--from-file", "mine.jsonl", "--duration", "0.2", *more)
        result = cli(*arguments, "--output", "b.wav")
        assert (result.exit_code, result.stderr) == (
            2,
            "Error: Line 1: its own 'output' is a.wav, so nothing would be written to b.wav. Leave one of them out.\n",
        )
        assert files_of(tmp_path) == {"prompts.txt", "mine.jsonl"}
        assert cli(*arguments, "--output", "./a.wav").exit_code == 0  # the same one
        assert {"a.wav", "b.wav"} & files_of(tmp_path) == {"a.wav"}

    def test_files_without_a_library(self, cli: Run, tmp_path: Path) -> None:
        lines = [{"prompt": "one", "output": "mine/a.ogg"}, {"prompt": "two"}]
        (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
        arguments = ("generate", "--from-file", "mine.jsonl", "--duration", "0.2", "--no-index")
        refused = cli(*arguments)
        assert (refused.exit_code, "Line 2: there is no file" in refused.stderr) == (2, True)
        assert cli(*arguments, "--output-dir", "out").exit_code == 0
        assert files_of(tmp_path) == {"prompts.txt", "mine.jsonl", "mine/a.ogg", "out/two_001.wav"}

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--from-file", "prompts.txt", "--output", "a.wav"], "one clip"),
            (["calm", "--from-file", "prompts.txt"], "Give a prompt"),
            (["calm", "--again"], "--from-file"),
            (["--from-file", "-"], "holds no prompts"),
        ],
    )
    def test_wrong_usage(self, cli: Run, tmp_path: Path, arguments: list[str], reason: str) -> None:
        result = cli("generate", *arguments)
        assert result.exit_code == 2
        assert reason in result.stderr
        assert files_of(tmp_path) == {"prompts.txt"}

    @posix
    def test_one_bar_for_all_on_a_terminal(self, tmp_path: Path) -> None:
        import pty
        import termios

        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 100))
        command = [*FROM_FILE, "--duration", "2"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as running:
            os.close(theirs)
            shown = b""
            while True:
                try:
                    chunk = os.read(ours, 1 << 16)
                except OSError:
                    break
                if not chunk:
                    break
                shown += chunk
            out, _ = running.communicate(timeout=60)
        os.close(ours)
        assert running.returncode == 0
        text = shown.decode()
        assert "0 of 5 clips" in text
        assert re.search(r"4 of 5 clips +80%\|.*\[\d\d:\d\d<\d\d:\d\d\]", text)
        assert re.search(r"5 of 5 clips 100%", text)
        assert out.count("of music") == 5

    @posix
    def test_ctrl_c_says_that_it_goes_on(self, tmp_path: Path) -> None:
        (tmp_path / "prompts.txt").write_text("calm piano\n" * 40)
        command = [*FROM_FILE, "--duration", "3", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            running.stdout.readline()
            time.sleep(0.2)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
        assert running.returncode == 130
        stored = 1 + len(out.splitlines())
        last = err.splitlines()[-1]
        assert (
            last
            == f"Interrupted. {stored} of 40 clips are stored. The same command goes on where this one ended."
        )
