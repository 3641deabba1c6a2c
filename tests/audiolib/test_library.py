"""The facade, end to end: the real engine, the real index, real files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from library_files import files_of

from audiolib import AudioLibrary, Clip, ClipProgress, Destination, GenerationRequest
from audiolib.errors import (
    InvalidInputError,
    LibraryFormatError,
    LibraryNotFoundError,
)
from audiolib.files import file_sha256, samples_sha256
from audiolib.settings import Settings
from generation.audio import load_audio, read_comment
from generation.errors import ModelNotFoundError

SHORT = 0.2  # seconds; enough for every codebook


@pytest.fixture
def clip(library: AudioLibrary) -> Clip:
    return library.generate("calm piano", duration=SHORT, seed=7, tags=("lofi",))


class TestGenerate:
    def test_all_that_made_a_clip_is_stored(self, library: AudioLibrary, clip: Clip) -> None:
        audio, rate = load_audio(clip.path)
        assert (len(audio), rate) == (round(SHORT * 32_000), 32_000)
        assert (clip.duration, clip.sample_rate, clip.channels) == (SHORT, 32_000, 1)
        assert clip.audio_sha256 == samples_sha256(audio)
        assert clip.sha256 == file_sha256(clip.path)
        assert (clip.prompt, clip.title, clip.model, clip.seed) == ("calm piano", "calm piano", "tiny", 7)
        assert (clip.kind, clip.tags, clip.parent_id) == ("generated", ("lofi",), None)
        recipe = library.recipe(clip.id)
        assert recipe is not None
        assert (recipe.seed, recipe.duration, recipe.steps, recipe.top_k) == (7, SHORT, 13, 250)
        assert recipe.weights_digest.startswith("sha256:")

    def test_the_files_are_where_the_design_says(self, library: AudioLibrary, clip: Clip) -> None:
        home = f"audio/{clip.created_at[:7]}"
        names = {name for name in files_of(library.path) if not name.startswith("index/")}
        assert names == {
            "library.json",
            f"{home}/{clip.id}-calm-piano.wav",
            f"{home}/{clip.id}.codes.npz",
            f"{home}/{clip.id}.json",
        }

    def test_the_recipe_travels_in_the_file(self, library: AudioLibrary, clip: Clip) -> None:
        recipe = library.recipe(clip.id)
        assert recipe is not None
        comment = json.loads(read_comment(clip.path) or "")
        assert comment == {
            "audiolib": 1,
            "id": clip.id,
            "tags": ["lofi"],
            "license": None,
            "recipe": recipe.to_json(),
        }

    def test_the_codes_are_the_sound(self, library: AudioLibrary, clip: Clip, models: Path) -> None:
        from generation import MusicGen

        codes = np.load(clip.path.parent / f"{clip.id}.codes.npz")["codes"]
        assert codes.dtype == np.int16
        decoded = MusicGen.from_pretrained("tiny").decode(codes)
        assert np.abs(decoded - load_audio(clip.path)[0]).max() <= 1 / 32_768

    def test_without_a_seed_each_clip_is_another(self, library: AudioLibrary) -> None:
        first, second = (library.generate("calm piano", duration=SHORT) for _ in range(2))
        assert first.seed != second.seed
        assert first.audio_sha256 != second.audio_sha256

    def test_the_same_seed_is_the_same_sound(self, library: AudioLibrary, clip: Clip) -> None:
        again = library.generate("calm piano", duration=SHORT, seed=7)
        assert again.audio_sha256 == clip.audio_sha256
        assert again.id != clip.id

    def test_steps_instead_of_a_duration(self, library: AudioLibrary) -> None:
        clip = library.generate("calm piano", max_steps=13, seed=7)
        assert clip.duration == SHORT
        assert library.reproduce(clip.id).clip == clip

    @pytest.mark.parametrize("audio_format", ["flac", "ogg", "mp3"])
    def test_other_formats_and_rates(self, library: AudioLibrary, audio_format: str) -> None:
        clip = library.generate("calm piano", duration=1, audio_format=audio_format, sample_rate=44_100)
        assert clip.path.suffix == f".{audio_format}"
        assert clip.sample_rate == 44_100
        assert clip.duration == pytest.approx(1, abs=0.1)
        assert json.loads(read_comment(clip.path) or "")["id"] == clip.id
        assert library.reproduce(clip.id).codes_compared

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"prompt": " "}, "empty"),
            ({"prompt": "x" * 2_001}, "2,001"),
            ({"duration": 0.0}, "above 0"),
            ({"duration": -3.0}, "above 0"),
            ({"duration": float("nan")}, "above 0"),
            ({"duration": float("inf")}, "above 0"),
            ({"duration": 1e9}, "longer than the limit"),
            ({"duration": 1.0, "max_steps": 50}, "not both"),
            ({"max_steps": 3}, "no sound"),
            ({"max_steps": 10**9}, "longer than the limit"),
            ({"seed": -1}, "seed"),
            ({"seed": 2**63}, "seed"),
            ({"temperature": -1.0}, "temperature"),
            ({"temperature": float("nan")}, "temperature"),
            ({"guidance": float("inf")}, "guidance"),
            ({"top_k": -1}, "top-k"),
            ({"top_p": 1.5}, "top-p"),
            ({"audio_format": "aiff"}, "format"),
            ({"sample_rate": 5}, "sample rate"),
            ({"sample_rate": 96_000, "audio_format": "mp3"}, "MP3"),
            ({"tags": ("",)}, "tag"),
        ],
    )
    def test_nonsense_changes_nothing(
        self, library: AudioLibrary, options: dict[str, object], reason: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=reason) as caught:
            library.generate(**{"prompt": "calm piano", **options})  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        assert not library.path.exists()

    def test_an_unknown_model_changes_nothing(self, library: AudioLibrary) -> None:
        with pytest.raises(ModelNotFoundError, match="nothing-like-it"):
            library.generate("calm piano", model="nothing-like-it")
        assert not library.path.exists()

    def test_one_bad_request_stops_all(self, library: AudioLibrary) -> None:
        requests = [GenerationRequest(prompt=text, duration=SHORT) for text in ("calm", "")]
        with pytest.raises(InvalidInputError):
            next(library.generate_all(requests))
        assert not library.path.exists()

    def test_a_newer_library_is_left_alone(self, library: AudioLibrary) -> None:
        library.path.mkdir()
        (library.path / "library.json").write_text('{"format": 99}')
        with pytest.raises(LibraryFormatError):
            library.generate("calm piano", duration=SHORT)
        for read in (
            lambda: library.search("calm"),
            lambda: list(library.list()),
            lambda: library.get("last"),
        ):
            with pytest.raises(LibraryFormatError):
                read()
        assert files_of(library.path) == {"library.json"}

    def test_the_limit_can_be_raised_and_lowered(self, tmp_path: Path) -> None:
        library = AudioLibrary(tmp_path / "library", settings=Settings(model="tiny", max_duration=0.1))
        with pytest.raises(InvalidInputError, match=r"limit of 0\.1"):
            library.generate("calm piano", duration=SHORT)

    def test_an_interruption_of_the_first_clip_makes_no_library(self, library: AudioLibrary) -> None:
        def interrupt(_at: ClipProgress) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            library.generate("calm piano", duration=SHORT, progress=interrupt)
        assert not library.path.exists()

    @pytest.mark.parametrize("when", ["audio", "codes", "sidecar"])
    def test_an_interruption_leaves_nothing(
        self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        def interrupt(*_args: object, **_options: object) -> None:
            raise KeyboardInterrupt

        target = {
            "audio": "audiolib.recording.read_facts",  # the audio is written by then
            "codes": "audiolib.recording.write_codes",
            "sidecar": "audiolib.recording.write_sidecar",
        }[when]
        monkeypatch.setattr(target, interrupt)
        with pytest.raises(KeyboardInterrupt):
            library.generate("calm piano", duration=SHORT)
        assert files_of(library.path) == {"library.json"}


class TestFind:
    def test_by_meaning_with_scores(self, library: AudioLibrary) -> None:
        requests = [
            GenerationRequest(prompt=p, duration=SHORT) for p in ("happy rock", "calm piano", "techno")
        ]
        piano = list(library.generate_all(requests))[1]
        hits = library.search("quiet keyboard melody", limit=2)
        assert hits[0].clip == piano
        assert len(hits) == 2
        assert 1 >= hits[0].score > hits[1].score >= 0
        assert library.search("calm piano")[0].score == pytest.approx(1, abs=1e-5)

    def test_newest_first(self, library: AudioLibrary) -> None:
        requests = [GenerationRequest(prompt=p, duration=SHORT) for p in ("one", "two", "three")]
        clips = list(library.generate_all(requests, index=False))
        assert list(library.list()) == clips[::-1]
        assert list(library.list(limit=1)) == clips[-1:]
        assert library.get("last") == clips[-1]
        assert library.get(clips[0].path) == clips[0]

    def test_a_damaged_sidecar_hides_only_itself(
        self, library: AudioLibrary, clip: Clip, caplog: pytest.LogCaptureFixture
    ) -> None:
        other = library.generate("happy rock", duration=SHORT)
        sidecar = clip.path.parent / f"{clip.id}.json"
        sidecar.write_text("{")
        sentences: list[str] = []
        assert list(library.list(broken=sentences.append)) == [other]
        assert str(sidecar) in sentences[0]
        assert [hit.clip for hit in library.search("calm piano")] == [other]
        assert str(sidecar) in caplog.text

    def test_where_there_is_no_library_nothing_is_made(self, library: AudioLibrary) -> None:
        for read in (
            lambda: library.search("calm"),
            lambda: list(library.list()),
            lambda: library.get("last"),
            library.index,
            library.transcribe,
        ):
            with pytest.raises(LibraryNotFoundError, match="audiolib generate"):
                read()
        assert not library.path.exists()

    def test_the_words_are_checked(self, library: AudioLibrary, clip: Clip) -> None:
        for query, limit in (("", 1), ("x" * 2_001, 1), ("a\udc80", 1), ("calm", 0)):
            with pytest.raises(InvalidInputError):
                library.search(query, limit=limit)

    def test_removed_files_are_no_hits(self, library: AudioLibrary, clip: Clip) -> None:
        for path in clip.path.parent.iterdir():
            path.unlink()
        assert library.search("calm piano") == []
        report = library.index()
        assert (report.clips, report.removed) == (0, 1)


class TestReuse:
    def test_a_clip_that_fits_is_used_again(self, library: AudioLibrary, clip: Clip) -> None:
        assert library.get_or_generate("calm piano", duration=SHORT).id == clip.id
        assert library.get_or_generate(" Calm piano", duration=SHORT).id == clip.id

    def test_in_an_empty_place_one_is_made(self, library: AudioLibrary) -> None:
        clip = library.get_or_generate("calm piano", duration=SHORT, seed=3)
        assert clip.seed == 3
        assert library.get("last") == clip

    @pytest.mark.parametrize(
        "other",
        [
            {"prompt": "loud piano"},
            {"duration": 0.3},
            {"model": "other"},
        ],
    )
    def test_what_does_not_fit_is_made(
        self, library: AudioLibrary, clip: Clip, other: dict[str, object]
    ) -> None:
        wanted = {"prompt": "calm piano", "duration": SHORT, **other}
        assert library.get_or_generate(**wanted).id != clip.id  # type: ignore[arg-type]


class TestOutputs:
    def test_plain_files_know_no_library(self, library: AudioLibrary, tmp_path: Path) -> None:
        requests = [GenerationRequest(prompt="lofi", duration=SHORT, seed=seed) for seed in (1, 2)]
        folder = tmp_path / "out" / "deep"
        made = list(library.render_all(requests, Destination(folder=folder, prefix="lofi")))
        assert files_of(folder) == {"lofi_001.wav", "lofi_002.wav"}
        assert [clip.path for clip in made] == [folder / "lofi_001.wav", folder / "lofi_002.wav"]
        assert json.loads(read_comment(made[1].path) or "")["recipe"]["seed"] == 2
        assert not library.path.exists()

    def test_a_copy_is_the_file(self, library: AudioLibrary, clip: Clip, tmp_path: Path) -> None:
        written = library.copy_out(clip, Destination(file=tmp_path / "song.wav"))
        assert written.read_bytes() == clip.path.read_bytes()

    def test_a_destination_is_one_thing(self, tmp_path: Path) -> None:
        for wrong in (
            {},
            {"file": tmp_path / "a.wav", "folder": tmp_path},
            {"folder": tmp_path, "prefix": "../x"},
        ):
            with pytest.raises(InvalidInputError):
                Destination(**wrong)  # type: ignore[arg-type]
        destination = Destination(file=Path("song.flac"))
        assert destination.audio_format(None) == "flac"
        with pytest.raises(InvalidInputError, match="contradicts"):
            destination.audio_format("wav")
        with pytest.raises(InvalidInputError, match="known format"):
            replace(destination, file=Path("song.txt")).audio_format(None)


def test_a_clip_longer_than_the_models_window_is_made_and_made_again(library: AudioLibrary) -> None:
    clip = library.generate("calm piano", duration=30.5, seed=3)
    assert clip.duration == 30.5
    assert library.reproduce(clip.id).codes_compared
