"""Made from more than words, and again from the library alone; several models, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from library_files import codes_of, codes_path, forget, make, recipe

from audiolib import AudioLibrary, Clip
from audiolib.errors import InvalidInputError, ModelChangedError, ReproductionError
from audiolib.promptfiles import read_prompt_file
from audiolib.recovery import line_of
from generation.audio import load_audio
from generation.errors import GenerationError, ModelNotFoundError
from generation.musicgen import MusicGen

pytestmark = pytest.mark.usefixtures("more_models")


SHORT = 0.2
RATE = 32_000
STARTER = Path(__file__).parents[2] / "mlx-models" / "starter"


class TestMadeAgain:
    def test_when_the_source_is_gone(self, library: AudioLibrary, clip: Clip, tone: Path) -> None:
        longer = make(library, "happy rock", continue_from=clip.id, duration=0.5)
        from_file = make(library, "happy rock", continue_from=tone, duration=0.7)
        forget(clip)
        tone.unlink()
        for made in (longer, from_file):
            assert library.reproduce(made.id).codes_compared
            made.path.unlink()
            assert library.reproduce(made.id).restored == (made.path,)

    def test_when_its_codes_are_lost_those_of_the_source_do(self, library: AudioLibrary, clip: Clip) -> None:
        longer = make(library, "happy rock", continue_from=clip.id, duration=0.5)
        kept = codes_path(longer).read_bytes()
        codes_path(longer).unlink()
        assert library.reproduce(longer.id).restored == (codes_path(longer),)
        assert codes_path(longer).read_bytes() == kept
        codes_path(longer).unlink()
        forget(clip)
        with pytest.raises(ReproductionError, match=rf"lost or damaged.*--continue {longer.id[-6:]}"):
            library.reproduce(longer.id)
        # The way out works.
        assert make(library, "calm", continue_from=longer.id[-6:], duration=0.7).duration == 0.7

    def test_a_lost_file_of_a_line_comes_back_with_its_line(self, library: AudioLibrary) -> None:
        lines = read_prompt_file(b"calm", duration=SHORT, seed=3)
        (outcome,) = library.generate_batch(lines)
        assert outcome.clip is not None
        whole = outcome.clip.path.read_bytes()
        outcome.clip.path.unlink()
        assert library.reproduce(outcome.clip.id).restored == (outcome.clip.path,)
        assert line_of(outcome.clip.path) is not None
        assert outcome.clip.path.read_bytes() == whole

    def test_a_variation_has_the_same_given_music(self, library: AudioLibrary, clip: Clip) -> None:
        longer = make(library, "happy rock", continue_from=clip.id, duration=0.5)
        forget(clip)
        for changes in ({"seed": 2}, {"prompt": "techno"}, {"duration": 0.7}, {"model": "wide"}):
            made = library.regenerate(longer.id, **changes)  # type: ignore[arg-type]
            made_with = recipe(library, made)
            assert (made_with.continued_from, made_with.given_frames) == (clip.id, 10)
            assert made.parent_id == longer.id
            assert made.duration == changes.get("duration", 0.5)
            np.testing.assert_array_equal(codes_of(made).codes[:, :10], codes_of(longer).codes[:, :10])
            same = (codes_of(made).codes[:, 10:25] == codes_of(longer).codes[:, 10:]).all()
            assert same == ("duration" in changes)
            assert library.reproduce(made.id).codes_compared

    def test_a_variation_by_another_codec(self, library: AudioLibrary, clip: Clip) -> None:
        longer = make(library, "happy rock", continue_from=clip.id, duration=0.5)
        made = library.regenerate(longer.id, model="other")
        heard = MusicGen.from_pretrained("other").encode(load_audio(longer.path)[0][: 10 * 640], RATE)
        np.testing.assert_array_equal(codes_of(made).codes[:, :10], heard)

    def test_a_variation_from_other_music(self, library: AudioLibrary, clip: Clip) -> None:
        longer = make(library, "happy rock", continue_from=clip.id, duration=0.5)
        other = make(library, "techno", duration=SHORT, seed=8)
        made = library.regenerate(longer.id, continue_from=other.id, duration=0.5)
        np.testing.assert_array_equal(codes_of(made).codes[:, :10], codes_of(other).codes)

    def test_too_short_a_variation_is_refused(self, library: AudioLibrary, clip: Clip) -> None:
        longer = make(library, "happy rock", continue_from=clip.id, duration=0.5)
        with pytest.raises(InvalidInputError, match="nothing to add"):
            library.regenerate(longer.id, duration=0.2)

    def test_a_context_of_its_own(self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("generation.composition.WINDOW_SECONDS", 0.5)
        monkeypatch.setattr("generation.composition.CONTEXT_SECONDS", 0.2)
        made, usual = make(library, duration=0.9, context=0.4), make(library, duration=0.9)
        assert recipe(library, made).context == 0.4
        assert "context" not in recipe(library, usual).to_json()
        assert usual.audio_sha256 != made.audio_sha256
        assert library.reproduce(made.id).codes_compared


class TestSeveralModels:
    def test_they_choose_together_and_again(self, library: AudioLibrary) -> None:
        made = make(library, "calm", duration=SHORT, model=("tiny", "wide"), model_weights=(1, 3))
        assert made.model == "tiny+wide"
        made_with = recipe(library, made)
        assert (made_with.models, made_with.model_weights) == (("tiny", "wide"), (1.0, 3.0))
        assert len(set(made_with.model_digests)) == 2
        assert library.reproduce(made.id).codes_compared
        alone = make(library, "calm", duration=SHORT, model="wide")
        assert (codes_of(made).codes != codes_of(alone).codes).any()

    def test_one_of_several_is_one(self, library: AudioLibrary, clip: Clip) -> None:
        again = make(library, "calm piano", duration=SHORT, seed=7, model=("tiny",))
        assert again.audio_sha256 == clip.audio_sha256
        assert recipe(library, again).models == ()

    def test_other_weights_are_refused(
        self, library: AudioLibrary, models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        made = make(library, "calm", duration=SHORT, model=("tiny", "wide"))
        (tmp_path / "swapped").mkdir()
        (tmp_path / "swapped" / "tiny").symlink_to(models / "tiny")
        (tmp_path / "swapped" / "wide").symlink_to(models / "other")
        monkeypatch.setenv("AUDIOLIB_MODELS", str(tmp_path / "swapped"))
        with pytest.raises(ModelChangedError, match="weights of wide"):
            library.reproduce(made.id)
        (tmp_path / "swapped" / "wide").unlink()
        with pytest.raises(ModelNotFoundError, match="'wide'"):
            library.reproduce(made.id)

    def test_a_variation_keeps_them_or_takes_another(self, library: AudioLibrary) -> None:
        made = make(library, "calm", duration=SHORT, model=("tiny", "wide"), model_weights=(1, 3))
        varied = library.regenerate(made.id, seed=2)
        assert recipe(library, varied).model_weights == (1.0, 3.0)
        other = library.regenerate(made.id, model="tiny")
        assert (other.model, recipe(library, other).models) == ("tiny", ())

    def test_those_that_do_not_fit_are_refused(self, library: AudioLibrary) -> None:
        with pytest.raises(GenerationError, match="cannot be mixed"):
            make(library, "calm", duration=SHORT, model=("tiny", "other"))
        assert not library.path.exists()

    def test_reuse_looks_at_the_weights(self, library: AudioLibrary) -> None:
        several: dict[str, Any] = {"duration": SHORT, "model": ("tiny", "wide")}
        made = make(library, "calm", model_weights=(1, 3), **several)
        assert library.get_or_generate("calm", **several).id == made.id
        assert library.get_or_generate("calm", model_weights=(1, 3), **several).id == made.id
        assert library.get_or_generate("calm", model_weights=(1, 1), **several).id != made.id
