"""What is there more than once: the same samples, or the same sound in other clothes; nothing goes by itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from library_files import files_of

from audiolib import AudioLibrary, Clip
from audiolib.analyses import measured
from audiolib.duplicates import NEAR_SIMILARITY
from audiolib.errors import InvalidInputError
from audiolib.ids import new_id
from audiolib.recording import read_facts
from audiolib.sidecars import edit_sidecar, read_sidecar, write_sidecar
from generation.audio import load_audio, resample, save_audio
from indexing.analysis import analyse

Run = Callable[..., Result]
RATE = 32_000


def tune(seed: int, seconds: float = 2.0) -> np.ndarray:
    """Notes of decaying harmonics, another tune for every seed."""
    rng = np.random.default_rng(seed)
    audio = np.zeros(int(seconds * RATE), dtype=np.float32)
    for start in np.arange(0, seconds, rng.choice([0.2, 0.3, 0.5])):
        times = np.arange(len(audio) - int(start * RATE)) / RATE
        pitch = 110 * 2 ** (rng.integers(0, 30) / 12)
        for harmonic in range(1, 6):
            note = np.sin(2 * np.pi * pitch * harmonic * times) * np.exp(-times * rng.uniform(2, 8))
            audio[int(start * RATE) :] += (note / harmonic).astype(np.float32)
    return 0.5 * audio / np.abs(audio).max()


def put(
    library: AudioLibrary, audio: np.ndarray, suffix: str = ".wav", rate: int = RATE, **more: Any
) -> Clip:
    """A clip of some sound, stored as an import is."""
    clip_id = new_id()
    home = library.path / "audio" / "2026-11"
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{clip_id}{suffix}"
    save_audio(path, audio, rate)
    facts = read_facts(path)
    heard = measured(analyse(load_audio(path)[0], rate)) if facts.duration > 0.1 else None
    base = Clip(
        id=clip_id,
        path=path,
        prompt=None,
        title=f"tune{suffix}",
        model=None,
        seed=None,
        duration=facts.duration,
        sample_rate=facts.sample_rate,
        channels=facts.channels,
        created_at="2026-11-22T11:32:55.438Z",
        kind="imported",
        sha256=facts.sha256,
        audio_sha256=facts.audio_sha256,
    )
    sidecar = write_sidecar(
        home / f"{clip_id}.json",
        replace(base, **more),
        recipe=None,
        codes=None,
        more=heard,
    )
    library._catalogue.add([sidecar])
    return sidecar.clip


def groups(library: AudioLibrary, near: float | None = None) -> list[tuple[str, set[str]]]:
    return [
        (group.keep.id, {item.clip.id for item in group.duplicates})
        for group in library.duplicates(near=near)
    ]


@pytest.fixture
def library(library: AudioLibrary) -> AudioLibrary:
    library.path.mkdir()
    library._folder.create(embedder=library._catalogue.embedder_name())
    return library


class TestSameSamples:
    def test_found_whatever_holds_them(self, library: AudioLibrary) -> None:
        first, other = put(library, tune(1, 0.1)), put(library, tune(2, 0.1))
        flac, again = put(library, tune(1, 0.1), ".flac"), put(library, tune(1, 0.1), title="another title")
        found = library.duplicates()
        assert [(group.keep.id, len(group.duplicates)) for group in found] == [(first.id, 2)]
        assert {item.clip for item in found[0].duplicates} == {flac, again}
        assert all(item.same_samples and item.similarity == 1 for item in found[0].duplicates)
        assert other.id not in str(found)

    def test_nothing_is_removed(self, library: AudioLibrary) -> None:
        put(library, tune(1, 0.1)), put(library, tune(1, 0.1))
        before = files_of(library.path / "audio")
        library.duplicates(near=NEAR_SIMILARITY)
        assert files_of(library.path / "audio") == before

    @pytest.mark.parametrize(
        ("better", "worse"),
        [({"rating": 1}, {"tags": ("x",)}), ({"tags": ("x",)}, {}), ({"rating": 5}, {"rating": 4})],
    )
    def test_the_better_one_is_kept(
        self, library: AudioLibrary, better: dict[str, Any], worse: dict[str, Any]
    ) -> None:
        put(library, tune(1, 0.1), **worse)
        keep = put(library, tune(1, 0.1), **better)
        assert [group.keep for group in library.duplicates()] == [keep]

    def test_the_largest_group_first(self, library: AudioLibrary) -> None:
        for seed, copies in ((1, 2), (2, 3), (3, 1)):
            for _ in range(copies):
                put(library, tune(seed, 0.1))
        assert [len(group.duplicates) for group in library.duplicates()] == [2, 1]

    def test_what_is_gone_is_no_duplicate(self, library: AudioLibrary) -> None:
        _, second = put(library, tune(1, 0.1)), put(library, tune(1, 0.1))
        second.path.with_name(f"{second.id}.json").unlink()
        assert library.duplicates() == []


class TestAudioThatIsGone:
    """What cannot be heard must not be kept in place of what can."""

    def test_it_is_never_the_one_to_keep(
        self, library: AudioLibrary, caplog: pytest.LogCaptureFixture
    ) -> None:
        best = put(library, tune(1, 0.1), rating=5)
        second, third = put(library, tune(1, 0.1)), put(library, tune(1, 0.1))
        best.path.unlink()
        assert groups(library) == [(second.id, {third.id})]
        assert "One clip is passed over: its audio is not there." in caplog.text
        third.path.unlink()
        assert library.duplicates() == []
        assert "2 clips are passed over: their audio is not there." in caplog.text

    def test_nor_where_sounds_are_compared(self, library: AudioLibrary) -> None:
        best, lossy, other = (
            put(library, tune(1)),
            put(library, tune(1), ".mp3"),
            put(library, tune(1), ".ogg"),
        )
        best.path.unlink()
        assert groups(library, NEAR_SIMILARITY) == [(lossy.id, {other.id})]

    def test_a_reference_on_another_disk(self, library: AudioLibrary, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        save_audio(disk / "a.wav", tune(1, 0.1), RATE)
        referenced = library.add(disk / "a.wav", reference=True)
        library.rate(referenced, 5)
        copy = put(library, tune(1, 0.1))
        assert groups(library) == [(referenced.id, {copy.id})]
        disk.rename(tmp_path / "unplugged")
        assert groups(library) == []

    def test_a_name_that_only_the_sidecar_knows(self, library: AudioLibrary) -> None:
        first, second = put(library, tune(1, 0.1)), put(library, tune(1, 0.1))
        renamed = first.path.rename(first.path.with_name(f"{first.id}-mine.wav"))
        edit_sidecar(first.path.with_name(f"{first.id}.json"), {"file": renamed.name})
        assert groups(library) == [(first.id, {second.id})]

    def test_one_that_was_removed_hides_no_others(self, library: AudioLibrary) -> None:
        first, second, third = (put(library, tune(1, 0.1)) for _ in range(3))
        first.path.with_name(f"{first.id}.json").unlink()
        assert groups(library) == [(second.id, {third.id})]


class TestSameSound:
    def test_other_clothes_are_found_and_other_tunes_are_not(self, library: AudioLibrary) -> None:
        audio = tune(1)
        best = put(library, resample(audio, RATE, 48_000), rate=48_000)
        alike = {
            put(library, audio, ".mp3").id,
            put(library, audio, ".ogg").id,
            put(library, audio * 0.3).id,
            put(library, np.stack([audio, audio], axis=1)).id,
            put(library, resample(audio, RATE, 22_050), rate=22_050).id,
        }
        for seed in (2, 3, 4):
            put(library, tune(seed))
        assert groups(library) == []
        assert groups(library, NEAR_SIMILARITY) == [(best.id, alike)]

    def test_both_kinds_are_one_group(self, library: AudioLibrary) -> None:
        first, same = put(library, tune(1)), put(library, tune(1))
        lossy, lossy_too = put(library, tune(1), ".mp3"), put(library, tune(1), ".mp3")
        (group,) = library.duplicates(near=NEAR_SIMILARITY)
        assert group.keep == first
        assert group.duplicates[0].clip.id == same.id
        assert {item.clip.id for item in group.duplicates} == {same.id, lossy.id, lossy_too.id}
        assert [item.same_samples for item in group.duplicates] == [True, False, False]

    def test_no_chains(self, library: AudioLibrary) -> None:
        """What is like the second, but not like the one that is kept, stays out of the group."""
        ids = [put(library, tune(seed, 1.0)).id for seed in (1, 2, 3)]
        angles = (0.0, 0.15, 0.3)  # cosines of neighbours are 0.989, of the ends 0.955
        vectors = {}
        for clip_id, angle in zip(ids, angles, strict=True):
            vectors[clip_id] = np.zeros(128, dtype=np.float32)
            vectors[clip_id][:2] = np.cos(angle), np.sin(angle)
        library._catalogue.index.put_vectors("sound-1", vectors)
        assert groups(library, NEAR_SIMILARITY) == [(ids[0], {ids[1]})]

    def test_another_length_is_another_sound(self, library: AudioLibrary) -> None:
        ids = [put(library, tune(1, seconds)).id for seconds in (1.0, 1.2, 2.0)]
        same = np.ones(128, dtype=np.float32)
        library._catalogue.index.put_vectors("sound-1", dict.fromkeys(ids, same))
        assert groups(library, NEAR_SIMILARITY) == [(ids[0], {ids[1]})]

    def test_in_blocks_as_at_once(self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        for seed in (1, 2, 3):
            for level in (1, 0.5, 0.25):
                put(library, tune(seed, 1.0) * level)
        whole = groups(library, NEAR_SIMILARITY)
        assert [len(others) for _, others in whole] == [2, 2, 2]
        seen: list[tuple[int, int]] = []
        monkeypatch.setattr("audiolib.duplicates._CELLS", 18)
        found = library.duplicates(
            near=NEAR_SIMILARITY, progress=lambda done, total: seen.append((done, total))
        )
        assert [(g.keep.id, {item.clip.id for item in g.duplicates}) for g in found] == whole
        assert seen == [(2, 9), (4, 9), (6, 9), (8, 9), (9, 9)]

    def test_silence_is_only_compared_by_its_samples(self, library: AudioLibrary) -> None:
        quiet = [put(library, np.zeros(RATE, dtype=np.float32)) for _ in range(2)]
        put(library, np.zeros(RATE // 2, dtype=np.float32))
        assert groups(library, NEAR_SIMILARITY) == [(quiet[0].id, {quiet[1].id})]

    @pytest.mark.parametrize("near", [0.0, -1.0, 1.1, float("nan")])
    def test_nonsense_is_refused(self, library: AudioLibrary, near: float) -> None:
        with pytest.raises(InvalidInputError, match="similarity"):
            library.duplicates(near=near)


class TestCommand:
    @pytest.fixture(autouse=True)
    def _here(self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUDIOLIB_LIBRARY", str(library.path))

    def test_shown_and_piped_to_remove(self, cli: Run, library: AudioLibrary) -> None:
        result = cli("duplicates")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "No clip is there more than once" in result.stderr
        first, second = put(library, tune(1)), put(library, tune(1))
        lossy = put(library, tune(1), ".mp3")
        _, *rows = cli("duplicates").stdout.splitlines()
        assert [row.split()[:2] for row in rows] == [["keep", first.id[-6:]], ["same", second.id[-6:]]]
        document = json.loads(cli("duplicates", "--near", "--json").stdout)
        assert document["keep"]["id"] == first.id
        assert [(item["id"], item["same_samples"]) for item in document["duplicates"]] == [
            (second.id, True),
            (lossy.id, False),
        ]
        ids = cli("duplicates", "--similarity", "0.99", "--ids").stdout
        assert ids.split() == [second.id, lossy.id]
        assert cli("remove", "-", input=ids).exit_code == 0
        assert [clip.id for clip in library.list()] == [first.id]
        assert cli("duplicates", "--ids", "--json").exit_code == 2

    def test_what_has_no_row_is_told(self, cli: Run, library: AudioLibrary) -> None:
        put(library, tune(1, 0.1)), put(library, tune(1, 0.1))
        shutil.rmtree(library.path / "index")
        result = cli("duplicates")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "2 clips are not indexed yet. `audiolib index` catches up." in result.stderr
        assert cli("index").exit_code == 0
        assert "not indexed" not in cli("duplicates").stderr


def test_a_copied_library_finds_the_same(library: AudioLibrary, tmp_path: Path) -> None:
    put(library, tune(1, 0.1)), put(library, tune(1, 0.1))
    shutil.copytree(library.path, tmp_path / "copy")
    copy = AudioLibrary(tmp_path / "copy", settings=library.settings)
    assert groups(copy) == groups(library) != []
    for group in copy.duplicates():
        assert group.keep.path.is_relative_to(copy.path)
        assert read_sidecar(group.keep.path.with_name(f"{group.keep.id}.json")).clip == group.keep
