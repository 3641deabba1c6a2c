"""Batches that are made again: no clip is made twice, after a crash neither."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from library_files import FIVE, files_of, made

from audiolib import (
    AudioLibrary,
    BatchOutcome,
    GenerationRequest,
)
from audiolib.errors import InvalidInputError
from audiolib.lines import line_keys
from audiolib.promptfiles import read_prompt_file
from audiolib.settings import Settings
from audiolib.sidecars import read_sidecar
from generation.audio import save_audio
from generation.config import DecoderConfig, MelodyConfig, MusicGenConfig
from generation.musicgen import MusicGen
from generation.tiny import make_tiny_checkpoint
from indexing import ClipIndex

SHORT = 0.2
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


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
