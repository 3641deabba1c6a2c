"""Loudness against tones whose loudness the standards give: ITU-R BS.1770-4 and EBU Tech 3341."""

from __future__ import annotations

import numpy as np
import pytest

from indexing.analysis import analyse
from indexing.loudness import LoudnessMeter


def tone(level_db: float, seconds: float, rate: int = 48_000, hertz: float = 1000.0) -> np.ndarray:
    """A sine whose peak is `level_db` below full scale, `(samples,)` float32."""
    time = np.arange(round(seconds * rate)) / rate
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def measured(audio: np.ndarray, rate: int = 48_000) -> float | None:
    """LUFS of `(samples,)` or `(samples, channels)`."""
    block = audio if audio.ndim == 2 else audio[:, None]
    meter = LoudnessMeter(rate, block.shape[1])
    meter.feed(block)
    return meter.integrated()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_a_full_scale_sine_is_minus_3_01_at_every_rate(rate: int) -> None:
    loudness = measured(tone(0.0, 3.0, rate, 997.0), rate)
    assert loudness == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize("level", [-40.0, -23.0, -6.0])
def test_loudness_follows_the_level(level: float) -> None:
    assert measured(tone(level, 3.0, 32_000, 997.0), 32_000) == pytest.approx(level - 3.01, abs=0.05)


def by_the_letter(audio: np.ndarray) -> float:
    """BS.1770-4 at 48 kHz as the standard writes it: two biquads in time, blocks of 400 ms, two gates."""
    from scipy.signal import lfilter  # type: ignore[import-untyped]  # scipy ships no type hints

    shelf = (
        [1.53512485958697, -2.69169618940638, 1.19839281085285],
        [1.0, -1.69065929318241, 0.73248077421585],
    )
    high_pass = [1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621]
    heard = lfilter(*high_pass, lfilter(*shelf, audio.astype(np.float64), axis=0), axis=0)
    starts = range(0, len(heard) - 19_200 + 1, 4_800)
    powers = np.array([(heard[at : at + 19_200] ** 2).mean(axis=0).sum() for at in starts])
    loud = powers[-0.691 + 10 * np.log10(powers + 1e-30) > -70]
    relative = 10 * np.log10(loud.mean()) - 10
    return float(-0.691 + 10 * np.log10(loud[10 * np.log10(loud) > relative].mean()))


def test_it_is_what_the_standard_writes() -> None:
    rng = np.random.default_rng(0)
    for scale, channels in [(0.1, 1), (0.02, 2)]:
        audio = scale * rng.standard_normal((6 * 48_000, channels)).astype(np.float32)
        audio[: 2 * 48_000] *= 0.01
        audio = np.cumsum(audio, axis=0) / 20 + audio  # more bass than treble
        audio = audio.astype(np.float32)
        assert measured(audio) == pytest.approx(by_the_letter(audio), abs=0.01)


@pytest.mark.parametrize("hertz", [30.0, 100.0, 1000.0, 3000.0, 10_000.0])
def test_rates_agree_with_48_khz(hertz: float) -> None:
    expected = by_the_letter(tone(-20.0, 3.0, 48_000, hertz)[:, None])
    for rate in (24_000, 32_000, 44_100, 48_000):
        assert measured(tone(-20.0, 3.0, rate, hertz), rate) == pytest.approx(expected, abs=0.05)


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
    assert measured(np.stack([left, left], axis=1), rate) == pytest.approx(expected, abs=0.1)


def test_case_6_surround() -> None:
    levels = (-28.0, -28.0, -24.0, -30.0, -30.0)  # L R C Ls Rs
    channels = [tone(level, 20.0, 16_000) for level in levels]
    assert measured(np.stack(channels, axis=1), 16_000) == pytest.approx(-23.0, abs=0.1)
    with_lfe = [*channels[:3], tone(0.0, 20.0, 16_000, 50.0), *channels[3:]]
    assert measured(np.stack(with_lfe, axis=1), 16_000) == pytest.approx(-23.0, abs=0.1)


def test_stereo_adds_up() -> None:
    mono = tone(-20.0, 2.0)
    alone, both = measured(mono), measured(np.stack([mono, mono], axis=1))
    assert alone is not None
    assert both == pytest.approx(alone + 3.01, abs=0.01)


def test_silence_and_what_is_short_have_no_loudness() -> None:
    assert measured(np.zeros(48_000, dtype=np.float32)) is None
    assert measured(tone(-90.0, 2.0)) is None
    assert measured(tone(-10.0, 0.35)) is None
    assert measured(tone(-10.0, 0.45)) is not None


def test_the_analysis_holds_it_whatever_the_blocks() -> None:
    audio = np.concatenate([tone(-30.0, 7.0, 32_000), tone(-12.0, 6.0, 32_000)])
    whole = analyse(audio, 32_000).descriptors
    meter = LoudnessMeter(32_000, 1)
    for block in np.array_split(audio, 1_003):
        meter.feed(block[:, None])
    assert whole.loudness_lufs == pytest.approx(meter.integrated(), abs=0.01)
    assert whole.confidence["loudness_lufs"] > 0
