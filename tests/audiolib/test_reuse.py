"""A clip that is there in place of a new one: only what was asked for, and one clip however many ask at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from library_files import files_of

from audiolib import AudioLibrary, Clip, GenerationRequest
from audiolib.clip import Recipe
from audiolib.errors import InvalidInputError, LibraryFormatError
from audiolib.ids import new_id
from audiolib.reuse import Reuse, Wish
from audiolib.sidecars import edit_sidecar, read_sidecar, write_sidecar
from indexing.filters import Filters

Run = Callable[..., Result]
SHORT = 0.2


@pytest.fixture
def library(stocked: AudioLibrary) -> AudioLibrary:
    return stocked


@pytest.fixture
def piano(library: AudioLibrary) -> Clip:
    return next(clip for clip in library.list() if clip.prompt == "calm piano")


def sidecar_of(clip: Clip) -> Path:
    return clip.path.with_name(f"{clip.id}.json")


def another(library: AudioLibrary, clip: Clip, *, index: bool = True, **changes: Any) -> Clip:
    """A clip like another one but for some fields, whose audio is a link to the same file."""
    recipe = library.recipe(clip.id)
    assert recipe is not None
    clip_id = new_id()
    path = clip.path.with_name(f"{clip_id}{clip.path.suffix}")
    path.hardlink_to(clip.path)
    made = replace(clip, id=clip_id, path=path, **changes)
    written = write_sidecar(
        path.with_name(f"{clip_id}.json"), made, recipe=replace(recipe, prompt=made.prompt or ""), codes=None
    )
    if index:
        library._catalogue.add([written])
    return made


def wanted(library: AudioLibrary, prompt: str = "calm piano", **options: Any) -> Clip | None:
    """What would be used again; `None` where a clip would have to be made."""
    rest = {name: options.pop(name) for name in ("min_score", "filters", "audio_format") if name in options}
    request = GenerationRequest(prompt=prompt, **{"duration": SHORT, **options})
    model = library._composer.model_id(request.model)
    wish = Wish(request=request, prompt=prompt.strip(), model_id=model, **rest)
    found = Reuse(library._folder, library._catalogue).find(wish)
    return None if found is None else found.clip


class TestWhatFits:
    @pytest.mark.parametrize("prompt", ["calm piano", "  Calm   PIANO", "calm piano.", "“Calm piano!”"])
    def test_the_same_words(self, library: AudioLibrary, piano: Clip, prompt: str) -> None:
        assert wanted(library, prompt) == piano
        assert wanted(library, prompt, min_score=1.0) == piano

    def test_other_wishes_are_not_met(self, library: AudioLibrary, piano: Clip) -> None:
        others: list[dict[str, Any]] = [
            {"prompt": "loud piano"},
            {"prompt": "no piano"},
            {"duration": 0.3},
            {"duration": None},
            {"duration": None, "max_steps": 14},
            {"model": "other"},
            {"seed": 8},
            {"temperature": 0.5},
            {"top_k": 3},
            {"top_p": 0.5},
            {"guidance": 1.0},
            {"dtype": "float16"},
            {"tags": ["night"]},
            {"sample_rate": 44_100},
            {"audio_format": "flac"},
            {"filters": Filters(rating=1)},
            {"filters": Filters(tags=("night",))},
        ]
        for other in others:
            assert wanted(library, **other) is None, other

    def test_the_same_wishes_are(self, library: AudioLibrary, piano: Clip) -> None:
        library.tag(piano, add=["lofi"])
        library.rate(piano, 4)
        wishes: list[dict[str, Any]] = [
            {"duration": None, "max_steps": 13},
            {"model": "tiny"},
            {"seed": 7, "temperature": 1.0, "top_k": 250, "guidance": 3.0},
            {"tags": ["Lofi"]},
            {"sample_rate": 32_000},
            {"audio_format": "wav"},
            {"filters": Filters(rating=3, tags=("lofi",), kind="generated")},
        ]
        for wish in wishes:
            found = wanted(library, **wish)
            assert found is not None, wish
            assert found.id == piano.id

    def test_near_words_by_their_score(self, library: AudioLibrary, piano: Clip) -> None:
        assert wanted(library, "soft calm piano") is None  # 0.91
        assert wanted(library, "soft calm piano", min_score=0.8) == piano
        assert wanted(library, "loud piano", min_score=0.7) == piano
        assert wanted(library, "loud piano", min_score=0.8) is None

    def test_prompts_are_compared_not_documents(self, library: AudioLibrary, piano: Clip) -> None:
        """Tags and transcripts make a document another one, not the prompt."""
        before = wanted(library, "soft calm piano", min_score=0.8)
        library.tag(piano, add=["thunder", "bagpipes", "1987", "for the wedding video"])
        after = wanted(library, "soft calm piano", min_score=0.8)
        assert before is not None
        assert after is not None
        assert before.id == after.id == piano.id

    def test_the_nearest_then_the_best_then_the_newest(self, library: AudioLibrary, piano: Clip) -> None:
        near = another(library, piano, prompt="soft calm piano", title="soft calm piano")
        assert wanted(library, min_score=0.5) == piano
        assert wanted(library, "soft calm piano", min_score=0.5) == near
        newest = another(library, piano)
        assert wanted(library) == newest
        library.rate(piano, 2)
        found = wanted(library)
        assert found is not None
        assert found.id == piano.id

    def test_what_is_gone_or_damaged_is_not_used(self, library: AudioLibrary, piano: Clip) -> None:
        newest = another(library, piano)
        newest.path.unlink()
        assert wanted(library) == piano
        sidecar_of(newest).write_text("{")
        assert wanted(library) == piano
        library.remove(piano)
        assert wanted(library) is None

    def test_a_stale_row_does_not_count(self, library: AudioLibrary, piano: Clip) -> None:
        """The files are the truth: a sidecar that was edited by hand is believed."""
        edit_sidecar(sidecar_of(piano), {"tags": ["lofi"], "model": "other"})
        assert wanted(library) is None

    def test_what_has_no_row_is_found_by_its_words(self, library: AudioLibrary, piano: Clip) -> None:
        library.remove(piano)
        made = another(library, next(iter(library.list())), index=False, prompt="calm piano")
        assert wanted(library, "Calm piano") == made
        assert wanted(library, "soft calm piano", min_score=0.5) is None

    def test_a_lossy_format_may_be_longer(self, library: AudioLibrary, piano: Clip) -> None:
        library.remove(piano)
        longer = another(library, library.restore()[0], duration=0.31)
        library.remove(piano.id)
        assert wanted(library) == longer

    def test_without_an_embedder_only_the_same_words(
        self, library: AudioLibrary, piano: Clip, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from indexing.errors import EmbedderUnavailableError

        def unavailable(*_args: object, **_options: object) -> np.ndarray:
            raise EmbedderUnavailableError("none here")

        monkeypatch.setattr("indexing.embed.load_embedder", unavailable)
        fresh = AudioLibrary(library.path, settings=library.settings)
        assert wanted(fresh) == piano
        assert wanted(fresh, "soft calm piano", min_score=0.1) is None

    def test_an_imported_clip_is_no_models(self, library: AudioLibrary, piano: Clip) -> None:
        document = json.loads(sidecar_of(piano).read_text())
        document |= {"kind": "imported", "model": None, "recipe": None}
        sidecar_of(piano).write_text(json.dumps(document))
        library.index(rebuild=True)
        assert wanted(library) is None

    def test_an_old_recipe_of_steps(self, library: AudioLibrary, piano: Clip) -> None:
        document = json.loads(sidecar_of(piano).read_text())
        recipe = replace(Recipe.from_json(document["recipe"]), duration=None)
        edit_sidecar(sidecar_of(piano), {"recipe": recipe.to_json()})
        assert wanted(library) is not None
        assert read_sidecar(sidecar_of(piano)).recipe == recipe


class TestOneClip:
    def test_made_once_then_used(self, library: AudioLibrary) -> None:
        before = len(list(library.list()))
        first = library.get_or_generate("slow strings", duration=SHORT)
        assert library.get_or_generate("Slow strings", duration=SHORT) == first
        assert len(list(library.list())) == before + 1
        assert not list(library.path.glob(".reuse-*"))

    def test_of_several_wishes_each_gets_its_own(self, library: AudioLibrary) -> None:
        requests = [GenerationRequest(prompt="calm piano", duration=SHORT) for _ in range(3)]
        numbers: list[tuple[int, int]] = []
        found = list(
            library.reuse_or_generate(requests, progress=lambda at: numbers.append((at.number, at.clips)))
        )
        assert [item.reused for item in found] == [True, False, False]
        assert len({item.clip.id for item in found}) == 3
        assert set(numbers) == {(2, 3), (3, 3)}
        again = list(library.reuse_or_generate(requests))
        assert [item.reused for item in again] == [True] * 3

    def test_nonsense_is_told_before_anything_is_made(self, library: AudioLibrary, tmp_path: Path) -> None:
        before = files_of(library.path)
        for score in (-0.1, 1.1, float("nan")):
            with pytest.raises(InvalidInputError, match="score"):
                library.get_or_generate("new words", duration=SHORT, min_score=score)
        with pytest.raises(InvalidInputError, match="empty"):
            list(library.reuse_or_generate([GenerationRequest(prompt=text) for text in ("new", "")]))
        assert files_of(library.path) == before
        (tmp_path / "new" / "audio").mkdir(parents=True)
        (tmp_path / "new" / "library.json").write_text('{"format": 99}')
        with pytest.raises(LibraryFormatError):
            AudioLibrary(tmp_path / "new", settings=library.settings).get_or_generate("calm", duration=SHORT)

    def test_others_wait_only_for_the_same(
        self, library: AudioLibrary, caplog: pytest.LogCaptureFixture
    ) -> None:
        request = GenerationRequest(prompt="slow strings", duration=SHORT)
        wish = Wish(request=request, prompt="slow strings", model_id="tiny")
        found: list[Clip] = []
        other = AudioLibrary(library.path, settings=library.settings)

        def ask() -> None:
            found.append(other.get_or_generate("Slow  strings", duration=SHORT))

        waiting = threading.Thread(target=ask)
        with Reuse(library._folder, library._catalogue).alone(wish):
            waiting.start()
            made = library.get_or_generate("fast drums", duration=SHORT)
            assert made.prompt == "fast drums"
            until = time.monotonic() + 60
            while "making this very clip" not in caplog.text:
                assert time.monotonic() < until
                time.sleep(0.05)
            assert f"rocess {os.getpid()}" in caplog.text
            assert found == []
            clip = library.generate("slow strings", duration=SHORT)
        waiting.join(60)
        assert found == [clip]

    def test_processes_at_once_make_one(self, library: AudioLibrary, tmp_path: Path) -> None:
        start = tmp_path / "start"
        workers = [_worker(library, start, "slow strings") for _ in range(2)]
        _all_ready(workers)
        start.touch()
        answers = [json.loads(worker.communicate(timeout=120)[0]) for worker in workers]
        assert sorted(answer["reused"] for answer in answers) == [False, True]
        assert len({answer["id"] for answer in answers}) == 1
        assert sum(clip.prompt == "slow strings" for clip in library.list()) == 1
        assert not list(library.path.glob(".reuse-*"))

    @pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
    def test_one_that_was_killed_holds_nobody_up(self, library: AudioLibrary, tmp_path: Path) -> None:
        worker = _worker(library, tmp_path / "never", "slow strings", at="hold")
        _all_ready([worker])
        assert len(list(library.path.glob(".reuse-*"))) == 1
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=60)
        begun = time.monotonic()
        assert library.get_or_generate("slow strings", duration=SHORT).prompt == "slow strings"
        assert time.monotonic() - begun < 30
        assert not list(library.path.glob(".reuse-*"))


SCRIPT = """
import json, pathlib, sys, time
from audiolib import AudioLibrary, GenerationRequest
from audiolib.reuse import Reuse, Wish
from audiolib.settings import Settings
path, start, prompt, at = sys.argv[1:]
library = AudioLibrary(path, settings=Settings(model="tiny"))
request = GenerationRequest(prompt=prompt, duration=0.2)
library._composer.load_for(request)
library._catalogue.load_embedder()
def wait():
    print("ready", flush=True)
    while not pathlib.Path(start).exists():
        time.sleep(0.005)
if at == "hold":
    with Reuse(library._folder, library._catalogue).alone(Wish(request=request, prompt=prompt, model_id="tiny")):
        wait()
wait()
(found,) = library.reuse_or_generate([request])
print(json.dumps({"id": found.clip.id, "reused": found.reused}), flush=True)
"""


def _worker(library: AudioLibrary, start: Path, prompt: str, at: str = "ask") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(library.path), str(start), prompt, at]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _all_ready(workers: list[subprocess.Popen[str]]) -> None:
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"


class TestCommand:
    @pytest.fixture(autouse=True)
    def _here(self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUDIOLIB_LIBRARY", str(library.path))

    def test_reuse(self, cli: Run, library: AudioLibrary, piano: Clip) -> None:
        short = ("--duration", "0.2")
        result = cli("generate", "calm piano", *short, "--reuse", "--json")
        assert json.loads(result.stdout) == {**piano.to_json(), "reused": True, "score": 1.0}
        text = cli("generate", "soft calm piano", *short, "--reuse", "0.8").stdout
        assert text.startswith("calm piano\n")
        assert "that was there (prompt 0.9" in text
        made = json.loads(cli("generate", "soft calm piano", *short, "--reuse", "--json").stdout)
        assert (made["reused"], made["score"], made["prompt"]) == (False, None, "soft calm piano")
        plain = json.loads(cli("generate", "calm piano", *short, "--json").stdout)
        assert "reused" not in plain
        assert plain["id"] != piano.id

    def test_copies_of_what_was_there(
        self, cli: Run, library: AudioLibrary, piano: Clip, tmp_path: Path
    ) -> None:
        short = ("--duration", "0.2", "--reuse", "--json")
        result = cli("generate", "calm piano", *short, "--output", "song.wav")
        assert json.loads(result.stdout)["id"] == piano.id
        assert (tmp_path / "song.wav").read_bytes() == piano.path.read_bytes()
        result = cli("generate", "calm piano", *short, "--output", "song.flac")
        assert json.loads(result.stdout)["reused"] is False
        assert (tmp_path / "song.flac").read_bytes()[:4] == b"fLaC"

    def test_lines_of_a_file_have_formats_of_their_own(
        self, cli: Run, library: AudioLibrary, piano: Clip
    ) -> None:
        lines = ['{"prompt": "calm piano", "audio_format": "flac"}', '{"prompt": "calm piano"}']
        reuse = ("generate", "--from-file", "-", "--duration", "0.2", "--reuse", "--json")
        made, there = cli(*reuse, input="\n".join(lines)).stdout.splitlines()
        assert (json.loads(made)["reused"], Path(json.loads(made)["path"]).suffix) == (False, ".flac")
        assert (json.loads(there)["reused"], json.loads(there)["id"]) == (True, piano.id)
        (again,) = cli(*reuse, input=lines[0]).stdout.splitlines()
        assert json.loads(again)["id"] == json.loads(made)["id"]
        before = files_of(library.path)
        refused = cli(*reuse, input='{"prompt": "calm piano", "output": "song.wav"}')
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "'output'" in refused.stderr
        refused = cli(*reuse, "--output", "song.wav", input=lines[0])
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "contradicts" in refused.stderr
        assert files_of(library.path) == before

    def test_filters(self, cli: Run, library: AudioLibrary, piano: Clip) -> None:
        short = ("--duration", "0.2", "--reuse", "--json")
        library.rate(piano, 3)
        assert json.loads(cli("generate", "calm piano", *short, "--rating", "3").stdout)["id"] == piano.id
        assert json.loads(cli("generate", "calm piano", *short, "--rating", "4").stdout)["reused"] is False

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--reuse", "calm piano"], "before it"),
            (["calm", "--reuse", "2"], "from 0 to 1"),
            (["calm", "--reuse=nan"], "from 0 to 1"),
            (["calm", "--reuse", "--no-index"], "--no-index"),
            (["calm", "--rating", "3"], "need --reuse"),
        ],
    )
    def test_wrong_usage_is_one_sentence(
        self, cli: Run, library: AudioLibrary, arguments: list[str], reason: str
    ) -> None:
        result = cli("generate", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert reason in result.stderr
        assert len(result.stderr.splitlines()) == 1
