"""Fades, normalizing and full scale: what is asked for is what is measured afterwards."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from bs1770 import loudness
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.audio import load_audio, save_audio
from generation.clipping import Clipping, cut_off
from generation.errors import AudioError, InvalidRequestError
from generation.finish import AS_IT_IS, STRATEGIES, SoundFinish, finish_sound
from generation.limiter import hold_peaks, true_peaks

RATE = 48_000
CEILING = 10 ** (-1 / 20)


def music(seconds: float = 2.0, channels: int = 1, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Plucked tones with sharp attacks: peaks far over their mean, as music has them."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    sound = np.zeros((len(time), channels))
    for start in np.arange(0, seconds, 0.25):
        since = np.maximum(0, time - start)
        note = (
            np.exp(-12 * since)
            * np.sin(2 * np.pi * rng.choice([110, 220, 330, 660]) * since)
            * (time >= start)
        )
        sound += note[:, None] * rng.uniform(0.3, 1, channels)
    sound += 0.01 * rng.standard_normal(sound.shape)
    sound = (0.5 * sound / np.abs(sound).max()).astype(np.float32)
    return sound[:, 0] if channels == 1 else sound


def db(value: float) -> float:
    return 20 * math.log10(value)


def rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(audio.astype(np.float64) ** 2)))


def finished(audio: np.ndarray, rate: int = RATE, **options: Any) -> np.ndarray:
    return finish_sound(audio, rate, SoundFinish(**options), meter=loudness).audio


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("headroom", "expected"), [(None, -1.0), (0.0, 0.0), (6.0, -6.0)])
def test_peak(channels: int, headroom: float | None, expected: float) -> None:
    audio = music(channels=channels)
    out = finished(audio, normalize="peak", headroom_db=headroom)
    peak = db(float(np.abs(out).max()))
    assert expected - 0.011 <= peak <= expected  # never over it
    np.testing.assert_allclose(out / audio, np.full(audio.shape, out.flat[9] / audio.flat[9]), rtol=1e-4)


@pytest.mark.parametrize(("headroom", "expected"), [(None, -18.0), (30.0, -30.0)])
def test_rms(headroom: float | None, expected: float) -> None:
    assert db(rms(finished(music(channels=2), normalize="rms", headroom_db=headroom))) == pytest.approx(
        expected, abs=0.02
    )


@pytest.mark.parametrize(("headroom", "limit"), [(None, CEILING), (12.0, 10 ** (-12 / 20))])
def test_clip(headroom: float | None, limit: float) -> None:
    audio = 2 * music()
    done = finish_sound(audio, RATE, SoundFinish(normalize="clip", headroom_db=headroom))
    np.testing.assert_array_equal(done.audio, np.clip(audio, -np.float32(limit), np.float32(limit)))
    over = int((np.abs(audio) > limit).sum())
    assert done.clipped is not None
    assert (
        f"{over:,} of {audio.size:,} samples were over {-(headroom or 1):g} dB of full scale"
        in done.clipped.sentence
    )


@pytest.mark.parametrize("rate", [32_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("target", [None, -23.0, -12.0])
def test_loudness_by_another_meter(rate: int, channels: int, target: float | None) -> None:
    audio = music(4.0, channels, rate)
    out = finished(audio, rate, normalize="loudness", loudness_lufs=target)
    assert loudness(out, rate) == pytest.approx(-14.0 if target is None else target, abs=0.2)
    assert np.abs(out).max() <= CEILING + 1e-6


def test_loudness_that_needs_the_limiter() -> None:
    """-12 LUFS is over full scale for these plucked tones: without the limiter they would be clipped."""
    audio = music(4.0)
    gain = 10 ** ((-12 - loudness(audio, RATE)) / 20)
    assert np.abs(audio * gain).max() > 1
    done = finish_sound(audio, RATE, SoundFinish(normalize="loudness", loudness_lufs=-12), meter=loudness)
    assert np.abs(done.audio).max() <= CEILING + 1e-6
    assert loudness(done.audio, RATE) == pytest.approx(-12, abs=0.2)
    assert "Peaks were turned down by up to" in done.notes[0]


def test_a_loudness_out_of_reach_is_told() -> None:
    tone = 0.1 * np.sin(np.arange(2 * RATE) * 0.1)
    done = finish_sound(tone, RATE, SoundFinish(normalize="loudness", loudness_lufs=0), meter=loudness)
    assert done.notes == (
        f"The loudness is {loudness(done.audio, RATE):.1f} LUFS: 0 is more than peaks held under full scale allow.",
    )
    assert np.abs(done.audio).max() <= CEILING + 1e-6


@pytest.mark.parametrize("normalize", STRATEGIES)
def test_silence_stays_silent(normalize: Any) -> None:
    done = finish_sound(np.zeros((RATE, 2)), RATE, SoundFinish(normalize=normalize), meter=lambda *_: None)
    assert not done.audio.any()
    assert len(done.notes) == (normalize == "loudness")


def test_noise_near_silence_is_not_made_loud() -> None:
    """audiocraft's energy floor."""
    hiss = (1e-3 * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.float32)
    done = finish_sound(hiss, RATE, SoundFinish(normalize="loudness"), meter=loudness)
    np.testing.assert_array_equal(done.audio, hiss)
    assert "too quiet" in done.notes[0]


@pytest.mark.parametrize("channels", [1, 2])
def test_fades_are_raised_cosines(channels: int) -> None:
    audio = np.ones((RATE, 2), dtype=np.float32)[:, :channels].squeeze()
    out = finished(audio, fade_in=0.25, fade_out=0.5)
    left = out if channels == 1 else out[:, 0]
    np.testing.assert_array_equal(left[12_000:24_000], 1)
    assert left[0] < 1e-7
    assert left[-1] < 1e-7
    assert left[6_000] == pytest.approx(0.5, abs=1e-3)
    assert left[24_000 + 12_000] == pytest.approx(0.5, abs=1e-3)
    assert left[24_000 + 6_000] == pytest.approx((1 + math.cos(math.pi / 4)) / 2, abs=1e-3)
    if channels == 2:
        np.testing.assert_array_equal(out[:, 0], out[:, 1])


def test_fades_come_before_the_level() -> None:
    audio = music(4.0)
    out = finished(audio, fade_in=1.5, fade_out=1.5, normalize="loudness")
    assert loudness(out, RATE) == pytest.approx(-14, abs=0.2)
    assert abs(out[0]) < 1e-6


def test_fades_that_do_not_fit() -> None:
    with pytest.raises(InvalidRequestError, match=r"1\.5 seconds do not fit into 1"):
        finished(music(1.0), fade_in=0.5, fade_out=1.0)
    finished(music(1.0), fade_in=0.5, fade_out=0.5)


def test_what_is_over_full_scale_is_counted() -> None:
    audio = music()
    audio[[5, 500, 700]] = 2.0, -1.5, 1.0
    done = finish_sound(audio, RATE)
    assert done.clipped is not None
    assert done.clipped.sentence == (
        f"2 of {audio.size:,} samples were over full scale by up to 6.0 dB and cut off; "
        "--normalize peak keeps them whole."
    )
    assert done.clipped.to_json() == {"samples": 2, "over_db": 6.02}
    both = done.clipped.and_then(Clipping(samples=5, total=9, over_db=7.0, taken=0.5, limit_db=0.0))
    assert both.to_json() == {"samples": 7, "over_db": 7.0}
    assert both.taken > max(done.clipped.taken, 0.5)
    assert Clipping(samples=1, total=2, over_db=1, taken=1, limit_db=-6.0).to_json()["limit_db"] == -6.0
    np.testing.assert_array_equal(done.audio, np.clip(audio, -1, 1))
    assert audio[5] == 2  # what was given is as it was
    loose = finish_sound(audio, RATE, clip=False)
    assert loose.clipped is None
    np.testing.assert_array_equal(loose.audio, audio)
    assert finish_sound(audio, RATE, SoundFinish(normalize="peak")).clipped is None


def test_one_sample_over() -> None:
    clipped = finish_sound(np.array([0.0, -1.01]), RATE).clipped
    assert clipped is not None
    assert clipped.sentence.startswith("1 sample was over full scale by up to 0.1 dB and cut off")


@pytest.mark.parametrize(
    ("over_db", "samples", "told"), [(0.4, 1, False), (0.6, 1, True), (0.1, 10, False), (0.1, 40, True)]
)
@pytest.mark.parametrize("limit_db", [0.0, -12.0])
def test_what_could_be_heard_is_told(
    over_db: float, samples: int, told: bool, limit_db: float, caplog: pytest.LogCaptureFixture
) -> None:
    """However long the clip is, and on whichever side it is over."""
    audio = np.zeros(32_000, np.float32)
    audio[np.arange(samples) * 7] = 10 ** ((over_db + limit_db) / 20) * (-1) ** np.arange(samples)
    found = cut_off(audio, limit_db)
    assert found is not None
    assert (found.samples, found.over_db) == (samples, pytest.approx(over_db, abs=1e-3))
    assert found.audible == told
    assert cut_off(audio, limit_db) is None
    with caplog.at_level(logging.INFO):
        found.tell(logging.getLogger("generation"))
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.WARNING if told else logging.INFO,
        found.sentence,
    )


def test_16_bit_sound_is_taken_as_it_is() -> None:
    whole = np.array([-32768, -1, 0, 1, 32767], dtype=np.int16)
    with pytest.raises(AudioError, match="int32"):
        finish_sound(whole.astype(np.int32), RATE)
    np.testing.assert_array_equal(finish_sound(whole, RATE).audio, whole / np.float32(32768))


def test_loudness_needs_a_meter() -> None:
    with pytest.raises(InvalidRequestError, match="needs a meter"):
        finish_sound(music(), RATE, SoundFinish(normalize="loudness"))


@pytest.mark.parametrize(
    "options",
    [
        {"normalize": "loud"},
        {"normalize": "peak", "headroom_db": -1.0},
        {"normalize": "peak", "headroom_db": math.nan},
        {"normalize": "loudness", "headroom_db": 1.0},
        {"headroom_db": 1.0},
        {"normalize": "peak", "loudness_lufs": -14.0},
        {"normalize": "loudness", "loudness_lufs": 3.0},
        {"normalize": "loudness", "loudness_lufs": math.nan},
        {"fade_in": -1.0},
        {"fade_out": math.inf},
    ],
)
def test_what_makes_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        SoundFinish(**options)
    assert isinstance(caught.value, ValueError)  # for whoever reads one from JSON


def test_defaults_are_written_out() -> None:
    assert AS_IT_IS.resolved() == AS_IT_IS
    assert SoundFinish(normalize="peak").resolved().headroom_db == 1
    assert SoundFinish(normalize="clip").resolved().headroom_db == 1
    assert SoundFinish(normalize="rms").resolved().headroom_db == 18
    assert SoundFinish(normalize="loudness").resolved().loudness_lufs == -14
    assert SoundFinish(normalize="peak", headroom_db=0.0).resolved().headroom_db == 0


def limited(audio: np.ndarray, rate: int, ceiling: float) -> float:
    """Hold the peaks of `(frames, channels)`, in place; by how many dB the loudest was turned down."""
    return hold_peaks(audio, true_peaks(audio), rate, ceiling)


def true_peak(audio: np.ndarray) -> float:
    """The largest absolute value of the band-limited wave through `(frames, channels)`, in between as well."""
    padded = np.pad(audio.astype(np.float64), ((256, 256), (0, 0)))
    spectrum = np.fft.rfft(padded, axis=0)
    return float(np.abs(8 * np.fft.irfft(spectrum, 8 * len(padded), axis=0)).max())


@settings(max_examples=60)
@given(
    st.integers(1, 4000),
    st.sampled_from([1, 2]),
    st.integers(0, 2**32 - 1),
    st.floats(0.05, 1.0),
    st.sampled_from([8_000, 32_000]),
)
def test_no_peak_passes_the_limiter(frames: int, channels: int, seed: int, ceiling: float, rate: int) -> None:
    audio = np.random.default_rng(seed).normal(0, 0.5, (frames, channels)).astype(np.float32)
    held = audio.copy()
    turned_down = limited(held, rate, ceiling)
    assert np.abs(held).max() <= np.float32(ceiling)
    assert turned_down > 0 or np.abs(audio).max() <= ceiling
    assert (np.abs(held) <= np.abs(audio)).all()  # nothing is turned up
    assert (held * audio >= 0).all()


def test_peaks_between_samples_are_held() -> None:
    """A tone of a quarter of the rate whose samples all miss its peaks by 3 dB: EBU Tech 3341, case 15 and on."""
    time = np.arange(RATE)
    tone = (np.sin(np.pi / 2 * time + np.pi / 4) * np.hanning(RATE))[:, None].astype(np.float32)
    assert np.abs(tone).max() < 0.708
    assert true_peak(tone) == pytest.approx(1, abs=0.001)
    assert limited(tone, RATE, 0.8) == pytest.approx(20 * math.log10(1 / 0.8), abs=0.05)
    assert true_peak(tone) == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize("rate", [32_000, 48_000])
@pytest.mark.parametrize("gain", [2.0, 6.0])
def test_music_stays_under_the_true_peak(rate: int, gain: float) -> None:
    audio = gain * music(2.0, 2, rate)
    limited(audio, rate, CEILING)
    assert true_peak(audio) <= 10 ** (-0.8 / 20)


def test_the_limiter_is_smooth_and_local(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = np.full((RATE, 1), 0.5, dtype=np.float32)
    audio[24_000] = 2.0
    held = audio.copy()
    assert limited(held, RATE, 1.0) == pytest.approx(6.02, abs=0.1)
    gain = held[:, 0] / audio[:, 0]
    assert gain[24_000] == pytest.approx(0.5, abs=5e-3)
    assert np.abs(np.diff(gain)).max() < 1.1 / (0.02 * RATE)  # no step: that would be a click
    far = np.abs(np.arange(RATE) - 24_000) > 2 * 0.02 * RATE + 4
    np.testing.assert_array_equal(gain[far], 1)
    # However the sound is cut into blocks.
    monkeypatch.setattr("generation.limiter._BLOCK", 1_000)
    in_blocks = audio.copy()
    limited(in_blocks, RATE, 1.0)
    np.testing.assert_allclose(in_blocks, held, atol=1e-4)


def test_saving_finishes_and_tells(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    audio = 3 * music()
    save_audio(tmp_path / "a.wav", audio, RATE, finish=SoundFinish(normalize="peak", fade_out=0.5))
    back, _ = load_audio(tmp_path / "a.wav")
    assert db(float(np.abs(back).max())) == pytest.approx(-1, abs=0.02)
    assert abs(back[-1]) <= 1 / 32768
    assert not caplog.records
    save_audio(tmp_path / "a.wav", audio, RATE, finish=SoundFinish(fade_in=0.5))
    save_audio(tmp_path / "a.wav", audio, RATE)
    save_audio(tmp_path / "a.wav", audio, RATE, sample_format="float")
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert all("over full scale" in record.getMessage() for record in caplog.records)


def test_every_target_is_tried_without_a_fault() -> None:
    """Peaky sound and targets out of reach: rounding of the gain once divided by zero."""
    rng = np.random.default_rng(5)
    sound = (0.004 * rng.standard_normal(32_000)).astype(np.float32)
    sound[::8_000] = 0.95
    for tenth in range(-120, -60):
        wanted = SoundFinish(normalize="loudness", loudness_lufs=tenth / 10)
        assert np.abs(finish_sound(sound, 16_000, wanted, meter=mean_level).audio).max() <= 1


def mean_level(audio: npt.NDArray[np.float32], _sampling_rate: int) -> float:
    return 10 * math.log10(float(np.mean(np.square(audio))) + 1e-12)


def test_fades_that_fit_exactly() -> None:
    sound = np.ones(9_600, np.float32)
    finished = finish_sound(sound, 32_000, SoundFinish(fade_in=0.1, fade_out=0.2))
    assert abs(finished.audio[0]) < 1e-3
    assert len(finished.audio) == 9_600


@pytest.mark.parametrize("normalize", ["peak", "rms", "clip"])
def test_samples_that_are_no_numbers_are_refused(normalize: str) -> None:
    sound = np.ones(100, np.float32)
    sound[3] = np.inf
    with pytest.raises(AudioError, match="no numbers"):
        finish_sound(sound, 32_000, SoundFinish(normalize=normalize))
