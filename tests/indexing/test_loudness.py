"""Loudness against tones whose loudness the standards give: ITU-R BS.1770-4 and EBU Tech 3341."""

from __future__ import annotations

import numpy as np
import pytest
from bs1770 import by_the_letter

from indexing.analysis import analyse
from indexing.loudness import LoudnessMeter, integrated_loudness


def tone(level_db: float, seconds: float, rate: int = 48_000, hertz: float = 1000.0) -> np.ndarray:
    """A sine whose peak is `level_db` below full scale, `(samples,)` float32."""
    time = np.arange(round(seconds * rate)) / rate
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_a_full_scale_sine_is_minus_3_01_at_every_rate(rate: int) -> None:
    loudness = integrated_loudness(tone(0.0, 3.0, rate, 997.0), rate)
    assert loudness == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize("level", [-40.0, -23.0, -6.0])
def test_loudness_follows_the_level(level: float) -> None:
    assert integrated_loudness(tone(level, 3.0, 32_000, 997.0), 32_000) == pytest.approx(
        level - 3.01, abs=0.05
    )


def test_it_is_what_the_standard_writes() -> None:
    rng = np.random.default_rng(0)
    for scale, channels in [(0.1, 1), (0.02, 2)]:
        audio = scale * rng.standard_normal((6 * 48_000, channels)).astype(np.float32)
        audio[: 2 * 48_000] *= 0.01
        audio = np.cumsum(audio, axis=0) / 20 + audio  # more bass than treble
        audio = audio.astype(np.float32)
        assert integrated_loudness(audio, 48_000) == pytest.approx(by_the_letter(audio), abs=0.01)


@pytest.mark.parametrize("hertz", [30.0, 100.0, 1000.0, 3000.0, 10_000.0])
def test_rates_agree_with_48_khz(hertz: float) -> None:
    expected = by_the_letter(tone(-20.0, 3.0, 48_000, hertz)[:, None])
    for rate in (24_000, 32_000, 44_100, 48_000):
        assert integrated_loudness(tone(-20.0, 3.0, rate, hertz), rate) == pytest.approx(expected, abs=0.05)


CASES = {
    "1": ([(-23.0, 20.0)], -23.0),
    "2": ([(-33.0, 20.0)], -33.0),
    "3": ([(-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)], -23.0),
    "4": ([(-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)], -23.0),
    "5": ([(-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)], -23.0),
}


@pytest.mark.parametrize("case", CASES)
def test_cases_of_tech_3341(case: str) -> None:
    parts, expected = CASES[case]
    rate = 16_000
    left = np.concatenate([tone(level, seconds, rate) for level, seconds in parts])
    assert integrated_loudness(np.stack([left, left], axis=1), rate) == pytest.approx(expected, abs=0.1)


def test_case_6_surround() -> None:
    levels = (-28.0, -28.0, -24.0, -30.0, -30.0)  # L R C Ls Rs
    channels = [tone(level, 20.0, 16_000) for level in levels]
    assert integrated_loudness(np.stack(channels, axis=1), 16_000) == pytest.approx(-23.0, abs=0.1)
    with_lfe = [*channels[:3], tone(0.0, 20.0, 16_000, 50.0), *channels[3:]]
    assert integrated_loudness(np.stack(with_lfe, axis=1), 16_000) == pytest.approx(-23.0, abs=0.1)


def test_stereo_adds_up() -> None:
    mono = tone(-20.0, 2.0)
    alone = integrated_loudness(mono, 48_000)
    both = integrated_loudness(np.stack([mono, mono], axis=1), 48_000)
    assert alone is not None
    assert both == pytest.approx(alone + 3.01, abs=0.01)


def test_silence_and_what_is_short_have_no_loudness() -> None:
    assert integrated_loudness(np.zeros(48_000, dtype=np.float32), 48_000) is None
    assert integrated_loudness(tone(-90.0, 2.0), 48_000) is None
    assert integrated_loudness(tone(-10.0, 0.35), 48_000) is None
    assert integrated_loudness(tone(-10.0, 0.45), 48_000) is not None


def test_the_analysis_holds_it_whatever_the_blocks() -> None:
    audio = np.concatenate([tone(-30.0, 7.0, 32_000), tone(-12.0, 6.0, 32_000)])
    whole = analyse(audio, 32_000).descriptors
    meter = LoudnessMeter(32_000, 1)
    for block in np.array_split(audio, 1_003):
        meter.feed(block[:, None])
    assert whole.loudness_lufs == pytest.approx(meter.integrated(), abs=0.01)
    assert whole.confidence["loudness_lufs"] > 0
