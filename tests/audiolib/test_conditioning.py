"""Made from more than words: music to go on from, melodies, several models; and again, from the library alone."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from audiolib import AudioLibrary, Clip, Destination, GenerationRequest, SoundFinish
from audiolib.clip import Recipe
from audiolib.codes import StoredCodes, read_codes, write_codes
from audiolib.conditioning import GIVEN_SECONDS, read_part
from audiolib.errors import InvalidInputError, ModelChangedError, ReproductionError
from audiolib.promptfiles import read_prompt_file
from audiolib.recovery import line_of
from generation.audio import load_audio, save_audio, to_int16
from generation.config import DecoderConfig, MelodyConfig, MusicGenConfig
from generation.errors import GenerationError, InvalidRequestError, ModelNotFoundError
from generation.musicgen import MusicGen
from generation.tiny import make_tiny_checkpoint

Run = Callable[..., Result]
SHORT = 0.2
RATE = 32_000
STARTER = Path(__file__).parents[2] / "mlx-models" / "starter"


@pytest.fixture(scope="module", autouse=True)
def _more_models(models: Path) -> None:
    """`wide` shares the codec of `tiny`, as musicgen-medium shares that of -small; `tune` follows melodies."""
    wide = replace(DecoderConfig.tiny(), hidden_size=48, num_hidden_layers=3)
    make_tiny_checkpoint(
        models / "wide", 7, replace(MusicGenConfig.tiny(), decoder=wide), codec_of=models / "tiny"
    )
    decoder = replace(DecoderConfig.tiny(), cross_attention=False)
    tune = replace(MusicGenConfig.tiny(), decoder=decoder, melody=MelodyConfig(chroma_length=10))
    make_tiny_checkpoint(models / "tune", 8, tune, codec_of=models / "tiny")


@pytest.fixture
def clip(library: AudioLibrary) -> Clip:
    """Ten frames."""
    return make(library, "calm piano", duration=SHORT, seed=7, tags=("lofi",))


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A scale of half a second in a file, at another rate and in stereo."""
    rate = 44_100
    notes = [440.0 * 2 ** (n / 12) for n in (0, 4, 7)]
    wave = np.concatenate([0.3 * np.sin(2 * np.pi * f * np.arange(rate // 6) / rate) for f in notes])
    save_audio(tmp_path / "tone.wav", np.stack([wave, 0.5 * wave], axis=1).astype(np.float32), rate)
    return tmp_path / "tone.wav"


def make(library: AudioLibrary, prompt: str = "calm", **options: Any) -> Clip:
    """A clip without a row in the index, which is no matter here."""
    return library.generate(prompt, index=False, **{"seed": 1, **options})


def codes_of(clip: Clip) -> StoredCodes:
    stored = read_codes(codes_path(clip))
    assert stored is not None
    return stored


def codes_path(clip: Clip) -> Path:
    return clip.path.with_name(f"{clip.id}.codes.npz")


def forget(clip: Clip) -> None:
    """Remove every file of a clip."""
    for path in clip.path.parent.glob(f"{clip.id}*"):
        path.unlink()


def recipe(library: AudioLibrary, clip: Clip) -> Recipe:
    found = library.recipe(clip.id)
    assert found is not None
    return found


class TestContinuation:
    def test_a_clip_goes_on_from_its_very_codes(self, library: AudioLibrary, clip: Clip) -> None:
        longer = make(library, "happy rock", continue_from=clip.id, duration=0.5)
        assert longer.duration == 0.5
        np.testing.assert_array_equal(codes_of(longer).codes[:, :10], codes_of(clip).codes)
        made_with = recipe(library, longer)
        assert (made_with.continued_from, made_with.given_frames) == (clip.id, 10)
        assert (longer.parent_id, longer.prompt) == (clip.id, "happy rock")
        # The given music sounds as before, but for the frames whose samples depend on what comes next.
        before, after = load_audio(clip.path)[0], load_audio(longer.path)[0]
        assert np.abs(after[:1_000] - before[:1_000]).max() < 1e-3

    def test_the_given_music_matters(self, library: AudioLibrary, clip: Clip) -> None:
        other = make(library, "techno", duration=SHORT, seed=8)
        first, second = (
            make(library, "happy rock", continue_from=each.id, duration=0.5) for each in (clip, other)
        )
        assert (codes_of(first).codes[:, 10:] != codes_of(second).codes[:, 10:]).any()

    def test_it_is_what_the_engine_makes(self, library: AudioLibrary, clip: Clip) -> None:
        longer = make(library, "happy rock", continue_from=clip.id, duration=0.5)
        model = MusicGen.from_pretrained("tiny")
        (made,) = model.compose(["happy rock"], duration=0.5, seeds=[1], given=codes_of(clip).codes)
        np.testing.assert_array_equal(codes_of(longer).codes, made.codes)

    def test_ten_seconds_are_added_where_no_length_is_given(self, library: AudioLibrary, clip: Clip) -> None:
        requests = [GenerationRequest(prompt="calm", continue_from="last")]
        (checked,) = library._studio.check_all(requests)
        assert checked.duration == pytest.approx(10.2)
        assert (checked.continue_from, checked.continue_seconds) == (clip.id, SHORT)

    def test_last_is_the_same_clip_for_all_of_one_call(self, library: AudioLibrary, clip: Clip) -> None:
        requests = [
            GenerationRequest(prompt="calm", duration=0.3, seed=seed, continue_from="last") for seed in (1, 2)
        ]
        made = list(library.generate_all(requests))
        assert [each.parent_id for each in made] == [clip.id, clip.id]
        for each in made:
            np.testing.assert_array_equal(codes_of(each).codes[:, :10], codes_of(clip).codes)

    def test_the_end_is_what_is_given(self, library: AudioLibrary, clip: Clip) -> None:
        longer = make(library, "happy rock", continue_from=clip.path, continue_seconds=0.08, duration=0.3)
        np.testing.assert_array_equal(codes_of(longer).codes[:, :4], codes_of(clip).codes[:, -4:])
        assert recipe(library, longer).given_frames == 4
        # More than there is means all of it.
        whole = make(library, "calm", continue_from=clip.id, continue_seconds=9.0, duration=0.3)
        assert recipe(library, whole).given_frames == 10

    def test_a_frame_that_was_cut_was_made_whole(self, library: AudioLibrary) -> None:
        odd = make(library, duration=0.25)  # 12 frames and a half
        longer = make(library, continue_from=odd.id, duration=0.5)
        assert codes_of(odd).codes.shape[1] == recipe(library, longer).given_frames == 13
        np.testing.assert_array_equal(codes_of(longer).codes[:, :13], codes_of(odd).codes)
        # As sound it has twelve whole ones, up to its very end.
        other = make(library, continue_from=odd.id, duration=0.5, model="other")
        heard = MusicGen.from_pretrained("other").encode(load_audio(odd.path)[0][-12 * 640 :], RATE)
        np.testing.assert_array_equal(codes_of(other).codes[:, :12], heard)
        assert recipe(library, other).given_frames == 12

    def test_another_model_with_the_same_codec_takes_the_codes(
        self, library: AudioLibrary, clip: Clip
    ) -> None:
        longer = make(library, "happy rock", continue_from=clip.id, duration=0.5, model="wide")
        np.testing.assert_array_equal(codes_of(longer).codes[:, :10], codes_of(clip).codes)

    def test_a_model_with_another_codec_hears_the_sound(self, library: AudioLibrary, clip: Clip) -> None:
        longer = make(library, "happy rock", continue_from=clip.id, duration=0.5, model="other")
        model = MusicGen.from_pretrained("other")
        heard = model.encode(load_audio(clip.path)[0], RATE)
        np.testing.assert_array_equal(codes_of(longer).codes[:, :10], heard)
        assert library.reproduce(longer.id).codes_compared

    def test_codes_of_an_older_version_are_believed_by_the_weights(
        self, library: AudioLibrary, clip: Clip
    ) -> None:
        codes = codes_of(clip).codes
        np.savez_compressed(codes_path(clip), codes=codes)  # as they were written before
        same = make(library, "calm", continue_from=clip.id, duration=0.3)
        np.testing.assert_array_equal(codes_of(same).codes[:, :10], codes)
        wide = make(library, "calm", continue_from=clip.id, duration=0.3, model="wide")
        heard = MusicGen.from_pretrained("wide").encode(load_audio(clip.path)[0], RATE)
        np.testing.assert_array_equal(codes_of(wide).codes[:, :10], heard)

    def test_a_file_is_encoded(self, library: AudioLibrary, tone: Path) -> None:
        longer = make(library, "happy rock", continue_from=tone, continue_seconds=0.3, duration=0.5)
        made_with = recipe(library, longer)
        # No folder of this machine, and no more frames than whole ones.
        assert (made_with.continued_from, made_with.given_frames) == ("tone.wav", 15)
        assert longer.parent_id is None
        audio, rate = load_audio(tone)
        heard = MusicGen.from_pretrained("tiny").encode(audio[-round(0.3 * rate) :], rate)
        np.testing.assert_array_equal(codes_of(longer).codes[:, :15], heard[:, :15])

    def test_an_imported_clip_is_encoded(self, library: AudioLibrary, tone: Path) -> None:
        imported = library.add(tone)
        longer = make(library, "happy rock", continue_from="last", duration=0.7)
        assert longer.parent_id == imported.id
        assert recipe(library, longer).given_frames == 25
        assert library.reproduce(longer.id).codes_compared

    def test_twenty_seconds_of_long_music_are_given(self, library: AudioLibrary, tmp_path: Path) -> None:
        path = tmp_path / "long.flac"
        save_audio(path, np.zeros(25 * 8_000, np.float32), 8_000)
        requests = [GenerationRequest(prompt="calm", continue_from=path)]
        (checked,) = library._studio.check_all(requests)
        assert checked.continue_seconds == GIVEN_SECONDS
        assert checked.duration == 30.0  # one window

    def test_without_a_library_files_are_gone_on_from(
        self, library: AudioLibrary, tone: Path, tmp_path: Path
    ) -> None:
        request = GenerationRequest(prompt="calm", continue_from=tone, duration=0.7)
        (made,) = library.render_all([request], Destination(file=tmp_path / "out.wav"))
        assert made.duration == 0.7
        assert not library.path.exists()

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"continue_from": "last", "duration": 0.2}, "nothing to add .* --duration"),
            ({"continue_from": "last", "max_steps": 13}, "nothing to add"),
            ({"continue_from": "last", "continue_seconds": 0.0}, "nothing to go on from"),
            ({"continue_from": "last", "continue_seconds": math.nan}, "nothing to go on from"),
            ({"continue_seconds": 3.0}, "--continue"),
            ({"continue_from": "nothere"}, "neither a clip .* nor a sound file"),
            ({"melody": "nothere"}, "neither a clip"),
            ({"melody": "last"}, "tiny follows no melody. Use a melody model"),
            ({"context": 30.0}, "context of 30 seconds"),
            ({"context": math.nan}, "context"),
            ({"model": ("tiny", "wide"), "model_weights": (1.0,)}, "1 weights do not fit 2 models"),
            ({"model": ("tiny", "wide"), "model_weights": (1.0, -1.0)}, "above 0"),
            ({"model": "tiny", "model_weights": (1.0, 2.0)}, "do not fit 1 model"),
        ],
    )
    def test_nonsense_changes_nothing(
        self, library: AudioLibrary, clip: Clip, options: dict[str, Any], reason: str
    ) -> None:
        before = sorted(library.path.rglob("*"))
        with pytest.raises(InvalidInputError, match=reason) as caught:
            make(library, "calm", **options)
        assert "\n" not in str(caught.value)
        assert sorted(library.path.rglob("*")) == before

    def test_fades_that_do_not_fit_are_refused_before_any_work(
        self, library: AudioLibrary, clip: Clip
    ) -> None:
        request = GenerationRequest(prompt="calm", continue_from="last", finish=SoundFinish(fade_in=30))
        with pytest.raises(InvalidRequestError, match=r"do not fit into 10\.2"):
            library.check_requests([request])

    def test_a_file_that_is_no_sound_is_told(self, library: AudioLibrary, tmp_path: Path) -> None:
        (tmp_path / "words.wav").write_text("no sound")
        with pytest.raises(GenerationError, match=r"words\.wav cannot be read"):
            make(library, "calm", continue_from=tmp_path / "words.wav")

    def test_reuse_takes_words_alone(self, library: AudioLibrary, clip: Clip) -> None:
        with pytest.raises(InvalidInputError, match="reused by their words"):
            library.get_or_generate("calm piano", duration=0.5, continue_from=clip.id)
        longer = make(library, "calm piano", continue_from=clip.id, duration=0.5)
        assert library.get_or_generate("calm piano", duration=0.5).id != longer.id


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


class TestMelody:
    def test_it_is_followed_and_kept(self, library: AudioLibrary, clip: Clip, tone: Path) -> None:
        made = make(library, "calm", melody=tone, duration=SHORT, model="tune")
        without = make(library, "calm", duration=SHORT, model="tune")
        assert (codes_of(made).codes != codes_of(without).codes).any()
        model = MusicGen.from_pretrained("tune")
        audio, rate = load_audio(tone)
        (direct,) = model.compose(["calm"], duration=SHORT, seeds=[1], melody=model.hear_melody(audio, rate))
        np.testing.assert_array_equal(codes_of(made).codes, direct.codes)
        assert recipe(library, made).melody_from == "tone.wav"
        tone.unlink()
        assert library.reproduce(made.id).codes_compared
        varied = library.regenerate(made.id, seed=2)
        np.testing.assert_array_equal(codes_of(varied).melody, codes_of(made).melody)
        # A clip's melody, and no parent: it is another music.
        other = make(library, "calm", melody=clip.id, duration=SHORT, model="tune")
        assert (recipe(library, other).melody_from, other.parent_id) == (clip.id, None)

    def test_it_goes_with_music_to_go_on_from(self, library: AudioLibrary, clip: Clip, tone: Path) -> None:
        made = make(library, "calm", melody=tone, continue_from=clip.id, duration=0.5, model="tune")
        np.testing.assert_array_equal(codes_of(made).codes[:, :10], codes_of(clip).codes)
        forget(clip)
        assert library.reproduce(made.id).codes_compared

    def test_one_that_is_lost_is_told(self, library: AudioLibrary, tone: Path) -> None:
        made = make(library, "calm", melody=tone, duration=SHORT, model="tune")
        codes_path(made).unlink()
        with pytest.raises(ReproductionError, match="The melody was kept with the codes"):
            library.reproduce(made.id)

    def test_other_models_say_so_before_they_are_loaded(self, library: AudioLibrary, clip: Clip) -> None:
        made = make(library, "calm", melody=clip.id, duration=SHORT, model="tune")
        with pytest.raises(GenerationError, match="follows no melody"):
            library.regenerate(made.id, model="wide")


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


class TestCommand:
    def test_all_of_it(self, cli: Run, library: AudioLibrary, clip: Clip, tone: Path) -> None:
        where = ("--library", str(library.path), "--seed", "1", "--json")
        calls = [
            ("--continue", "last", "--continue-seconds", "0.1", "--duration", "0.3"),
            ("--continue", str(tone), "--duration", "0.7"),
            ("--melody", clip.id[-6:], "--model", "tune", "--duration", "0.2"),
            ("--model", "tiny", "--model", "wide", "--model-weight", "1", "--model-weight", "2.5"),
        ]
        made = []
        for options in calls:
            extra = () if "--duration" in options else ("--duration", "0.2")
            result = cli("generate", "calm", *options, *extra, *where)
            assert result.exit_code == 0, result.stderr
            made.append(json.loads(result.stdout))
        recipes = [recipe(library, library.get(str(each["id"]))) for each in made]
        assert [each.given_frames for each in recipes] == [5, 25, 0, 0]
        assert recipes[2].melody_from == clip.id
        assert recipes[3].model_weights == (1.0, 2.5)
        for each, words in zip(made, ("goes on", "tone.wav", "melody", "wide 2.5"), strict=True):
            assert words in cli("show", str(each["id"]), "--library", str(library.path)).stdout

    def test_what_makes_no_sense_is_wrong_usage(self, cli: Run, library: AudioLibrary, clip: Clip) -> None:
        where = ("--library", str(library.path))
        for options in (
            ("--continue", "last", "--duration", "0.1"),
            ("--melody", "last"),
            ("--context", "40"),
        ):
            result = cli("generate", "calm", *options, *where)
            assert (result.exit_code, result.stdout) == (2, "")
            assert result.stderr.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="players are shell scripts here")
class TestPlay:
    @pytest.fixture
    def players(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder that is all of the path, on a machine without PortAudio."""
        folder = tmp_path / "bin"
        folder.mkdir()
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setitem(sys.modules, "sounddevice", None)
        return folder

    def player(self, folder: Path, script: str, name: str = "aplay") -> None:
        (folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (folder / name).chmod(0o755)

    def test_what_is_heard_while_it_is_made_is_the_clip(
        self, cli: Run, players: Path, library: AudioLibrary
    ) -> None:
        record = f"head -c 2 > {players}/heard; date +%s.%N > {players}/first"
        # It hears the rest when the clip is stored already: ears are slower than the model.
        record += f"; until ls {library.path}/audio/*/*.json; do sleep 0.05; done"
        record += f"; sleep 0.5; cat >> {players}/heard"
        self.player(players, record)
        options = ("--duration", "3", "--seed", "1", "--json", "--no-index", "--library", str(library.path))
        played = json.loads(cli("generate", "calm piano", "--play", *options).stdout)
        silent = json.loads(cli("generate", "calm piano", *options).stdout)
        first, second = (library.get(str(each["id"])) for each in (played, silent))
        np.testing.assert_array_equal(codes_of(first).codes, codes_of(second).codes)
        assert first.audio_sha256 == second.audio_sha256
        assert recipe(library, first) == recipe(library, second)
        heard = np.fromfile(players / "heard", "<i2").astype(int)
        assert len(heard) == 3 * RATE
        # Decoded in pieces, so that the last bit of a sample may differ.
        assert np.abs(heard - to_int16(load_audio(first.path)[0])).max() <= 1
        # The sound began before the last frames were made.
        assert float((players / "first").read_text()) < codes_path(first).stat().st_mtime
        assert library.reproduce(first.id).codes_compared

    def test_the_first_sound_comes_while_steps_are_made(self, players: Path, library: AudioLibrary) -> None:
        self.player(players, f"head -c 2 > {players}/first; cat > /dev/null")
        seen: list[bool] = []

        def progress(at: Any) -> None:
            time.sleep(0.005)
            seen.append((players / "first").exists())

        make(library, "calm", duration=3, play=True, progress=progress)
        assert (seen[0], seen[-1]) == (False, True)
        assert seen.count(True) > 20

    @pytest.mark.parametrize("script", ["echo no sound card >&2; exit 3", None])
    def test_a_clip_that_cannot_be_played_is_stored(
        self, cli: Run, players: Path, library: AudioLibrary, script: str | None
    ) -> None:
        if script is not None:
            self.player(players, script)
        result = cli("generate", "calm", "--duration", "0.2", "--play", "--library", str(library.path))
        assert result.exit_code == 0
        assert "0.2 s of music" in result.stdout
        assert library.get("last").duration == SHORT

    def test_the_file_is_played_where_nothing_plays_live(
        self, players: Path, library: AudioLibrary, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.player(players, f'echo "$@" > {players}/called', name="afplay")
        made = make(library, "calm", duration=SHORT, play=True)
        assert (players / "called").read_text() == f"{made.path}\n"
        self.player(players, "echo no sound card >&2; exit 3", name="afplay")
        make(library, "calm", duration=SHORT, play=True)
        assert "The clip is stored, but could not be played" in caplog.text
        assert "no sound card" in caplog.text

    def test_a_plain_file_and_a_reused_clip_are_heard_too(
        self, players: Path, library: AudioLibrary, clip: Clip, tmp_path: Path
    ) -> None:
        self.player(players, f"cat > {players}/heard")
        request = GenerationRequest(prompt="calm", duration=SHORT, seed=7)
        list(library.render_all([request], Destination(file=tmp_path / "out.wav"), play=True))
        assert (players / "heard").stat().st_size == 2 * round(SHORT * RATE)
        self.player(players, f'echo "$@" > {players}/called')
        request = GenerationRequest(prompt="calm piano", duration=SHORT)
        (found,) = library.reuse_or_generate([request], play=True)
        assert found.reused
        assert str(clip.path) in (players / "called").read_text()

    def test_several_are_stored_though_none_can_be_played(
        self, cli: Run, players: Path, library: AudioLibrary
    ) -> None:
        self.player(players, "echo no sound card >&2; exit 3")
        where = ("--library", str(library.path), "--no-index", "--json")
        result = cli("generate", "calm", "--duration", "0.2", "--count", "3", "--play", *where)
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) == 3
        assert result.stderr.count("stored, but could not be played") == 1

    def test_a_player_that_dies_is_told_of_at_once_and_once(
        self, players: Path, library: AudioLibrary, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.player(players, "head -c 100 > /dev/null; echo no sound card >&2; exit 3")
        told: list[bool] = []

        def progress(at: Any) -> None:
            time.sleep(0.02)  # a slow model
            told.append("still made, but cannot be heard" in caplog.text)

        made = make(library, "calm", duration=2, play=True, progress=progress)
        assert made.path.is_file()
        assert told.count(True) > 20
        assert caplog.text.count("no sound card") == 1

    def test_an_interruption_ends_the_sound(self, players: Path, library: AudioLibrary) -> None:
        self.player(players, f"echo $$ > {players}/pid; exec sleep 60")

        def progress(at: Any) -> None:
            if (players / "pid").exists() and (players / "pid").read_text().strip():
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make(library, "calm", duration=20, play=True, progress=progress)
        with pytest.raises(ProcessLookupError):
            os.kill(int((players / "pid").read_text()), 0)
        assert not library.path.exists()


class TestParts:
    @pytest.mark.parametrize("end", [True, False])
    @pytest.mark.parametrize("seconds", [0.01, 1.0, 4.1, 100.0])
    def test_the_end_or_the_beginning_of_a_file(self, tmp_path: Path, end: bool, seconds: float) -> None:
        sound = np.linspace(-0.5, 0.5, 200_000, dtype=np.float32)  # more than a block
        save_audio(tmp_path / "ramp.wav", sound, RATE)
        whole = load_audio(tmp_path / "ramp.wav")[0]
        part, rate = read_part(tmp_path / "ramp.wav", seconds, end=end)
        wanted = min(len(whole), round(seconds * RATE))
        assert rate == RATE
        np.testing.assert_array_equal(part[:, 0], whole[-wanted:] if end else whole[:wanted])

    def test_codes_with_all_that_is_kept(self, tmp_path: Path) -> None:
        stored = StoredCodes(
            codes=np.ones((4, 3), np.int16), codec="sha256:ab", melody=np.arange(5, dtype=np.int16)
        )
        write_codes(tmp_path / "a.codes.npz", stored)
        first = (tmp_path / "a.codes.npz").read_bytes()
        found = read_codes(tmp_path / "a.codes.npz")
        assert found is not None
        assert found.codec == "sha256:ab"
        np.testing.assert_array_equal(found.codes, stored.codes)
        np.testing.assert_array_equal(found.melody, stored.melody)
        write_codes(tmp_path / "a.codes.npz", stored)
        assert (
            tmp_path / "a.codes.npz"
        ).read_bytes() == first  # byte for byte, so that a restored one is the same
        for damaged in (first[:100], b"", b"PK"):
            (tmp_path / "a.codes.npz").write_bytes(damaged)
            assert read_codes(tmp_path / "a.codes.npz") is None
