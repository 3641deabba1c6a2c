"""16 and 24 bits and floats: samples come back as they are stored, with dither where it is asked for."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_signals import RATE, texts, tone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generation.audio import (
    encode_audio,
    load_audio,
    read_comment,
    save_audio,
    to_int16,
)
from generation.errors import AudioError

HOLDS = [(".wav", "pcm16"), (".wav", "pcm24"), (".wav", "float"), (".flac", "pcm16"), (".flac", "pcm24")]
SUBTYPES = {"pcm16": "PCM_16", "pcm24": "PCM_24", "float": "FLOAT"}


@pytest.mark.parametrize(("suffix", "sample_format"), HOLDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(
    rate=st.sampled_from([8_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000]),
    channels=st.sampled_from([1, 2]),
    comment=texts,
    title=texts,
    seed=st.integers(0, 99),
)
def test_samples_survive_as_they_are_stored(
    suffix: str,
    sample_format: str,
    rate: int,
    channels: int,
    comment: str,
    title: str,
    seed: int,
    tmp_path: Path,
) -> None:
    path = tmp_path / f"a{suffix}"
    audio = np.random.default_rng(seed).uniform(-1, 1, (300, channels)).astype(np.float32).squeeze()
    save_audio(path, audio, rate, sample_format=sample_format, comment=comment, title=title)
    assert soundfile.info(path).subtype == SUBTYPES[sample_format]
    back, back_rate = load_audio(path)
    assert back_rate == rate
    step = {"pcm16": 2.0**-15, "pcm24": 2.0**-23, "float": 0.0}[sample_format]
    np.testing.assert_allclose(back, np.clip(audio, -1, 1 - step), rtol=0, atol=step / 2)
    assert read_comment(path) == comment
    again = tmp_path / f"b{suffix}"
    save_audio(again, back, rate, sample_format=sample_format, comment=comment, title=title)
    assert again.read_bytes() == path.read_bytes()


def test_every_24_bit_step_near_the_ends_survives() -> None:
    full = 1 << 23
    values = np.concatenate([np.arange(-full, -full + 99), np.arange(-99, 99), np.arange(full - 99, full)])
    data = encode_audio((values / full).astype(np.float32), RATE, sample_format="pcm24")
    back, _ = soundfile.read(io.BytesIO(data), dtype="int32")
    np.testing.assert_array_equal(back >> 8, values)


def test_floats_hold_what_is_over_full_scale(tmp_path: Path) -> None:
    audio = np.array([0.1, -3.5, 1.25, 1e-9], dtype=np.float32)
    save_audio(tmp_path / "a.wav", audio, RATE, sample_format="float")
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav")[0], audio)


@pytest.mark.parametrize(
    ("suffix", "sample_format", "says"),
    [
        (".flac", "float", "FLAC cannot hold floats; use WAV"),
        (".ogg", "pcm16", "OGG is lossy and has no sample format"),
        (".mp3", "float", "MP3 is lossy and has no sample format"),
        (".wav", "pcm32", "'pcm32' is no sample format; use one of pcm16, pcm24, float"),
    ],
)
def test_samples_that_a_format_cannot_hold(
    suffix: str, sample_format: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(AudioError, match=says):
        save_audio(tmp_path / f"a{suffix}", tone(), RATE, sample_format=sample_format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("sample_format", "step"), [("pcm16", 2.0**-15), ("pcm24", 2.0**-23)])
def test_dither_is_triangular_noise_that_takes_distortion_away(sample_format: str, step: float) -> None:
    """What rounding does to a sound of under one step: silence without dither, the sound and noise with it."""
    quiet = (0.4 * step * np.sin(2 * np.pi * 500 / RATE * np.arange(10 * RATE))).astype(np.float32)

    def stored(seed: int | None) -> np.ndarray:
        data = encode_audio(quiet, RATE, sample_format=sample_format, dither_seed=seed)
        return np.asarray(soundfile.read(io.BytesIO(data), dtype="float64")[0])

    assert not stored(None).any()
    dithered = stored(7)
    noise = (dithered - quiet) / step
    assert np.abs(noise).max() <= 1.5  # one step of noise, half a step of rounding
    assert noise.var() == pytest.approx(1 / 4, rel=0.02)  # 1/6 of the noise, 1/12 of the rounding
    # Neither mean nor power of the error follow the sound: that is what the triangle is for.
    assert np.corrcoef(noise, quiet)[0, 1] == pytest.approx(0, abs=0.01)
    assert np.corrcoef(noise**2, np.abs(quiet))[0, 1] == pytest.approx(0, abs=0.01)
    np.testing.assert_array_equal(dithered, stored(7))
    assert (dithered != stored(8)).any()


def test_dither_does_not_depend_on_how_sound_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode_audio(tone(5000, 2), RATE, dither_seed=1)
    monkeypatch.setattr("generation.audio._BLOCK", 77)
    assert encode_audio(tone(5000, 2), RATE, dither_seed=1) == whole


def test_no_dither_for_what_is_in_16_bits_already() -> None:
    samples = to_int16(tone())
    assert encode_audio(samples, RATE, dither_seed=1) == encode_audio(samples, RATE)


@pytest.mark.parametrize("sample_format", ["pcm24", "float"])
def test_16_bit_samples_in_more_bits_are_the_same(sample_format: str, tmp_path: Path) -> None:
    samples = to_int16(tone())
    save_audio(tmp_path / "a.wav", samples, RATE, sample_format=sample_format)
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav")[0], samples / np.float32(32768))


def test_the_same_floats_are_the_same_bytes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """libsndfile writes the time of writing into float WAVs."""
    first = encode_audio(tone(), RATE, sample_format="float", comment="x")
    deadline = time.time() + 1.1
    while time.time() < deadline:
        time.sleep(0.1)
    assert encode_audio(tone(), RATE, sample_format="float", comment="x") == first
