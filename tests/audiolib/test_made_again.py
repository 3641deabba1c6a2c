"""The same again: bit for bit from its recipe, refused with other weights, or a variation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from library_files import files_of

from audiolib import AudioLibrary, Clip
from audiolib.errors import (
    ClipNotFoundError,
    ModelChangedError,
    ReproductionError,
)
from audiolib.files import file_sha256
from audiolib.settings import Settings
from generation.errors import ModelNotFoundError

SHORT = 0.2  # seconds; enough for every codebook


@pytest.fixture
def clip(library: AudioLibrary) -> Clip:
    return library.generate("calm piano", duration=SHORT, seed=7, tags=("lofi",))


class TestMakeAgain:
    def test_bit_for_bit_and_nothing_added(self, library: AudioLibrary, clip: Clip) -> None:
        before = {
            name: file_sha256(library.path / name)
            for name in files_of(library.path / "audio")
            if (library.path / name).exists()
        }
        files = files_of(library.path)
        again = library.reproduce("last")
        assert (again.clip, again.codes_compared, again.restored) == (clip, True, ())
        assert library.regenerate(clip.id) == clip
        assert files_of(library.path) == files
        assert before == {name: file_sha256(library.path / name) for name in before}

    def test_lost_files_come_back_the_same(self, library: AudioLibrary, clip: Clip) -> None:
        codes = clip.path.parent / f"{clip.id}.codes.npz"
        contents = clip.path.read_bytes(), codes.read_bytes()
        clip.path.unlink()
        codes.unlink()
        again = library.reproduce(clip.id)
        assert set(again.restored) == {clip.path, codes}
        assert (clip.path.read_bytes(), codes.read_bytes()) == contents
        assert library.reproduce(clip.id).restored == ()

    def test_a_file_that_comes_back_is_what_the_sidecar_says(self, library: AudioLibrary, clip: Clip) -> None:
        library.tag(clip, add=["later"])  # tags are in the file too: it is written with other bytes
        clip.path.unlink()
        assert library.reproduce(clip.id).restored == (clip.path,)
        assert library.get(clip.id).sha256 == file_sha256(clip.path) != clip.sha256

    def test_another_sound_in_the_file_is_told(self, library: AudioLibrary, clip: Clip) -> None:
        data = bytearray(clip.path.read_bytes())
        data[-1] ^= 1
        clip.path.write_bytes(data)
        with pytest.raises(ReproductionError, match="other samples now"):
            library.reproduce(clip.id)
        assert clip.path.read_bytes() == data

    def test_other_codes_are_told(self, library: AudioLibrary, clip: Clip) -> None:
        path = clip.path.parent / f"{clip.id}.codes.npz"
        codes = np.load(path)["codes"]
        codes[0, 0] ^= 1
        np.savez(path, codes=codes)
        with pytest.raises(ReproductionError, match="codes came out otherwise"):
            library.reproduce(clip.id)
        path.write_bytes(b"PK")
        with pytest.raises(ReproductionError, match="is damaged"):
            library.reproduce(clip.id)

    def test_other_samples_than_recorded_are_told(self, library: AudioLibrary, clip: Clip) -> None:
        sidecar = clip.path.parent / f"{clip.id}.json"
        sidecar.write_text(sidecar.read_text().replace(clip.audio_sha256, "0" * 64))
        with pytest.raises(ReproductionError, match="samples came out otherwise"):
            library.reproduce(clip.id)

    def test_other_weights_are_refused(
        self, library: AudioLibrary, clip: Clip, models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "swapped").mkdir()
        (tmp_path / "swapped" / "tiny").symlink_to(models / "other")
        monkeypatch.setenv("AUDIOLIB_MODELS", str(tmp_path / "swapped"))
        files = files_of(library.path)
        with pytest.raises(ModelChangedError, match="--model"):
            library.reproduce(clip.id)
        assert files_of(library.path) == files

    def test_the_models_folder_of_the_settings(
        self, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AUDIOLIB_MODELS")
        library = AudioLibrary(tmp_path / "library", settings=Settings(models=models))
        assert library.models.info("other").model_path == models / "other"
        (tmp_path / "swapped").mkdir()
        (tmp_path / "swapped" / "other").symlink_to(models / "tiny")
        second = AudioLibrary(tmp_path / "second", settings=Settings(models=tmp_path / "swapped"))
        assert second.models.info("other").model_path == tmp_path / "swapped" / "other"

    def test_a_model_named_by_its_folder(
        self, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AUDIOLIB_MODELS", str(tmp_path / "nowhere"))
        library = AudioLibrary(tmp_path / "library", settings=Settings(model=str(models / "other")))
        clip = library.generate("calm piano", duration=SHORT)
        assert clip.model == "other"
        assert library.reproduce(clip.id).clip == clip
        without = AudioLibrary(tmp_path / "library", settings=Settings())
        monkeypatch.delenv("AUDIOLIB_MODEL")
        with pytest.raises(ModelNotFoundError, match=r"'other'.* set AUDIOLIB_MODEL to that folder"):
            without.reproduce(clip.id)

    @pytest.mark.parametrize(
        "changes", [{"seed": 8}, {"prompt": "happy rock"}, {"duration": 0.3}, {"model": "other"}]
    )
    def test_a_variation_is_a_new_clip(
        self, library: AudioLibrary, clip: Clip, changes: dict[str, object]
    ) -> None:
        made = library.regenerate(clip.id, **changes)  # type: ignore[arg-type]
        assert made.parent_id == clip.id
        assert made.id != clip.id
        assert made.tags == clip.tags
        kept = {"seed", "prompt", "duration", "model"} - changes.keys()
        assert {name: getattr(made, name) for name in kept} == {name: getattr(clip, name) for name in kept}
        assert {name: getattr(made, name) for name in changes} == changes
        recipe = library.recipe(made.id)
        assert recipe is not None
        assert recipe.parent_id == clip.id
        assert library.reproduce(made.id).clip == made

    def test_last_is_one_clip_to_the_end(
        self, library: AudioLibrary, clip: Clip, cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        get, others = AudioLibrary.get, list[Clip]()

        def another_comes(self: AudioLibrary, reference: str) -> Clip:
            found = get(self, reference)
            if not others:
                others.append(library.generate("happy rock", duration=SHORT, seed=8, index=False))
            return found

        monkeypatch.setattr(AudioLibrary, "get", another_comes)
        result = cli("regenerate", "last", "--fade-out", "0.05", "--json", "--library", str(library.path))
        assert json.loads(result.stdout)["parent_id"] == clip.id

    def test_a_variation_is_stored_as_its_parent(self, library: AudioLibrary) -> None:
        parent = library.generate("calm piano", duration=SHORT, audio_format="flac", sample_rate=16_000)
        made = library.regenerate(parent.id, seed=8)
        assert (made.path.suffix, made.sample_rate, made.duration) == (".flac", 16_000, SHORT)

    def test_what_is_not_there_cannot_be_made_again(self, library: AudioLibrary, clip: Clip) -> None:
        with pytest.raises(ClipNotFoundError):
            library.regenerate("01ARYZ6S41TSV4RRFFQ69G5FAV")
