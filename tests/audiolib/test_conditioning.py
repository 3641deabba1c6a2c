"""Made from more than words: music to go on from, and melodies."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from library_files import codes_of, codes_path, forget, make, recipe

from audiolib import AudioLibrary, Clip, Destination, GenerationRequest, SoundFinish
from audiolib.codes import StoredCodes, read_codes, write_codes
from audiolib.conditioning import GIVEN_SECONDS, _frames_of, read_part
from audiolib.errors import InvalidInputError, ReproductionError
from generation.audio import load_audio, save_audio
from generation.errors import GenerationError, InvalidRequestError
from generation.musicgen import MusicGen

pytestmark = pytest.mark.usefixtures("more_models")


Run = Callable[..., Result]
SHORT = 0.2
RATE = 32_000
STARTER = Path(__file__).parents[2] / "mlx-models" / "starter"


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

    def test_codes_that_no_codebook_has_are_heard_from_the_sound(
        self, library: AudioLibrary, clip: Clip
    ) -> None:
        write_codes(codes_path(clip), replace(codes_of(clip), codes=np.full((4, 10), 30_000, np.int16)))
        longer = make(library, "happy rock", continue_from=clip.id, duration=0.5)
        heard = MusicGen.from_pretrained("tiny").encode(load_audio(clip.path)[0], RATE)
        np.testing.assert_array_equal(codes_of(longer).codes[:, :10], heard)

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

    def test_no_more_is_given_than_a_clip_may_have(self, tmp_path: Path) -> None:
        path = tmp_path / "long.wav"
        save_audio(path, np.zeros(25 * 8_000, np.float32), 8_000)
        assert _frames_of(path, 1e6, 5.0) == 5 * 50

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

    def test_one_that_is_damaged_is_told(self, library: AudioLibrary, tone: Path) -> None:
        made = make(library, "calm", melody=tone, duration=SHORT, model="tune")
        write_codes(codes_path(made), replace(codes_of(made), melody=np.full(10, 12, np.int16)))
        with pytest.raises(ReproductionError, match="The melody was kept with the codes"):
            library.reproduce(made.id)

    def test_other_models_say_so_before_they_are_loaded(self, library: AudioLibrary, clip: Clip) -> None:
        made = make(library, "calm", melody=clip.id, duration=SHORT, model="tune")
        with pytest.raises(GenerationError, match="follows no melody"):
            library.regenerate(made.id, model="wide")


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

    @pytest.mark.parametrize(
        "codes",
        [
            np.zeros(10, np.int16),
            np.int16(3),
            np.full((4, 10), 1.5),
            np.full((4, 10), -5, np.int16),
            np.array([["a", "b"]]),
        ],
        ids=["flat", "one", "fractions", "negative", "text"],
    )
    def test_arrays_that_are_no_codes(self, tmp_path: Path, codes: np.ndarray) -> None:
        write_codes(tmp_path / "a.codes.npz", StoredCodes(codes=codes))
        assert read_codes(tmp_path / "a.codes.npz") is None
        with_melody = StoredCodes(codes=np.ones((4, 3), np.int16), melody=np.atleast_2d(codes))
        write_codes(tmp_path / "a.codes.npz", with_melody)
        assert read_codes(tmp_path / "a.codes.npz") is None

    def test_no_more_is_unpacked_than_music_has(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("audiolib.codes._MOST_BYTES", 100_000)
        write_codes(tmp_path / "a.codes.npz", StoredCodes(codes=np.zeros((4, 100_000), np.int16)))
        assert (tmp_path / "a.codes.npz").stat().st_size < 10_000
        assert read_codes(tmp_path / "a.codes.npz") is None
