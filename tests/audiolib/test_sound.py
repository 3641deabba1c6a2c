"""Sound on its way out of the library: levels, formats, and the recipe that comes back from every file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from bs1770 import loudness
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audiolib import AudioLibrary, GenerationRequest, Recipe, SoundFinish
from audiolib.codes import StoredCodes
from audiolib.composer import MadeAudio
from audiolib.errors import InvalidInputError
from audiolib.folder import LibraryFolder
from audiolib.importing.recipes import origin_in
from audiolib.recording import comment_of, store, write_audio
from audiolib.sidecars import edit_sidecar, read_sidecar
from audiolib.studio import variation_of
from generation.audio import load_audio, read_comment
from generation.errors import InvalidRequestError
from generation.finish import AS_IT_IS

HOLDS = {
    "wav": (None, "pcm16", "pcm24", "float"),
    "flac": (None, "pcm16", "pcm24"),
    "ogg": (None,),
    "mp3": (None,),
}
FINISHES = st.sampled_from(
    [
        AS_IT_IS,
        SoundFinish(normalize="peak").resolved(),
        SoundFinish(normalize="rms", headroom_db=24.0, dither=True),
        SoundFinish(normalize="loudness", loudness_lufs=-20.0, fade_in=0.05, fade_out=0.1),
        SoundFinish(normalize="clip", headroom_db=6.0),
    ]
)


def recipe_for(prompt: str, finish: SoundFinish, sample_format: str | None, seed: int = 1) -> Recipe:
    return Recipe(
        prompt=prompt,
        model="tiny",
        weights_digest="sha256:" + "0" * 64,
        seed=seed,
        temperature=1.0,
        top_k=250,
        top_p=0.0,
        guidance=3.0,
        steps=28,
        duration=0.5,
        batch_size=1,
        backend="cpu",
        dtype="float32",
        audiolib_version="0.1.0",
        finish=finish,
        sample_format=sample_format,
    )


def made_for(recipe: Recipe, channels: int = 1, peak: float = 1.3) -> MadeAudio:
    wave = np.sin(np.arange(16_000)[:, None] * np.array([[0.05, 0.07]])[:, :channels]).astype(np.float32)
    audio = peak * wave.squeeze()
    codes = StoredCodes(codes=np.zeros((4, 25), np.int16), codec="sha256:0", melody=None)
    return MadeAudio(audio=audio, codes=codes, sampling_rate=32_000, recipe=recipe, license="mit")


@st.composite
def formats(draw: st.DrawFn) -> tuple[str, str | None]:
    audio_format = draw(st.sampled_from(sorted(HOLDS)))
    return audio_format, draw(st.sampled_from(HOLDS[audio_format]))


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    kind=formats(),
    rate=st.sampled_from([None, 16_000, 22_050, 32_000, 44_100, 48_000]),
    channels=st.sampled_from([1, 2]),
    prompt=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200).filter(
        str.strip
    ),
    tags=st.lists(st.sampled_from(["lofi", "été", "夜"]), unique=True),
    finish=FINISHES,
    seed=st.integers(0, 2**63 - 1),
)
def test_every_format_carries_its_recipe(
    kind: tuple[str, str | None],
    rate: int | None,
    channels: int,
    prompt: str,
    tags: list[str],
    finish: SoundFinish,
    seed: int,
    tmp_path: Path,
) -> None:
    audio_format, sample_format = kind
    recipe = recipe_for(" ".join(prompt.split()) or "x", finish, sample_format, seed)
    path = tmp_path / f"a.{audio_format}"
    clip_id = "01M821PXFW94BW44WQZ9JT1EK5"
    write_audio(
        path, made_for(recipe, channels), clip_id=clip_id, title="A", tags=tuple(tags), sample_rate=rate
    )
    origin = origin_in(read_comment(path))
    assert origin is not None
    assert origin.recipe == recipe
    assert origin.id == clip_id
    assert sorted(origin.tags) == sorted(tags)
    info = soundfile.info(path)
    assert (info.samplerate, info.channels) == (rate or 32_000, channels)


@pytest.mark.parametrize("name", ["temperature", "duration", "top_p"])
def test_a_recipe_with_an_endless_number_is_none(name: str) -> None:
    made = made_for(recipe_for("x", AS_IT_IS, None))
    comment = json.loads(comment_of(made, clip_id="01M821PXFW94BW44WQZ9JT1EK5", tags=()))
    assert origin_in(json.dumps(comment)) is not None
    comment["recipe"][name] = 10**400
    assert origin_in(json.dumps(comment)) is None


class TestGenerate:
    """What `generate` stores."""

    @pytest.mark.parametrize(
        ("audio_format", "rate"), [("wav", 32_000), ("flac", 48_000), ("ogg", 44_100), ("mp3", 48_000)]
    )
    def test_loudness_by_another_meter(self, library: AudioLibrary, audio_format: str, rate: int) -> None:
        clip = library.generate(
            "calm piano",
            duration=1,
            seed=1,
            audio_format=audio_format,
            sample_rate=rate,
            finish=SoundFinish(normalize="loudness", loudness_lufs=-16),
        )
        audio, _ = load_audio(clip.path)
        assert loudness(audio, rate) == pytest.approx(-16, abs=0.5)
        assert clip.loudness_lufs == pytest.approx(-16, abs=0.5)

    def test_peaks_are_whole(self, library: AudioLibrary) -> None:
        """The tiny model shouts; what it makes is not cut off before it is turned down."""
        plain = library.generate("calm piano", duration=1, seed=1)
        quiet = library.generate("calm piano", duration=1, seed=1, finish=SoundFinish(normalize="peak"))
        cut, whole = load_audio(plain.path)[0], load_audio(quiet.path)[0]
        assert (np.abs(cut) >= 32767 / 32768).sum() > 10
        assert 20 * math.log10(np.abs(whole).max()) == pytest.approx(-1, abs=0.02)
        assert (np.abs(whole) >= np.abs(whole).max() - 1 / 32768).sum() < 5
        gain = np.median(whole[np.abs(cut) < 0.5] / np.where(cut == 0, 1, cut)[np.abs(cut) < 0.5])
        loud = np.abs(cut) < 0.99
        np.testing.assert_allclose(whole[loud], cut[loud] * gain, atol=3e-4)

    @pytest.mark.parametrize(
        "options",
        [
            {"audio_format": "wav", "sample_format": "pcm24"},
            {"audio_format": "wav", "sample_format": "float", "sample_rate": 44_100},
            {"audio_format": "flac", "sample_format": "pcm24", "sample_rate": 48_000},
            {"audio_format": "flac", "finish": SoundFinish(normalize="peak", dither=True, fade_out=0.2)},
            {"audio_format": "ogg", "finish": SoundFinish(normalize="loudness")},
            {"audio_format": "mp3", "finish": SoundFinish(normalize="rms")},
        ],
    )
    def test_it_is_made_again_bit_for_bit(self, library: AudioLibrary, options: dict[str, Any]) -> None:
        clip = library.generate("calm piano", duration=0.6, seed=3, **options)
        sidecar = read_sidecar(next((library.path / "audio").rglob("*.json")))
        assert sidecar.recipe is not None
        assert sidecar.recipe.finish == options.get("finish", AS_IT_IS).resolved()
        assert sidecar.recipe.sample_format == options.get("sample_format")
        assert library.reproduce(clip.id).codes_compared
        clip.path.unlink()
        assert library.reproduce(clip.id).restored == (clip.path,)
        if clip.path.suffix != ".ogg":  # whose streams have random serial numbers
            assert read_sidecar(sidecar.path).clip.sha256 == clip.sha256

    def test_another_finish_is_another_sound(self, library: AudioLibrary) -> None:
        clip = library.generate("calm piano", duration=0.5, seed=3, finish=SoundFinish(fade_out=0.2))
        (path,) = (library.path / "audio").rglob("*.json")
        document = json.loads(path.read_text())
        assert document["recipe"]["finish"] == {"fade_out": 0.2}
        document["recipe"]["finish"]["fade_out"] = 0.1
        path.write_text(json.dumps(document))
        with pytest.raises(Exception, match="samples came out otherwise"):
            library.reproduce(clip.id)

    def test_a_plain_recipe_says_nothing_of_it(self, library: AudioLibrary) -> None:
        clip = library.generate("calm piano", duration=0.2, seed=3)
        recipe = json.loads(read_comment(clip.path) or "")["recipe"]
        assert not {"finish", "sample_format"} & recipe.keys()

    def test_dither_comes_from_the_seed(self, library: AudioLibrary) -> None:
        first, again = (
            library.generate("calm piano", duration=0.2, seed=3, finish=SoundFinish(dither=True))
            for _ in range(2)
        )
        plain = library.generate("calm piano", duration=0.2, seed=3)
        assert first.audio_sha256 == again.audio_sha256 != plain.audio_sha256
        step = np.abs(load_audio(first.path)[0] - load_audio(plain.path)[0]).max() * 32768
        assert 0 < step <= 2

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"audio_format": "flac", "sample_format": "float"}, "FLAC cannot hold floats"),
            ({"audio_format": "mp3", "sample_format": "pcm24"}, "MP3 is lossy"),
            ({"sample_format": "pcm8"}, "no sample format"),
            ({"finish": SoundFinish(fade_in=0.4, fade_out=0.4)}, "do not fit"),
        ],
    )
    def test_what_cannot_be_is_refused_before_any_work(
        self, library: AudioLibrary, options: dict[str, Any], says: str
    ) -> None:
        with pytest.raises((InvalidInputError, InvalidRequestError), match=says):
            library.generate("calm piano", duration=0.5, **options)
        assert not library.path.exists()

    def test_a_variation_is_finished_alike(self, library: AudioLibrary) -> None:
        finish = SoundFinish(normalize="peak", headroom_db=3.0)
        clip = library.generate("calm piano", duration=0.2, seed=3, finish=finish, sample_format="pcm24")
        other = library.regenerate(clip.id, seed=4)
        assert 20 * math.log10(np.abs(load_audio(other.path)[0]).max()) == pytest.approx(-3, abs=0.02)
        assert soundfile.info(other.path).subtype == "PCM_24"
        lossy = library.regenerate(clip.id, audio_format="mp3")
        assert soundfile.info(lossy.path).subtype == "MPEG_LAYER_III"

    def test_a_variation_of_the_sound_has_the_very_tokens(self, library: AudioLibrary) -> None:
        clip = library.generate("calm piano", duration=0.2, seed=3)
        path = clip.path.with_name(f"{clip.id}.json")
        recipe = library.recipe(clip.id)
        assert recipe is not None
        edit_sidecar(path, {"recipe": replace(recipe, dtype="bfloat16", batch_size=4).to_json()})
        sidecar = read_sidecar(path)
        for changes in ({"finish": SoundFinish(fade_in=0.1)}, {"audio_format": "mp3", "tags": ("a",)}):
            request = variation_of(sidecar, changes)
            assert (request.dtype, request.batch_size) == ("bfloat16", 4)
        request = variation_of(sidecar, {"finish": SoundFinish(fade_in=0.1), "seed": 4})
        assert (request.dtype, request.batch_size) == (None, 1)

    def test_reuse_looks_at_the_finish(self, library: AudioLibrary) -> None:
        finish = SoundFinish(normalize="peak")
        plain = library.generate("calm piano", duration=0.2)
        level = library.get_or_generate("calm piano", duration=0.2, finish=finish)
        assert level.id != plain.id
        assert library.get_or_generate("calm piano", duration=0.2, finish=finish).id == level.id
        assert library.get_or_generate("calm piano", duration=0.2).id == level.id  # the newest
        floats = library.get_or_generate("calm piano", duration=0.2, sample_format="float")
        assert floats.id not in (plain.id, level.id)
        assert library.get_or_generate("calm piano", duration=0.2, sample_format="pcm16").id == level.id


@pytest.mark.parametrize("audio_format", ["wav", "flac", "ogg", "mp3"])
def test_a_file_that_left_comes_back_with_its_recipe(
    audio_format: str, library: AudioLibrary, tmp_path: Path
) -> None:
    for sample_format in HOLDS[audio_format][1:] or (None,):
        clip = library.generate(
            "früh 早い 🎹",
            duration=0.5,
            seed=3,
            audio_format=audio_format,
            sample_format=sample_format,
            sample_rate=48_000,
            finish=SoundFinish(normalize="loudness"),
        )
        other = AudioLibrary(tmp_path / f"other-{sample_format}")
        added = other.add(clip.path)
        assert added.id == clip.id
        assert added.audio_sha256 == clip.audio_sha256
        assert other.recipe(clip.id) == library.recipe(clip.id)


def test_each_seed_has_its_own_dither(tmp_path: Path) -> None:
    def stored(seed: int) -> bytes:
        made = made_for(recipe_for("x", SoundFinish(dither=True), None, seed), peak=0.5)
        path = tmp_path / "a.wav"
        write_audio(path, made, clip_id="01M821PXFW94BW44WQZ9JT1EK5", title="A", tags=(), sample_rate=None)
        return load_audio(path)[0].tobytes()

    assert stored(1) == stored(1) != stored(2)


@pytest.mark.parametrize(("over_db", "told"), [(0.2, False), (1.0, True)])
@pytest.mark.parametrize("sample_rate", [None, 44_100])
def test_what_nobody_hears_is_written_down_and_not_told(
    over_db: float, told: bool, sample_rate: int | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = made_for(recipe_for("calm", SoundFinish(), None), peak=0.5)
    made.audio[1_000] = 10 ** (over_db / 20)
    request = GenerationRequest(prompt="calm", audio_format="wav", sample_rate=sample_rate)
    sidecar = store(LibraryFolder(tmp_path / "library"), made, request)
    library = AudioLibrary(tmp_path / "library")
    assert library.clipped(sidecar.clip.id) == {"samples": 1, "over_db": over_db}
    assert ("over full scale" in caplog.text) == told


def test_what_resampling_cuts_off_is_written_down_too(tmp_path: Path) -> None:
    """One sample before the filter, which nobody hears, and thousands after it, where it overshoots."""
    made = made_for(recipe_for("calm", SoundFinish(), None), peak=0.5)
    made.audio[:] = np.where(np.arange(made.audio.size) // 40 % 2, 0.99, -0.99)
    made.audio[1_000] = 10 ** (0.2 / 20)
    request = GenerationRequest(prompt="calm", audio_format="wav", sample_rate=44_100)
    sidecar = store(LibraryFolder(tmp_path / "library"), made, request)
    clipped = AudioLibrary(tmp_path / "library").clipped(sidecar.clip.id)
    assert clipped is not None
    assert clipped["samples"] > 100
    assert clipped["over_db"] > 0.5


def test_a_limit_below_full_scale_is_written_down(tmp_path: Path) -> None:
    finish = SoundFinish(normalize="clip", headroom_db=6.0)
    made = made_for(recipe_for("calm", finish, None), peak=0.9)
    request = GenerationRequest(prompt="calm", audio_format="wav", finish=finish)
    sidecar = store(LibraryFolder(tmp_path / "library"), made, request)
    clipped = AudioLibrary(tmp_path / "library").clipped(sidecar.clip.id)
    assert clipped is not None
    assert clipped["limit_db"] == -6.0


def test_old_recipes_have_no_finish() -> None:
    recipe = recipe_for("calm piano", AS_IT_IS, None)
    document = recipe.to_json()
    assert not {"finish", "sample_format"} & document.keys()
    assert Recipe.from_json(document) == recipe
    finished = replace(recipe, finish=SoundFinish(normalize="peak", headroom_db=0.0), sample_format="float")
    assert Recipe.from_json(json.loads(json.dumps(finished.to_json()))) == finished


@pytest.mark.parametrize(
    "finish", [{"normalize": "loud"}, {"fade_in": -1}, {"fade_in": "1"}, {"dither": 1}, [], "peak", None]
)
def test_a_finish_from_elsewhere_is_checked(finish: object) -> None:
    document = {**recipe_for("calm piano", AS_IT_IS, None).to_json(), "finish": finish}
    with pytest.raises(ValueError):  # noqa: PT011  # whatever it says, the file has no recipe then
        Recipe.from_json(document)
    assert origin_in(json.dumps({"audiolib": 1, "recipe": document})) is None
