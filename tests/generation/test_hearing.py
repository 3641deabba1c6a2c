"""Music that goes on from given sound: what is heard of it, what is added, and a join that nobody hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from generation import hearing
from generation.composition import plan_clips
from generation.config import EncodecConfig
from generation.encodec import Encodec
from generation.errors import InvalidRequestError
from generation.musicgen import MusicGen
from generation.tiny import make_tiny_checkpoint

HOP = 640
STARTER = Path(__file__).parents[2] / "mlx-models" / "starter"


def music(seconds: float, rate: int = 32_000, channels: int = 1) -> np.ndarray:
    """A falling tone with noise, so that no two frames are alike."""
    t = np.arange(round(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * (300 * t - 40 * t**2)) + 0.05 * np.random.default_rng(1).normal(
        size=len(t)
    )
    sound = wave.astype(np.float32)
    return sound if channels == 1 else np.stack([sound, 0.5 * sound], axis=1)


class TestPromptAudio:
    def test_it_is_its_codes(self, tiny_model: MusicGen) -> None:
        sound = music(0.4)
        audio = tiny_model.generate(
            "calm", duration=0.6, seed=3, prompt_audio=sound, prompt_sample_rate=32_000
        )
        (made,) = tiny_model.compose(
            ["calm"], duration=0.6, seeds=[3], given=tiny_model.encode(sound, 32_000)
        )
        np.testing.assert_array_equal(audio, made.audio)
        assert made.given_frames == 20
        stream = tiny_model.stream("calm", duration=0.6, seed=3, prompt_audio=sound)
        np.testing.assert_allclose(np.concatenate(list(stream)), audio, atol=1e-4)
        # All clips of a batch begin with it.
        batch = tiny_model.generate(["calm", "rock"], duration=0.6, seed=3, prompt_audio=sound)
        np.testing.assert_array_equal(batch[0], audio)

    @pytest.mark.parametrize(("rate", "channels"), [(44_100, 1), (16_000, 2), (32_000, 2)])
    def test_any_rate_and_channels(self, tiny_model: MusicGen, rate: int, channels: int) -> None:
        sound = music(0.4, rate, channels)
        (made,) = tiny_model.compose(
            ["calm"], duration=0.6, seeds=[3], prompt_audio=sound, prompt_sample_rate=rate
        )
        assert made.given_frames == 20
        assert made.audio.shape == (19_200,)

    def test_ten_seconds_are_added_where_no_length_is_given(self, tiny_model: MusicGen) -> None:
        given = tiny_model.encode(music(0.5), 32_000)
        plan = plan_clips(tiny_model.config, tiny_model.settings, {"given": given})
        assert plan.samples == round(10.5 * 32_000)

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"prompt_audio": np.zeros(0, np.float32)}, "empty"),
            ({"prompt_audio": np.full(900, np.nan, np.float32)}, "no numbers"),
            ({"prompt_audio": np.zeros((2, 3, 4), np.float32)}, "empty"),
            ({"prompt_audio": np.zeros(900, np.float32), "prompt_sample_rate": 0}, "sample rate"),
            ({"prompt_audio": music(0.5), "duration": 0.5}, "ask for more"),
            ({"prompt_audio": music(0.1), "given": np.zeros((4, 5), np.int16)}, "not both"),
        ],
    )
    def test_nonsense_is_refused(self, tiny_model: MusicGen, options: dict[str, Any], reason: str) -> None:
        with pytest.raises(InvalidRequestError, match=reason):
            tiny_model.generate("calm", **options)


def test_long_music_is_heard_piece_by_piece(tiny_model: MusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = music(7.3)
    whole = tiny_model.encode(sound, 32_000)
    sizes: list[int] = []
    encode = Encodec.encode
    monkeypatch.setattr(
        Encodec, "encode", lambda codec, audio: sizes.append(audio.shape[1]) or encode(codec, audio)
    )
    monkeypatch.setattr(hearing, "_PIECE_SECONDS", 3)
    monkeypatch.setattr(hearing, "_LEAD_SECONDS", 1)
    pieces = tiny_model.encode(sound, 32_000)
    assert sizes == [4 * 32_000, 5 * 32_000, round(2.3 * 32_000)]
    assert pieces.shape == whole.shape == (4, 365)
    assert (pieces == whole).mean() > 0.99


def test_the_codebooks_have_a_digest(tiny_model: MusicGen, tmp_path: Path, tiny_folder: Path) -> None:
    mate = make_tiny_checkpoint(tmp_path / "mate", 5, codec_of=tiny_folder)
    stranger = make_tiny_checkpoint(tmp_path / "stranger", 5)
    assert MusicGen.from_pretrained(mate).codec_digest == tiny_model.codec_digest
    assert MusicGen.from_pretrained(stranger).codec_digest != tiny_model.codec_digest
    # Weights that were stored with 16 bits mean the same codes.
    codec = Encodec(EncodecConfig.tiny())
    digest = hearing.codec_digest(codec)
    for book in codec.quantizer.layers:
        book.embed = book.embed.astype(mx.float16).astype(mx.float32)
    assert hearing.codec_digest(codec) == digest


PAIRS = (("calm piano", "happy rock with drums"), ("slow dark strings", "calm piano"), ("flute", "flute"))
Joined = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def joined() -> Joined:
    """The given music, the whole clip, and for comparison the same codes decoded apart and set side by side."""
    model = MusicGen.from_pretrained(STARTER)
    found = []
    for number, (first, second) in enumerate(PAIRS, start=1):
        (given,) = model.compose([first], duration=1, seeds=[number])
        (made,) = model.compose([second], duration=2, seeds=[number + 10], given=given.codes)
        np.testing.assert_array_equal(made.codes[:, :50], given.codes)
        cut = np.concatenate([given.audio, model.decode(made.codes[:, 50:])])
        found.append((given.audio, made.audio, cut))
    return found


class TestTheJoin:
    """On the starter: what a listener would hear as a click is a burst above 8 kHz at the join."""

    @staticmethod
    def burst(audio: np.ndarray, at: int) -> float:
        """Energy above 8 kHz in the 16 ms around a sample, in dB over its median within half a second."""

        def energy(place: int) -> float:
            block = audio[place - 256 : place + 256] * np.hanning(512)
            return float((np.abs(np.fft.rfft(block)) ** 2)[128:].sum())

        around = [energy(place) for place in range(at - 15_000, at + 15_000, 320)]
        return 10 * float(np.log10(energy(at) / np.median(around)))

    def test_there_is_no_click(self, joined: Joined) -> None:
        bursts = [self.burst(made, 50 * HOP) for _, made, _ in joined]
        # The measure hears a click where there is one.
        clicks = [self.burst(cut, 50 * HOP) for _, _, cut in joined]
        assert np.median(bursts) < 6 < 10 < np.median(clicks), (bursts, clicks)

    def test_the_samples_go_on(self, joined: Joined) -> None:
        for _, made, _ in joined:
            steps = np.abs(np.diff(made))
            assert steps[50 * HOP - 1] <= np.quantile(steps[35 * HOP : 65 * HOP], 0.999)

    def test_the_given_music_is_left_as_it_was(self, joined: Joined) -> None:
        """But for the last frames, whose samples depend on what comes next in any clip."""
        for given, made, _ in joined:
            np.testing.assert_allclose(made[: 40 * HOP], given[: 40 * HOP], atol=1e-5)


def test_a_sound_that_resampling_leaves_nothing_of(tiny_model: MusicGen) -> None:
    with pytest.raises(InvalidRequestError, match="too short"):
        tiny_model.encode(np.ones(1, np.float32), 192_000)
