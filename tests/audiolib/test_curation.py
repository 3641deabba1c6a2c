"""Tags and ratings: in the sidecar, in the row, for several clips at once, and never lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from audiolib import AudioLibrary, Clip
from audiolib.errors import ClipNotFoundError, InvalidInputError
from audiolib.files import file_sha256
from audiolib.sidecars import edit_sidecar
from indexing.store import ClipIndex

Run = Callable[..., Result]


@pytest.fixture
def library(stocked: AudioLibrary) -> AudioLibrary:
    return stocked


@pytest.fixture
def clips(library: AudioLibrary) -> list[Clip]:
    return list(library.list())[::-1]


def row(library: AudioLibrary, clip: Clip) -> dict[str, object]:
    found = ClipIndex(library.path / "index").get(clip.id)
    assert found is not None
    return found


class TestTags:
    def test_added_taken_away_replaced(self, library: AudioLibrary, clips: list[Clip]) -> None:
        first, second, _ = clips
        changed = library.tag([first, second.id], add=["Lofi", "rain"])
        assert [clip.tags for clip in changed] == [("Lofi", "rain")] * 2
        (clip,) = library.tag(first, add=["night", "lofi"], remove=["RAIN"])
        assert clip.tags == ("Lofi", "night")
        assert library.get(first.id) == clip
        assert library.tag(first.path, replace=["b", "a"])[0].tags == ("b", "a")
        assert library.tag(first, replace=())[0].tags == ()
        assert library.get(second.id).tags == ("Lofi", "rain")
        assert library.get(clips[2].id) == clips[2]

    def test_the_row_and_the_search_follow(self, library: AudioLibrary, clips: list[Clip]) -> None:
        library.tag(clips[2], add=["thunderstorm"])
        assert row(library, clips[2])["tags"] == ("thunderstorm",)
        assert library.search("thunderstorm")[0].clip.id == clips[2].id
        library.tag(clips[2], remove=["thunderstorm"])
        assert row(library, clips[2])["tags"] == ()

    def test_the_audio_is_not_touched(self, library: AudioLibrary, clips: list[Clip]) -> None:
        clip = clips[0]
        (changed,) = library.tag(clip, add=["lofi"])
        assert (changed.sha256, changed.audio_sha256) == (clip.sha256, clip.audio_sha256)
        assert file_sha256(clip.path) == clip.sha256

    def test_what_changes_nothing_writes_nothing(self, library: AudioLibrary, clips: list[Clip]) -> None:
        library.tag(clips[0], add=["lofi"])
        sidecar = clips[0].path.with_name(f"{clips[0].id}.json")
        before = sidecar.stat().st_mtime_ns, sidecar.stat().st_ino
        library.tag(clips[0], add=["LOFI"], remove=["other"])
        assert (sidecar.stat().st_mtime_ns, sidecar.stat().st_ino) == before

    @pytest.mark.parametrize(
        "wrong",
        [{"add": [""]}, {"remove": ["\0"]}, {"add": ["x"], "remove": ["X"]}, {"replace": ["x" * 4_001]}],
    )
    def test_nonsense_changes_nothing(
        self, library: AudioLibrary, clips: list[Clip], wrong: dict[str, list[str]]
    ) -> None:
        with pytest.raises(InvalidInputError):
            library.tag(clips, **wrong)
        assert [library.get(clip.id) for clip in clips] == clips

    def test_too_many_letters_in_all_are_told(self, library: AudioLibrary, clips: list[Clip]) -> None:
        library.tag(clips[0], add=["x" * 1_900, "y" * 1_900])
        with pytest.raises(InvalidInputError, match="together"):
            library.tag(clips[0], add=["z" * 500])
        assert len(library.get(clips[0].id).tags) == 2

    def test_one_wrong_name_changes_nothing(self, library: AudioLibrary, clips: list[Clip]) -> None:
        with pytest.raises(ClipNotFoundError):
            library.tag([clips[0].id, "nothing"], add=["lofi"])
        assert library.get(clips[0].id) == clips[0]

    def test_other_keys_of_the_sidecar_stay(self, library: AudioLibrary, clips: list[Clip]) -> None:
        sidecar = clips[0].path.with_name(f"{clips[0].id}.json")
        document = json.loads(sidecar.read_text()) | {"of_another_tool": {"x": [1]}}
        sidecar.write_text(json.dumps(document))
        library.tag(clips[0], add=["lofi"])
        library.rate(clips[0], 3)
        assert json.loads(sidecar.read_text()) == document | {"tags": ["lofi"], "rating": 3}

    def test_two_processes_lose_no_tag(
        self, library: AudioLibrary, clips: list[Clip], tmp_path: Path
    ) -> None:
        start = tmp_path / "start"
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", TAGGER, str(library.path), clips[0].id, name, str(start)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name in "ab"
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        start.touch()
        for worker in workers:
            assert worker.communicate(timeout=120)[1] == ""
        wanted = {f"{name}{number}" for name in "ab" for number in range(8)}
        assert set(library.get(clips[0].id).tags) == wanted
        assert set(row(library, clips[0])["tags"]) == wanted  # type: ignore[call-overload]


TAGGER = """
import pathlib, sys, time
from audiolib import AudioLibrary
path, clip, name, start = sys.argv[1:]
library = AudioLibrary(path)
library.search("piano")  # all that is slow to load is loaded before the race
print("ready", flush=True)
while not pathlib.Path(start).exists():
    time.sleep(0.001)
for number in range(8):
    library.tag(clip, add=[f"{name}{number}"])
"""


class TestRatings:
    def test_given_and_taken_away(self, library: AudioLibrary, clips: list[Clip]) -> None:
        assert [clip.rating for clip in library.rate(clips[:2], 5)] == [5, 5]
        assert row(library, clips[1])["rating"] == 5
        assert library.rate(clips[0], None)[0] == clips[0]
        assert row(library, clips[0])["rating"] is None
        assert library.get(clips[1].id).rating == 5

    @pytest.mark.parametrize("wrong", [0, 6, -1, True])
    def test_nonsense_changes_nothing(self, library: AudioLibrary, clips: list[Clip], wrong: int) -> None:
        with pytest.raises(InvalidInputError, match="1 to 5"):
            library.rate(clips, wrong)
        assert [library.get(clip.id) for clip in clips] == clips


class TestCommands:
    @pytest.fixture(autouse=True)
    def _here(self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUDIOLIB_LIBRARY", str(library.path))

    def test_tag(self, cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
        result = cli("tag", clips[0].id, "last", "--add", "lofi", "--add", "rain")
        assert result.exit_code == 0
        assert result.stdout.splitlines()[1].split() == [clips[0].id[-6:], "calm", "piano", "lofi,", "rain"]
        result = cli("tag", "last", "--remove", "rain", "--json")
        assert json.loads(result.stdout) == library.get("last").to_json()
        assert library.get("last").tags == ("lofi",)
        assert cli("tag", "last", "--set", "x", "--set", "y").exit_code == 0
        assert library.get("last").tags == ("x", "y")
        assert cli("tag", "last", "--clear").exit_code == 0
        assert library.get("last").tags == ()

    def test_hits_can_be_piped(self, cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
        hits = cli("search", "quiet keyboard", "-k", "2", "--json").stdout
        assert cli("tag", "-", "--add", "found", input=hits).exit_code == 0
        tagged = {clip.id for clip in library.list() if clip.tags == ("found",)}
        assert tagged == {json.loads(line)["id"] for line in hits.splitlines()}
        assert len(tagged) == 2
        ids = "".join(f"{clip.id[-10:]}\n\n" for clip in clips)
        assert cli("rate", "-", "2", input=ids).exit_code == 0
        assert {clip.rating for clip in library.list()} == {2}
        result = cli("remove", "-", input="")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No clip was named.\n")

    def test_a_line_ends_where_json_says(self, cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
        path = clips[0].path.with_name(f"{clips[0].id}.json")
        edit_sidecar(path, {"title": "calm\u2028piano"})
        found = cli("list", "--json").stdout
        assert "calm\u2028piano" in found
        assert cli("tag", "-", "--add", "x", input=found.replace("\n", "\r\n")).exit_code == 0
        assert {clip.tags for clip in library.list()} == {("x",)}

    def test_rate(self, cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
        assert cli("rate", "last", clips[0].id, "4").stdout == "★★★★☆  techno\n★★★★☆  calm piano\n"
        for none in ("0", "none"):
            assert cli("rate", "last", none).stdout == "not rated  techno\n"
            library.rate("last", 3)
        assert json.loads(cli("rate", "last", "1", "--json").stdout)["rating"] == 1

    @pytest.mark.parametrize(
        ("arguments", "code", "reason"),
        [
            (["tag", "last"], 2, "Say what to change"),
            (["tag", "last", "lofi"], 2, "--add"),
            (["tag", "--add", "x"], 2, "CLIP"),
            (["tag", "last", "--clear", "--set", "x"], 2, "exclude"),
            (["tag", "last", "--add", ""], 2, "empty"),
            (["tag", "nothing", "--add", "x"], 1, "audiolib list"),
            (["rate", "last"], 2, "Missing argument"),
            (["rate", "last", "6"], 2, "6"),
            (["rate", "-", "3"], 2, "'id'"),
        ],
    )
    def test_wrong_usage_is_one_sentence(
        self, cli: Run, library: AudioLibrary, clips: list[Clip], arguments: list[str], code: int, reason: str
    ) -> None:
        result = cli(*arguments, input='{"no": "id"}\n')
        assert (result.exit_code, result.stdout) == (code, "")
        assert reason in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert [library.get(clip.id) for clip in clips] == clips


def test_without_a_library_nothing_is_made(cli: Run, tmp_path: Path) -> None:
    for arguments in (["tag", "last", "--add", "x"], ["rate", "last", "3"], ["remove", "last"], ["trash"]):
        result = cli(*arguments)
        assert result.exit_code == 1
        assert "no library" in result.stderr
    assert list(tmp_path.iterdir()) == []
