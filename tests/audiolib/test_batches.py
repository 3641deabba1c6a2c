"""Batches: clips made together are those made alone, and none is lost where one fails."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from library_files import FIVE, bad_prompts, files_of, made

from audiolib import (
    AudioLibrary,
    ClipProgress,
    GenerationRequest,
    SoundFinish,
)
from audiolib.batches import by_batch, runs
from audiolib.codes import read_codes
from audiolib.errors import InvalidInputError
from audiolib.promptfiles import read_prompt_file
from generation.errors import AudioError, GenerationError
from generation.musicgen import MusicGen
from indexing import ClipIndex

SHORT = 0.2


def codes_of(library: AudioLibrary, clip_id: str) -> np.ndarray:
    path = next(library.path.rglob(f"{clip_id}.codes.npz"))
    stored = read_codes(path)
    assert stored is not None
    return stored.codes


def recipe_of(library: AudioLibrary, clip_id: str) -> dict[str, object]:
    (path,) = library.path.rglob(f"{clip_id}.json")
    return dict(json.loads(path.read_text())["recipe"])


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
            tried = bad_prompts(patch, "techno")
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
        tried = bad_prompts(monkeypatch)
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
        bad_prompts(monkeypatch, "two")
        requests = [GenerationRequest(prompt=p, duration=SHORT) for p in ("one", "two", "three")]
        with pytest.raises(GenerationError, match="at two"):
            list(library.generate_all(requests))
        assert [clip.prompt for clip in library.list()] == ["one"]
