"""Sound files: what is written is what is read, and what cannot be written leaves nothing."""

from __future__ import annotations

import errno
import io
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_signals import RATE, texts, tone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from generation.audio import (
    FORMATS,
    MAX_TEXT_BYTES,
    encode_audio,
    load_audio,
    read_comment,
    resample,
    save_audio,
    to_int16,
)
from generation.errors import AudioError, GenerationError


@given(hnp.arrays(np.int16, st.integers(1, 200)))
def test_16_bit_samples_survive_any_number_of_rounds(samples: np.ndarray) -> None:
    read = samples.astype(np.float32) / 32768
    np.testing.assert_array_equal(to_int16(read), samples)


def test_every_16_bit_value_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "all.wav"
    values = np.arange(-32768, 32768).astype(np.int16)
    save_audio(path, values.astype(np.float32) / 32768, RATE)
    audio, _ = load_audio(path)
    np.testing.assert_array_equal(to_int16(audio), values)
    raw, _ = soundfile.read(path, dtype="int16")
    np.testing.assert_array_equal(raw, values)


def test_rounding_and_clipping() -> None:
    x = np.array([0, 0.5 / 32768, 1.5 / 32768, -0.7 / 32768, 0.99999, 1.0, 1.7, -1.0, -9.0])
    assert to_int16(x).tolist() == [0, 0, 2, -1, 32767, 32767, 32767, -32768, -32768]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format(suffix: str, channels: int, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix.upper()}"
    audio = tone(channels=channels)
    save_audio(path, audio, RATE, comment="made by a test", title="A tone")
    back, rate = load_audio(path)
    assert rate == RATE
    assert back.dtype == np.float32
    assert back.shape == audio.shape
    lossless = suffix in (".wav", ".flac")
    np.testing.assert_allclose(back, audio, atol=1 / 32768 if lossless else 0.1)
    assert read_comment(path) == "made by a test"
    if suffix != ".mp3":
        with soundfile.SoundFile(path) as file:
            assert file.title == "A tone"
    assert soundfile.info(path).subtype == {".ogg": "VORBIS", ".mp3": "MPEG_LAYER_III"}.get(suffix, "PCM_16")


@pytest.mark.parametrize("suffix", FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(comment=texts, title=texts)
@example(comment='{"prompt": "früh 早い 🎹\\n"}', title="=")
@example(comment="a" * MAX_TEXT_BYTES, title="é" * (MAX_TEXT_BYTES // 2))
@example(comment="odd", title="even")
def test_comments_survive(suffix: str, comment: str, title: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    save_audio(path, tone(64), RATE, comment=comment, title=title)
    assert read_comment(path) == comment
    audio, _ = load_audio(path)
    assert len(audio) == 64


@pytest.mark.parametrize("suffix", FORMATS)
def test_no_comment(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    save_audio(path, tone(), RATE, comment="")
    assert read_comment(path) is None


def test_a_title_alone_is_no_comment(tmp_path: Path) -> None:
    for suffix in FORMATS:
        save_audio(tmp_path / f"a{suffix}", tone(), RATE, title="A tone")
        assert read_comment(tmp_path / f"a{suffix}") is None


def test_a_comment_behind_the_samples_is_found(tmp_path: Path) -> None:
    """Other programs write RIFF INFO at the end."""
    path = tmp_path / "a.wav"
    data = encode_audio(tone(), RATE)
    text = b"from elsewhere\0\0"
    chunk = b"INFO" + b"ICMT" + len(text).to_bytes(4, "little") + text
    data += b"LIST" + len(chunk).to_bytes(4, "little") + chunk
    path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    assert read_comment(path) == "from elsewhere"


def test_a_cut_comment_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    data = encode_audio(tone(), RATE, comment="x" * 5000)
    for length in (60, 100, 1000, 5100):
        path.write_bytes(data[:length])
        try:
            assert read_comment(path) is None or "x" in str(read_comment(path))
        except AudioError:
            pass


@pytest.mark.parametrize("text", ["x" * (MAX_TEXT_BYTES + 1), "nul\0", "\ud800"])
def test_texts_that_cannot_be_stored(text: str, tmp_path: Path) -> None:
    for field in ("comment", "title"):
        with pytest.raises(AudioError):
            save_audio(tmp_path / "a.wav", tone(), RATE, **{field: text})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(bad: float, tmp_path: Path) -> None:
    """libsndfile writes NaN as -32768 without a word."""
    audio = tone()
    audio[77] = bad
    with pytest.raises(AudioError, match="no numbers"):
        save_audio(tmp_path / "a.wav", audio, RATE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("audio", [np.zeros(0), np.zeros((0, 2)), np.zeros((2, 3, 4)), np.float32(1)])
def test_shapes_that_are_no_audio(audio: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="shape"):
        save_audio(tmp_path / "a.wav", audio, RATE)


@pytest.mark.parametrize("name", ["a.aac", "a", "a.wav.txt", ".wav"])
def test_suffixes_that_are_no_format(name: str, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"\.wav, \.flac, \.ogg, \.mp3"):
        save_audio(tmp_path / name, tone(), RATE)


@pytest.mark.parametrize(
    ("suffix", "rate"),
    [(".mp3", 12345), (".wav", 0), (".flac", -1), (".ogg", 0), (".mp3", 0), (".ogg", 10**9)],
)
def test_rates_that_a_format_cannot_hold(suffix: str, rate: int, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="Hz"):
        save_audio(tmp_path / f"a{suffix}", tone(), rate)


def test_a_long_vorbis_clip() -> None:
    """libsndfile's Vorbis encoder overflows the stack when it gets millions of samples at once."""
    audio = np.tile(tone(32000), 150)
    with soundfile.SoundFile(io.BytesIO(encode_audio(audio, RATE, ".ogg"))) as file:
        assert file.frames == 4_800_000


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    save_audio(path, tone(), RATE)
    save_audio(str(path), tone(100), RATE)
    assert load_audio(path)[0].shape == (100,)
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_a_link_is_replaced_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "target.wav").write_bytes(b"precious")
    (tmp_path / "a.wav").symlink_to("target.wav")
    save_audio(tmp_path / "a.wav", tone(), RATE)
    assert (tmp_path / "target.wav").read_bytes() == b"precious"


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_interrupted_write_leaves_nothing(
    step: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    save_audio(path, tone(100), RATE)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        (hidden,) = (p for p in tmp_path.iterdir() if p != path)
        assert hidden.name.startswith(".")
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises((KeyboardInterrupt, AudioError)) as caught:
        save_audio(path, tone(), RATE)
    if isinstance(error, OSError):
        assert caught.value.__cause__ is error
        assert "No space left on device" in str(caught.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


FULL_DISK = """
import resource, signal, sys
import numpy as np
from generation.audio import save_audio
from generation.errors import AudioError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for suffix in (".wav", ".flac", ".ogg", ".mp3"):
    try:
        save_audio(sys.argv[1] + "/a" + suffix, np.random.default_rng(0).uniform(-1, 1, 64000), 32000)
    except AudioError as error:
        print(suffix, error.__cause__.errno, error)
"""


def test_a_file_that_outgrows_the_limit(tmp_path: Path) -> None:
    """A real failure of the system in the middle of a write, in every format."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path], check=True, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(FORMATS)
    assert all(line.split()[1] == str(errno.EFBIG) and "too large" in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="No such file or directory"):
        save_audio(tmp_path / "missing" / "a.wav", tone(), RATE)
    (tmp_path / "file").write_text("x")
    with pytest.raises(AudioError, match="Not a directory"):
        save_audio(tmp_path / "file" / "a.wav", tone(), RATE)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match=r"folder\.wav"):
        save_audio(tmp_path / "folder.wav", tone(), RATE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.wav"]


def broken(path: Path) -> None:
    path.write_bytes(b"RIFF\x00\x00\x00\x00WAVE not at all")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros(0, np.float32), RATE)


def not_finite(path: Path) -> None:
    soundfile.write(path, np.array([0, np.nan], np.float32), RATE, subtype="FLOAT")


@pytest.mark.parametrize("make", [broken, empty, no_samples, not_finite, Path.mkdir, lambda path: None])
def test_files_that_cannot_be_read(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    make(path)
    with pytest.raises(AudioError, match=r"a\.wav"):
        load_audio(path)


def test_the_comment_of_no_sound_file(tmp_path: Path) -> None:
    for name in ("a.wav", "a.mp3"):
        with pytest.raises(AudioError, match="does not exist"):
            read_comment(tmp_path / name)
        (tmp_path / name).write_bytes(b"nothing of the kind" * 50)
        with pytest.raises(AudioError, match="sound file"):
            read_comment(tmp_path / name)


def test_audio_errors_are_of_our_tree() -> None:
    assert issubclass(AudioError, GenerationError)


@pytest.mark.parametrize("to_hz", [16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_resampling_keeps_a_tone(to_hz: int, channels: int) -> None:
    out = resample(tone(RATE, channels), RATE, to_hz)
    assert out.dtype == np.float32
    assert out.shape[0] == to_hz
    first = out if channels == 1 else out[:, 0]
    expected = 0.5 * np.sin(2 * np.pi * 440 / to_hz * np.arange(to_hz))
    np.testing.assert_allclose(first[500:-500], expected[500:-500], atol=1e-3)


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    np.testing.assert_array_equal(resample(tone(), RATE, RATE), tone())


def test_sixteen_bit_samples_are_resampled_as_floats() -> None:
    stored = to_int16(tone())
    np.testing.assert_array_equal(resample(stored, RATE, 8_000), resample(stored / 32768, RATE, 8_000))
    with pytest.raises(AudioError, match="int64"):
        resample(stored.astype(np.int64), RATE, 8_000)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(0, 16000), (32000, 0), (-1, 16000)])
def test_rates_that_are_none(from_hz: int, to_hz: int) -> None:
    with pytest.raises(AudioError, match="Hz"):
        resample(tone(), from_hz, to_hz)


def test_the_limit_of_this_process_is_as_it_was() -> None:
    """The limit above was the subprocess's own."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096


MEMORY = """
import resource, sys
import numpy as np
from generation.audio import save_audio
from generation.finish import SoundFinish
from indexing.loudness import integrated_loudness
audio = np.random.default_rng(0).standard_normal((60 * 48_000, 2), dtype=np.float32) * np.float32(0.3)
kilobytes = 1 if sys.platform == "linux" else 1024
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / kilobytes
finish = SoundFinish(normalize="loudness", loudness_lufs=-12, fade_in=1, fade_out=5, dither=True)
save_audio(sys.argv[1], audio, 48_000, sample_format="pcm24", finish=finish, meter=integrated_loudness)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / kilobytes - before) * 1024 / audio.nbytes)
"""


def test_a_long_clip_needs_few_times_its_size(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "a.wav"], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) < 5


def test_a_text_may_name_a_chunk() -> None:
    """The date of a float WAV's PEAK chunk is taken away, not what a comment says."""
    sound = np.linspace(-0.5, 0.5, 400, dtype=np.float32)
    words = '{"prompt": "PEAK TIME TECHNO with acid bass", "data": 1}'
    first = encode_audio(sound, 32_000, ".wav", sample_format="float", comment=words, title="PEAK data")
    time.sleep(1.1)  # the date counts seconds
    again = encode_audio(sound, 32_000, ".wav", sample_format="float", comment=words, title="PEAK data")
    assert first == again
    with soundfile.SoundFile(io.BytesIO(first)) as file:
        assert file.comment == words
