"""The commands: what they print, their JSON, their exit codes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from library_files import files_of

from audiolib.cli import cli as group
from audiolib.cli.musicgen import command as musicgen
from generation.audio import load_audio, read_comment

Run = Callable[..., Result]
FIELDS = (
    "id path prompt title model seed duration sample_rate channels tags rating created_at kind parent_id "
    "transcript language tempo_bpm key loudness_lufs brightness_hz energy onset_density percussive_share "
    "sha256 audio_sha256 license"
).split()
SHOWN = ("recipe", "clipped", "confidence", "segments", "transcription")
SHORT = ("--duration", "0.2")


def lines(result: Result) -> list[dict[str, object]]:
    """The JSON objects on stdout; nothing else may be there."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def failed(result: Result, code: int, *reasons: str) -> None:
    """One or two plain sentences on stderr, nothing on stdout."""
    assert result.exit_code == code, (result.stdout, result.stderr)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    for reason in reasons:
        assert reason in result.stderr


def walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from walk(found, f"{name} {child}")


@pytest.mark.parametrize(
    ("name", "command"), [*walk(group, "audiolib"), ("musicgen-cli", musicgen)], ids=lambda value: str(value)
)
def test_every_command_and_option_has_help(name: str, command: click.Command) -> None:
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    # No help is cut short; the dots after an argument's name say that there may be several.
    assert not re.search(r"(?<![A-Z\]])\.\.\.", result.stdout)


@pytest.mark.parametrize(
    ("name", "command"), [pair for pair in walk(group, "audiolib") if not isinstance(pair[1], click.Group)]
)
def test_every_command_can_answer_in_json(name: str, command: click.Command) -> None:
    assert "--json" in {option for parameter in command.params for option in parameter.opts}, name


@pytest.mark.parametrize("arguments", [[], ["models"]])
def test_without_a_command_there_is_help(cli: Run, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: ")
    assert "\nCommands:\n" in result.stderr


def test_the_version_is_the_packages(cli: Run) -> None:
    from importlib.metadata import version

    assert cli("--version").stdout == f"audiolib {version('audiolib-mlx')}\n"
    assert CliRunner().invoke(musicgen, ["--version"], prog_name="musicgen-cli").exit_code == 0


class TestGenerate:
    def test_json_is_the_promised_object(self, cli: Run, tmp_path: Path) -> None:
        (clip,) = lines(cli("generate", "calm piano", *SHORT, "--seed", "7", "--tag", "lofi", "--json"))
        assert list(clip) == FIELDS
        assert clip["prompt"] == "calm piano"
        assert (clip["seed"], clip["tags"], clip["duration"]) == (7, ["lofi"], 0.2)
        assert Path(str(clip["path"])).is_absolute()
        assert Path(str(clip["path"])).is_relative_to(tmp_path / "data")

    def test_people_see_title_path_and_seed(self, cli: Run) -> None:
        result = cli("generate", "calm piano", *SHORT, "--seed", "7", "--normalize", "peak")
        assert result.exit_code == 0
        title, path, details = result.stdout.splitlines()
        assert title == "calm piano"
        assert Path(path.strip()).is_file()
        assert not Path(path.strip()).is_absolute()
        assert "0.2 s of music" in details
        assert "seed 7" in details
        assert result.stderr == ""

    def test_count_uses_the_seeds_that_follow(self, cli: Run) -> None:
        clips = lines(cli("generate", "calm piano", *SHORT, "--count", "3", "--seed", "5", "--json"))
        assert [clip["seed"] for clip in clips] == [5, 6, 7]
        assert len({clip["audio_sha256"] for clip in clips}) == 3

    def test_prompts_from_a_file(self, cli: Run, tmp_path: Path) -> None:
        (tmp_path / "prompts.txt").write_text("\ufeffcalm piano\n\n  happy röck \n", encoding="utf-8")
        clips = lines(cli("generate", "--from-file", "prompts.txt", *SHORT, "--json"))
        assert [clip["prompt"] for clip in clips] == ["calm piano", "happy röck"]

    def test_a_prompt_from_standard_input(self, cli: Run) -> None:
        (clip,) = lines(cli("generate", "-", *SHORT, "--json", input="tense\naction\n"))
        assert clip["prompt"] == "tense\naction"
        assert clip["title"] == "tense action"

    def test_output_is_a_copy_of_the_librarys(self, cli: Run, tmp_path: Path) -> None:
        (clip,) = lines(cli("generate", "calm", *SHORT, "--output", "out/song.flac", "--json"))
        stored = Path(str(clip["path"]))
        assert stored.suffix == ".flac"
        assert clip["output"] == str(tmp_path / "out" / "song.flac")
        assert Path(str(clip["output"])).read_bytes() == stored.read_bytes()
        assert lines(cli("show", "last", "--json"))[0]["id"] == clip["id"]

    def test_output_without_index_knows_no_library(self, cli: Run, tmp_path: Path) -> None:
        (clip,) = lines(cli("generate", "calm", *SHORT, "--output", "song.wav", "--no-index", "--json"))
        assert clip["path"] == str(tmp_path / "song.wav")
        assert list(clip) == FIELDS
        assert files_of(tmp_path) == {"song.wav"}

    def test_numbered_outputs(self, cli: Run, tmp_path: Path) -> None:
        arguments = ("generate", "Lo Fi!", *SHORT, "--output-dir", "out", "--no-index")
        assert cli(*arguments, "--prefix", "lofi", "--count", "2").exit_code == 0
        assert cli(*arguments, "--prefix", "lofi").exit_code == 0
        assert cli(*arguments).exit_code == 0
        assert files_of(tmp_path / "out") == {*(f"lofi_00{n}.wav" for n in (1, 2, 3)), "lo-fi_001.wav"}

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["generate"], "Give a prompt"),
            (["generate", ""], "empty"),
            (["generate", "x" * 2_001], "2,001 characters"),
            (["generate", "calm \udcff"], "not valid Unicode"),
            (["generate", "calm", "--duration", "-1"], "above 0"),
            (["generate", "calm", "--duration", "1e9"], "limit"),
            (["generate", "calm", "--duration", "nan"], "above 0"),
            (["generate", "calm", "--duration", "long"], "'long' is not a valid float"),
            (["generate", "calm", "--duration", "1", "--max-steps", "50"], "not both"),
            (["generate", "calm", "--count", "0"], "--count"),
            (["generate", "calm", "--format", "aiff"], "aiff"),
            (["generate", "calm", "--output", "song.txt"], "known format"),
            (["generate", "calm", "--output", "a.wav", "--count", "2"], "one clip"),
            (["generate", "calm", "--output", "a.wav", "--prefix", "a"], "--output"),
            (["generate", "calm", "--output-dir", "out", "--prefix", "../a"], "cannot start file names"),
            (["generate", "calm", "--from-file", "missing.txt"], "missing.txt"),
            (["generate", "calm", "--nonsense"], "--nonsense"),
            (["generat", "calm"], "generat"),
            (["search", ""], "empty"),
            (["regenerate"], "CLIP"),
        ],
    )
    def test_wrong_usage_is_one_sentence_and_changes_nothing(
        self, cli: Run, tmp_path: Path, arguments: list[str], reason: str
    ) -> None:
        failed(cli(*arguments), 2, reason)
        assert files_of(tmp_path) == set()

    @pytest.mark.parametrize("data", [b"", b"\n\n", b"x" * 3_000_000, b"calm \xff\xfe piano"])
    def test_bad_standard_input_too(self, cli: Run, tmp_path: Path, data: bytes) -> None:
        failed(cli("generate", "-", input=data), 2, "The prompt")
        assert files_of(tmp_path) == set()

    def test_an_unknown_model_says_how_to_get_it(self, cli: Run, tmp_path: Path) -> None:
        failed(cli("generate", "calm", "--model", "facebook/musicgen-huge"), 1, "audiolib models pull")
        assert files_of(tmp_path) == set()

    def test_a_file_in_the_way_is_told_before_the_music(self, cli: Run, tmp_path: Path) -> None:
        (tmp_path / "song").write_text("mine")
        failed(cli("generate", "calm", "--output", "song/a.wav"), 1, "song")
        failed(cli("generate", "calm", "--library", "song/library"), 1, "song")
        failed(cli("generate", "calm", "--output-dir", "song"), 1, "song")
        assert files_of(tmp_path) == {"song"}


class TestFind:
    @pytest.fixture(autouse=True)
    def _clips(self, cli: Run, tmp_path: Path) -> None:
        (tmp_path / "prompts.txt").write_text("calm piano\nhappy rock\nelectronic dance\n")
        assert cli("generate", "--from-file", "prompts.txt", *SHORT).exit_code == 0

    def test_search_in_json(self, cli: Run) -> None:
        hits = lines(cli("search", "quiet keyboard melody", "-k", "2", "--json"))
        assert [list(hit) for hit in hits] == [[*FIELDS, "score"]] * 2
        assert hits[0]["prompt"] == "calm piano"
        assert 1 >= float(str(hits[0]["score"])) >= float(str(hits[1]["score"])) >= 0

    def test_search_for_people(self, cli: Run) -> None:
        result = cli("search", "quiet keyboard melody")
        header, *rows = result.stdout.splitlines()
        assert header.split() == ["score", "title", "duration", "path"]
        assert len(rows) == 3
        assert "calm piano" in rows[0]
        assert Path(rows[0].split()[-1]).is_file()

    def test_list(self, cli: Run) -> None:
        clips = lines(cli("list", "--json"))
        assert [clip["prompt"] for clip in clips] == ["electronic dance", "happy rock", "calm piano"]
        assert [list(clip) for clip in clips] == [FIELDS] * 3
        assert len(lines(cli("list", "-n", "1", "--json"))) == 1
        header, *rows = cli("list").stdout.splitlines()
        assert header.split() == ["id", "title", "duration", "made", "model"]
        assert [row.split()[0] for row in rows] == [str(clip["id"])[-6:] for clip in clips]

    def test_show(self, cli: Run) -> None:
        (clip,) = lines(cli("show", "last", "--json"))
        assert list(clip) == [*FIELDS, *SHOWN]
        text = cli("show", str(clip["id"])[-8:]).stdout
        for part in ("electronic dance", str(clip["id"]), "tiny", "guidance 3"):
            assert part in text

    def test_regenerate(self, cli: Run) -> None:
        (clip,) = lines(cli("show", "last", "--json"))
        for name in SHOWN:
            del clip[name]
        result = cli("regenerate", "last")
        assert "the same tokens and samples, bit for bit" in result.stdout
        same = {"reproduction": {"codes_compared": True, "restored": []}}
        assert lines(cli("regenerate", "last", "--json")) == [clip | same]
        Path(str(clip["path"])).unlink()
        same = {"reproduction": {"codes_compared": True, "restored": [clip["path"]]}}
        assert lines(cli("regenerate", "last", "--json")) == [clip | same]
        (other,) = lines(cli("regenerate", "last", "--seed", "99", "--json"))
        assert (other["parent_id"], other["seed"]) == (clip["id"], 99)
        assert "a variation of" in cli("regenerate", str(clip["id"]), "--prompt", "-", input="techno").stdout

    def test_index(self, cli: Run) -> None:
        assert "3 clips in the library, 3 newly embedded." in cli("index", "--rebuild").stdout
        (report,) = lines(cli("index", "--json"))
        assert (report["clips"], report["embedded"], report["pending"]) == (3, 0, 0)
        result = cli("index", "--transcribe")
        assert result.exit_code == 0
        assert "3 wait for a transcript" in result.stdout

    def test_errors_are_sentences(self, cli: Run) -> None:
        failed(cli("show", "nothing"), 1, "audiolib list")
        failed(cli("regenerate", "nothing"), 1, "audiolib list")
        failed(cli("index", "--embedder", "no/such", "--rebuild"), 1, "no/such")
        failed(cli("index", "--embedder", "no/such"), 1, "no/such")

    def test_a_corrupt_sidecar_is_told_and_the_rest_works(self, cli: Run, tmp_path: Path) -> None:
        sidecar = Path(str(lines(cli("show", "last", "--json"))[0]["path"])).parent.glob("*.json")
        broken = max(sidecar)
        broken.write_text("{")
        failed(cli("show", "last"), 1, str(broken))
        for command in (["list"], ["search", "piano"]):
            result = cli(*command)
            assert result.exit_code == 0
            assert len(result.stdout.splitlines()) == 3
            assert str(broken) in result.stderr
        result = cli("index", "--rebuild")
        assert result.exit_code == 1
        assert str(broken) in result.stderr

    def test_nothing_in_a_prompt_plays_tricks_on_the_terminal(self, cli: Run) -> None:
        assert cli("generate", "red \x1b[31m alert \u202e", *SHORT).exit_code == 0
        for command in (["list"], ["show", "last"], ["search", "alert"]):
            text = cli(*command).stdout
            assert "\x1b" not in text
            assert "\u202e" not in text


def test_reading_without_a_library_makes_none(cli: Run, tmp_path: Path) -> None:
    for arguments in (
        ["list"],
        ["search", "x"],
        ["show", "last"],
        ["index"],
        ["regenerate", "last"],
        ["play", "last"],
    ):
        failed(cli(*arguments), 1, "no library", "audiolib generate")
    assert files_of(tmp_path) == set()


def test_a_newer_library_asks_for_an_update(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "library.json").write_text('{"format": 99}')
    for arguments in (["list"], ["search", "x"], ["generate", "calm", *SHORT], ["index", "--rebuild"]):
        failed(cli(*arguments), 1, "Update audiolib")
    assert files_of(tmp_path) == {"library.json"}


def test_bad_settings_are_told(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIOLIB_MAX_DURATION", "long")
    failed(cli("list"), 2, "AUDIOLIB_MAX_DURATION")


class TestModels:
    def test_list(self, cli: Run) -> None:
        cards = {card["model"]: card for card in lines(cli("models", "list", "--json"))}
        assert {"tiny", "other"} <= cards.keys()
        assert [name for name, card in cards.items() if card["default"]] == ["tiny"]
        assert "*  tiny" in cli("models", "list").stdout

    def test_info(self, cli: Run) -> None:
        (info,) = lines(cli("models", "info", "--json"))
        assert info["model"] == "tiny"
        assert {"backend", "device", "dtype", "blas", "why", "models_dirs"} <= info.keys()
        assert "AUDIOLIB_MODEL names it" in cli("models", "info").stdout
        assert "--model names it" in cli("models", "info", "--model", "other").stdout
        assert "none: " in cli("models", "info", "--model", "no-such").stdout

    def test_pull_offline_is_a_sentence(self, cli: Run, models: Path) -> None:
        before = files_of(models)
        failed(cli("models", "pull", "facebook/musicgen-small"), 1)
        failed(cli("models", "pull", "nonsense"), 1, "nonsense")
        assert files_of(models) == before


class TestMusicgenCli:
    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(musicgen, list(arguments), prog_name="musicgen-cli")

    def test_one_file(self, tmp_path: Path) -> None:
        result = self.run(
            "--prompt", "happy rock", "--output", "rock.wav", "--max-steps", "13", "--seed", "3"
        )
        assert (result.exit_code, result.stdout) == (0, "rock.wav\n")
        assert len(load_audio("rock.wav")[0]) == 6_400
        assert json.loads(read_comment("rock.wav") or "")["recipe"]["seed"] == 3
        assert files_of(tmp_path) == {"rock.wav"}

    def test_numbered_files(self, tmp_path: Path) -> None:
        for number in (1, 2):
            result = self.run(
                "--prompt", "lofi", "--max-steps", "13", "--output-dir", "out", "--prefix", "lofi"
            )
            assert result.stdout.strip() == os.path.join("out", f"lofi_00{number}.wav")
        assert files_of(tmp_path) == {"out/lofi_001.wav", "out/lofi_002.wav"}

    def test_the_sketchs_length(self) -> None:
        self.run("--prompt", "lofi", "--max-steps", "300", "--output", "lofi.wav")
        assert len(load_audio("lofi.wav")[0]) * 2 == 380_160

    def test_wrong_usage(self, tmp_path: Path) -> None:
        failed(self.run("--prompt", "x"), 2, "--output")
        failed(self.run("--output", "a.wav"), 2, "--prompt")
        failed(self.run("--prompt", "", "--output", "a.wav"), 2, "empty")
        failed(self.run("--prompt", "x", "--output", "a.wav", "--output-dir", "out"), 2, "--output-dir")
        failed(self.run("--prompt", "x", "--output", "a.wav", "--model", "no-such"), 1, "no-such")
        assert files_of(tmp_path) == set()
