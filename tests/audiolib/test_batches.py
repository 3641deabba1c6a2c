"""Batches: clips made together are those made alone, none is lost, and none is made twice."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from library_files import files_of

from audiolib import (
    AudioLibrary,
    BatchOutcome,
    ClipProgress,
    GenerationRequest,
    SoundFinish,
)
from audiolib.batches import by_batch, runs
from audiolib.codes import read_codes
from audiolib.errors import InvalidInputError
from audiolib.lines import line_keys
from audiolib.promptfiles import read_prompt_file
from audiolib.settings import Settings
from audiolib.sidecars import read_sidecar
from audiolib.studio import Studio
from generation.audio import save_audio
from generation.config import DecoderConfig, MelodyConfig, MusicGenConfig
from generation.errors import AudioError, GenerationError
from generation.musicgen import MusicGen
from generation.tiny import make_tiny_checkpoint
from indexing import ClipIndex

Run = Callable[..., Result]
SHORT = 0.2
FIVE = b"calm piano\nhappy rock\ntechno\nsad strings\ndark ambient\n"
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def made(outcomes: list[BatchOutcome]) -> list[BatchOutcome]:
    assert {outcome.status for outcome in outcomes} == {"made"}
    return outcomes


def codes_of(library: AudioLibrary, clip_id: str) -> np.ndarray:
    path = next(library.path.rglob(f"{clip_id}.codes.npz"))
    stored = read_codes(path)
    assert stored is not None
    return stored.codes


def recipe_of(library: AudioLibrary, clip_id: str) -> dict[str, object]:
    (path,) = library.path.rglob(f"{clip_id}.json")
    return dict(json.loads(path.read_text())["recipe"])


def _bad(
    monkeypatch: pytest.MonkeyPatch, *prompts: str, error: type[Exception] = GenerationError
) -> list[int]:
    """Make the engine fail at prompts; how large the batches were that were tried."""
    encode, compose, tried = MusicGen.encode_text, MusicGen.compose, list[int]()

    def failing(self: MusicGen, prompt: str) -> object:
        if prompt in prompts:
            raise error(f"The weights are damaged at {prompt}.")
        return encode(self, prompt)

    def counting(self: MusicGen, texts: list[str], **options: object) -> object:
        tried.append(len(texts))
        return compose(self, texts, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(MusicGen, "encode_text", failing)
    monkeypatch.setattr(MusicGen, "compose", counting)
    return tried


class TestTogether:
    def test_the_same_codes_as_alone(self, library: AudioLibrary) -> None:
        lines = read_prompt_file(FIVE, duration=SHORT, seed=7)
        outcomes = made(list(library.generate_batch(lines)))
        assert [outcome.line for outcome in outcomes] == lines
        for outcome, together in zip(outcomes, [4, 4, 4, 4, 1], strict=True):
            clip = outcome.clip
            assert clip is not None
            assert clip.seed == outcome.line.request.seed
            assert recipe_of(library, clip.id)["batch_size"] == together
            alone = library.generate(clip.prompt or "", duration=SHORT, seed=clip.seed)
            np.testing.assert_array_equal(codes_of(library, alone.id), codes_of(library, clip.id))
            assert alone.audio_sha256 == clip.audio_sha256
            assert library.reproduce(clip.id).codes_compared

    def test_sixteen_bit_clips_come_out_again(self, library: AudioLibrary) -> None:
        """Prompts of different lengths in one batch, whose texts are padded to the longest."""
        long = b"calm\nhappy rock guitar with slow sad strings and dark electronic drums\npiano\n"
        outcomes = made(list(library.generate_batch(read_prompt_file(long, duration=SHORT, dtype="float16"))))
        for outcome in outcomes:
            assert outcome.clip is not None
            assert recipe_of(library, outcome.clip.id)["batch_size"] == 3
            assert library.reproduce(outcome.clip.id).codes_compared

    def test_generate_all_shares_and_keeps_the_order(self, library: AudioLibrary) -> None:
        lengths = [SHORT, SHORT, 0.3, SHORT]
        requests = [GenerationRequest(prompt=f"{n}", duration=s, seed=n) for n, s in enumerate(lengths)]
        clips = list(library.generate_all(requests))
        assert [clip.prompt for clip in clips] == ["0", "1", "2", "3"]
        assert [clip.duration for clip in clips] == lengths
        assert [recipe_of(library, clip.id)["batch_size"] for clip in clips] == [2, 2, 1, 1]

    def test_who_shares(self) -> None:
        calm = GenerationRequest(prompt="calm", seed=1)
        loud = replace(
            calm, prompt="loud", seed=2, tags=("a",), audio_format="mp3", finish=SoundFinish(fade_in=1)
        )
        requests = [
            calm,
            replace(calm, duration=3.0),
            loud,
            replace(calm, melody="last"),
            replace(calm, model="other"),
            replace(loud, melody="last"),
            replace(calm, duration=3.0, seed=5),
            replace(calm, model=("tiny", "other")),
            replace(calm, guidance=1.0),
            replace(loud, model="other"),
        ]
        order = by_batch(requests)
        assert order == [0, 2, 1, 6, 3, 5, 8, 4, 9, 7]
        assert list(runs([requests[n] for n in order])) == [[0, 1], [2, 3], [4], [5], [6], [7, 8], [9]]

    def test_each_is_stored_and_found_when_it_is_told(self, library: AudioLibrary) -> None:
        told: list[str] = []
        for outcome in library.generate_batch(read_prompt_file(FIVE, duration=SHORT)):
            assert outcome.clip is not None
            told.append(outcome.clip.id)
            assert [clip.id for clip in library.list()] == told[::-1]
            assert ClipIndex(library.path / "index").ids() == set(told)

    def test_progress_of_the_whole(self, library: AudioLibrary) -> None:
        seen: list[ClipProgress] = []
        list(library.generate_batch(read_prompt_file(FIVE, duration=SHORT), progress=seen.append))
        assert {(at.number, at.together, at.clips) for at in seen} == {(1, 4, 5), (5, 1, 5)}
        done = [at.number - 1 + at.together * at.done / at.total for at in seen]
        assert done == sorted(done)
        assert done[-1] == 5

    def test_what_makes_no_sense_is_told_before_anything_is_made(self, library: AudioLibrary) -> None:
        data = b'{"prompt": "calm"}\n{"prompt": "loud", "duration": 1e9}\n'
        with pytest.raises(InvalidInputError, match=r"^Line 2: .*limit"):
            next(library.generate_batch(read_prompt_file(data)))
        with pytest.raises(InvalidInputError, match=r"^Line 2: .*nothing-there"):
            next(
                library.generate_batch(
                    read_prompt_file(b'{"prompt": "a"}\n{"prompt": "b", "continue_from": "nothing-there"}')
                )
            )
        assert not library.path.exists()


class TestFailures:
    def test_one_does_not_lose_the_others(
        self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = read_prompt_file(FIVE, duration=SHORT, seed=1)
        with monkeypatch.context() as patch:
            tried = _bad(patch, "techno")
            outcomes = list(library.generate_batch(lines))
        assert Counter(outcome.status for outcome in outcomes) == {"made": 4, "failed": 1}
        (failed,) = (outcome for outcome in outcomes if outcome.status == "failed")
        assert (failed.line.number, failed.clip) == (3, None)
        assert failed.reason == "The weights are damaged at techno."
        assert tried == [4, 2, 2, 1, 1, 1]  # halved until it is alone
        again = list(library.generate_batch(lines))
        assert Counter(outcome.status for outcome in again) == {"present": 4, "made": 1}
        assert again[-1].line.number == 3

    @pytest.mark.parametrize("error", [RuntimeError, MemoryError])
    def test_too_little_memory_makes_smaller_batches(
        self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
    ) -> None:
        compose = MusicGen.compose

        def tight(self: MusicGen, texts: list[str], **options: object) -> object:
            if len(texts) > 2:
                raise error("[malloc] Unable to allocate 99 bytes")
            return compose(self, texts, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(MusicGen, "compose", tight)
        outcomes = made(list(library.generate_batch(read_prompt_file(FIVE, duration=SHORT))))
        sizes = [recipe_of(library, o.clip.id)["batch_size"] for o in outcomes if o.clip]
        assert sizes == [2, 2, 2, 2, 1]

    def test_a_clip_that_cannot_be_written(
        self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from audiolib import recording

        write, written = recording.write_codes, list[Path]()

        def failing(path: Path, *rest: Any) -> None:
            write(path, *rest)
            written.append(path)
            if len(written) == 2:
                raise AudioError("It cannot be written.")

        monkeypatch.setattr(recording, "write_codes", failing)
        outcomes = list(library.generate_batch(read_prompt_file(b"one\ntwo\nthree\n", duration=SHORT)))
        assert [outcome.status for outcome in outcomes] == ["made", "failed", "made"]
        assert outcomes[1].reason == "It cannot be written."
        assert len(files_of(library.path / "audio")) == 6

    def test_a_full_disk_stops_all(self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUDIOLIB_CRASH_AT", "generate.codes-written:1:enospc")
        outcomes = library.generate_batch(read_prompt_file(b"one\ntwo\n", duration=SHORT))
        with pytest.raises(OSError, match="No space left"):
            list(outcomes)

    def test_a_disk_that_is_full_at_the_audio_stops_all(
        self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from generation import audio

        write, written = audio._write_atomically, list[Path]()

        def failing(path: Path, *rest: Any) -> None:
            written.append(path)
            if len(written) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(path, *rest)

        monkeypatch.setattr(audio, "_write_atomically", failing)
        tried = _bad(monkeypatch)
        with pytest.raises(AudioError, match="No space left"):
            list(library.generate_batch(read_prompt_file(FIVE, duration=SHORT)))
        assert (tried, len(written)) == ([4], 2)  # the batch of the fifth is not computed any more
        assert len(list(library.list())) == 1

    def test_a_model_that_cannot_be_loaded_fails_its_own(self, library: AudioLibrary, models: Path) -> None:
        import shutil

        broken = library.path.parent / "broken"
        shutil.copytree(models / "other", broken)
        (broken / "model.safetensors").write_bytes(b"no weights")
        data = json.dumps({"prompt": "one", "model": str(broken)}) + '\n{"prompt": "two"}\n'
        outcomes = list(library.generate_batch(read_prompt_file(data.encode(), duration=SHORT)))
        assert [(o.line.number, o.status) for o in outcomes] == [(1, "failed"), (2, "made")]

    def test_without_a_batch_the_error_is_raised(
        self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _bad(monkeypatch, "two")
        requests = [GenerationRequest(prompt=p, duration=SHORT) for p in ("one", "two", "three")]
        with pytest.raises(GenerationError, match="at two"):
            list(library.generate_all(requests))
        assert [clip.prompt for clip in library.list()] == ["one"]


class TestAgain:
    def test_nothing_is_made_twice(self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = read_prompt_file(b"calm\ncalm\nloud\n", count=2, duration=SHORT)
        first = made(list(library.generate_batch(lines)))
        files = files_of(library.path)
        with monkeypatch.context() as patch:
            patch.setattr(MusicGen, "compose", None)  # no model is run at all
            second = list(AudioLibrary(library.path, settings=library.settings).generate_batch(lines))
        assert [outcome.status for outcome in second] == ["present"] * 6
        assert [o.clip and o.clip.id for o in second] == [o.clip and o.clip.id for o in first]
        assert files_of(library.path) == files
        assert {o.status for o in library.generate_batch(lines, again=True)} == {"made"}

    @pytest.mark.parametrize(
        "data",
        [
            b'{"prompt": "calm", "duration": 0.2, "seed": 4}',
            b'{"prompt": "calm", "duration": 0.3}',
            b'{"prompt": "calm", "duration": 0.2, "guidance": 2}',
            b'{"prompt": "calm", "duration": 0.2, "model": "other"}',
            b'{"prompt": "calm", "duration": 0.2, "tags": ["a"]}',
            b'{"prompt": "calm", "duration": 0.2, "audio_format": "flac"}',
            b'{"prompt": "calm", "duration": 0.2, "fade_in": 0.1}',
            b'{"prompt": "Calm", "duration": 0.2}',
        ],
    )
    def test_another_line_is_another_clip(self, library: AudioLibrary, data: bytes) -> None:
        here = read_prompt_file(b'{"prompt": "calm", "duration": 0.2}')
        made(list(library.generate_batch(here)))
        made(list(library.generate_batch(read_prompt_file(data))))
        assert [o.status for o in library.generate_batch([*here, *read_prompt_file(data)])] == ["present"] * 2

    def test_other_weights_are_other_clips(self, library: AudioLibrary, models: Path, tmp_path: Path) -> None:
        import shutil

        shutil.copytree(models / "tiny", tmp_path / "mine")
        lines = read_prompt_file(b"calm", duration=SHORT, seed=1, model=str(tmp_path / "mine"))
        made(list(library.generate_batch(lines)))
        shutil.copy(models / "other" / "model.safetensors", tmp_path / "mine")
        library = AudioLibrary(library.path, settings=library.settings)
        made(list(library.generate_batch(lines)))
        assert [o.status for o in library.generate_batch(lines)] == ["present"]

    def test_lines_may_move(self, library: AudioLibrary) -> None:
        made(list(library.generate_batch(read_prompt_file(b"one\ntwo\n", duration=SHORT))))
        outcomes = list(
            library.generate_batch(read_prompt_file(b"# new\nzero\ntwo\none\none\n", duration=SHORT))
        )
        assert [(o.line.number, o.status) for o in outcomes] == [
            (3, "present"),
            (4, "present"),
            (2, "made"),
            (5, "made"),
        ]

    def test_last_is_refused_for_it_is_another_clip_next_time(
        self, library: AudioLibrary, tmp_path: Path
    ) -> None:
        decoder = replace(DecoderConfig.tiny(), cross_attention=False)
        config = replace(MusicGenConfig.tiny(), decoder=decoder, melody=MelodyConfig(chroma_length=10))
        make_tiny_checkpoint(tmp_path / "tune", 8, config)
        clip = library.generate("calm", duration=SHORT)
        for line in ({"continue_from": "last"}, {"melody": "last", "model": str(tmp_path / "tune")}):
            data = json.dumps({"prompt": "one", **line, "duration": 0.4}).encode()
            with pytest.raises(InvalidInputError, match=f"^Line 1: `last` .*{clip.id} instead"):
                library.check_batch(read_prompt_file(data))
        lines = read_prompt_file(b"one", duration=0.4, continue_from=clip.id)
        assert library.check_batch(lines)[0].continue_from == clip.id
        from_no_file = [
            replace(lines[0], number=None, request=replace(lines[0].request, continue_from="last"))
        ]
        assert library.check_batch(from_no_file)[0].continue_from == clip.id

    def test_other_sound_to_go_on_from_is_another_clip(self, library: AudioLibrary, tmp_path: Path) -> None:
        def line(name: str, frequency: float) -> list[BatchOutcome]:
            sound = np.sin(np.arange(3200) * frequency).astype(np.float32)
            save_audio(tmp_path / name, sound / 2, 16_000)
            return list(
                library.generate_batch(
                    read_prompt_file(b"one", duration=0.4, continue_from=str(tmp_path / name))
                )
            )

        outcomes = [line("a.wav", 0.1), line("a.wav", 0.2), line("b.wav", 0.1)]
        assert [outcome.status for (outcome,) in outcomes] == ["made", "made", "present"]

    def test_a_clip_that_is_gone_is_made_again(self, library: AudioLibrary) -> None:
        lines = read_prompt_file(b"one\ntwo\nthree", duration=SHORT, seed=3)
        clips = [o.clip for o in made(list(library.generate_batch(lines))) if o.clip]
        library.remove(clips[0])
        clips[1].path.unlink()
        library.tag(clips[2], add=["kept"])
        assert [(o.line.number, o.status) for o in library.generate_batch(lines)] == [
            (3, "present"),
            (1, "made"),
            (2, "made"),
        ]

    def test_prompts_from_no_file_are_not_remembered(self, library: AudioLibrary) -> None:
        lines = [replace(line, number=None) for line in read_prompt_file(b"one", duration=SHORT, seed=1)]
        for _ in range(2):
            made(list(library.generate_batch(lines)))
        for path in (library.path / "audio").rglob("*.json"):
            assert "line" not in read_sidecar(path).document

    def test_a_name_is_the_same_in_every_version(self) -> None:
        """Or files of prompts would be made again after an update: only what is asked for goes into it."""
        request = GenerationRequest(prompt="calm", duration=8.0, seed=3)
        keys = line_keys([request, request, request], seeded=[True, False, False], digests=["d"] * 3)
        assert keys[0] == "90bc0b2b87b18f2eb25185e093f3809f"
        assert len(set(keys)) == 3


def run_file(library: Path, *more: str, at: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "audiolib", "generate", "--from-file", "prompts.txt", "--json"]
    environment = {**os.environ, **({} if at is None else {"AUDIOLIB_CRASH_AT": at})}
    return subprocess.run(
        [*command, "--duration", str(SHORT), "--library", str(library), *more],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )


def told(result: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@posix
@pytest.mark.parametrize(
    "at",
    [
        "generate.audio-written:3",
        pytest.param("generate.codes-written:2", marks=pytest.mark.slow),
        pytest.param("generate.sidecar-written:4", marks=pytest.mark.slow),
        pytest.param("generate.row-written:1", marks=pytest.mark.slow),
        pytest.param("file.written:8", marks=pytest.mark.slow),
    ],
)
def test_killed_in_the_middle_a_rerun_makes_exactly_the_missing(tmp_path: Path, at: str) -> None:
    (tmp_path / "prompts.txt").write_bytes(FIVE + b"calm piano\n")  # without seeds, and one twice
    root = tmp_path / "library"
    killed = run_file(root, at=at)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = {str(clip["id"]) for clip in told(killed)}
    sounds = {path.stem[:26] for path in (root / "audio").rglob("*.wav") if not path.name.startswith(".")}
    assert before <= sounds
    result = run_file(root)
    assert result.returncode == 0, result.stderr
    outcomes = told(result)
    assert len(outcomes) == 6
    assert sorted(str(clip["prompt"]) for clip in outcomes) == sorted(
        [*FIVE.decode().split("\n")[:-1], "calm piano"]
    )
    assert {
        str(c["id"]) for c in outcomes if c["status"] == "present"
    } == sounds  # all that was written is used
    library = AudioLibrary(root, settings=Settings(model="tiny"))
    assert {clip.id for clip in library.list()} == {str(clip["id"]) for clip in outcomes}
    assert ClipIndex(root / "index").ids() == {str(clip["id"]) for clip in outcomes}
    assert all(library.reproduce(str(clip["id"])) for clip in outcomes)
    for path in (root / "audio").rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    library.check(repair=True)  # and nothing comes back later
    assert len(list(library.list())) == 6
    third = run_file(root)
    assert [clip["status"] for clip in told(third)] == ["present"] * 6


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
            _bad(patch, "techno", "dark ambient")
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
        _bad(monkeypatch, "techno")
        result = cli("generate", "--from-file", "prompts.txt", "--duration", "0.2", *more)
        *_notes, failure, last = result.stderr.splitlines()
        assert failure == "Line 3 (techno): The weights are damaged at techno."
        if error is KeyboardInterrupt:
            assert last.startswith("Interrupted. 2 of 5 clips are stored.")
            assert ("goes on where" in last) == (more == ())
        else:
            assert "The disk is full" in last

    def test_with_again_all_would_be_tried_again(self, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        _bad(monkeypatch, "techno")
        result = cli("generate", "--from-file", "-", "--duration", "0.2", "--again", input="techno\n")
        assert result.stderr.splitlines()[-1] == "Error: 1 of 1 clip could not be made."

    def test_one_of_a_count_fails(self, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        _bad(monkeypatch, "techno")
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
        command = [
            sys.executable,
            "-m",
            "audiolib",
            "generate",
            "--from-file",
            "prompts.txt",
            "--duration",
            "2",
        ]
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
        command = [
            sys.executable,
            "-m",
            "audiolib",
            "generate",
            "--from-file",
            "prompts.txt",
            "--duration",
            "3",
            "--json",
        ]
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
