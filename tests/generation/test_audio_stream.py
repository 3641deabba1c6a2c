"""Sound files in blocks: the same samples, whatever the header claims, in memory that does not grow."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generation.audio import FORMATS, encode_audio, load_audio
from generation.errors import AudioError
from generation.stream import open_audio

RATE = 32_000
SUFFIXES = (*FORMATS, ".aiff")


def noise(samples: int = 3200, channels: int = 1) -> np.ndarray:
    sound = 0.1 * np.random.default_rng(0).standard_normal((samples, channels)).astype(np.float32)
    return sound[:, 0] if channels == 1 else sound


def write(path: Path, audio: np.ndarray) -> Path:
    if path.suffix == ".aiff":
        soundfile.write(path, audio, RATE)
    else:
        path.write_bytes(encode_audio(audio, RATE, path.suffix))
    return path


def read(path: Path) -> tuple[np.ndarray, int | None]:
    """All samples, and what the header promised."""
    with open_audio(path) as stream:
        blocks = list(stream.blocks())
        return np.concatenate(blocks) if blocks else np.zeros((0, stream.channels)), stream.promised


def patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_are_the_whole(suffix: str, channels: int, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}", noise(300_000, channels))  # several blocks
    whole, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples, promised = read(path)
    np.testing.assert_array_equal(samples, whole)
    np.testing.assert_array_equal(load_audio(path)[0].reshape(whole.shape), whole)
    assert promised == len(whole)
    assert rate == RATE
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("claim", [0xFFFFFF00, 0xC0000000, 100_000, 6402])
def test_a_wav_that_claims_more_than_there_is(claim: int, tmp_path: Path) -> None:
    data = encode_audio(noise(), RATE)
    path = tmp_path / "a.wav"
    path.write_bytes(patched(data, data.index(b"data") + 4, struct.pack("<I", claim)))
    samples, promised = read(path)
    assert len(samples) == 3200
    assert promised == claim // 2
    assert len(load_audio(path)[0]) == 3200


@pytest.mark.parametrize("claim", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_length_that_is_left_open_promises_nothing(claim: int, tmp_path: Path) -> None:
    """Programs that write to a pipe cannot know it."""
    data = encode_audio(noise(), RATE)
    path = tmp_path / "a.wav"
    path.write_bytes(patched(data, data.index(b"data") + 4, struct.pack("<I", claim)))
    samples, promised = read(path)
    assert (len(samples), promised) == (3200, None)


@pytest.mark.parametrize(("frames", "promised"), [(0, None), ((1 << 36) - 1, (1 << 36) - 1)])
def test_flac_of_unknown_and_of_impossible_length(frames: int, promised: int | None, tmp_path: Path) -> None:
    """soundfile's own reading fails on the first and asks for 256 GB for the second."""
    data = bytearray(encode_audio(noise(), RATE, ".flac"))
    data[21] = data[21] & 0xF0 | frames >> 32
    data[22:26] = (frames & 0xFFFFFFFF).to_bytes(4, "big")
    path = tmp_path / "a.flac"
    path.write_bytes(data)
    samples, said = read(path)
    assert (len(samples), said) == (3200, promised)


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".mp3"])
def test_a_file_that_was_cut_short_tells_what_is_there(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}", noise(64_000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples, promised = read(path)
    assert 10_000 < len(samples) < 40_000
    assert promised == 64_000


def test_flac_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", noise(64_000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match="damaged or cut short"):
        read(path)


def test_ogg_whose_end_is_missing_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ogg", noise(200_000))
    with open_audio(path) as stream:
        assert not stream.cut
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"OggS")])  # a page is missing: libsndfile reads on without a word
    with open_audio(path) as stream:
        assert stream.cut
        assert 0 < sum(map(len, stream.blocks())) < 200_000


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 200_000])
def test_samples_that_are_no_numbers_in_any_block(bad: float, at: int, tmp_path: Path) -> None:
    audio = noise(300_000)
    audio[at] = bad
    soundfile.write(tmp_path / "a.wav", audio, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="no numbers"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "name", ["a\nb.wav", "🎹 \u202e\u200f.wav", "a\udcff.wav", "-.wav", "a" * 251 + ".wav"]
)
def test_any_name_that_the_file_system_takes(name: str, tmp_path: Path) -> None:
    write(tmp_path / "plain.wav", noise()).rename(tmp_path / name)
    assert len(read(tmp_path / name)[0]) == 3200


def test_a_pipe_is_not_waited_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(AudioError, match="no regular file"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", FORMATS)
def test_gigabytes_of_nothing_are_refused_at_once(suffix: str, tmp_path: Path) -> None:
    with (tmp_path / f"a{suffix}").open("wb") as file:
        file.truncate(1 << 32)
    with pytest.raises(AudioError, match="cannot be read as a sound file"):
        read(tmp_path / f"a{suffix}")


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    suffix=st.sampled_from((".wav", ".aiff", ".flac")),
    edits=st.lists(st.tuples(st.integers(0, 90), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4),
    cut=st.none() | st.integers(0, 600),
)
def test_headers_that_lie_in_any_way(
    suffix: str, edits: list[tuple[int, bytes]], cut: int | None, tmp_path: Path
) -> None:
    """Read, or refused with a sentence; nothing else, and nothing that takes memory for what is not there."""
    path = write(tmp_path / f"a{suffix}", noise(400))
    data = path.read_bytes()
    for at, value in edits:
        data = patched(data, at, value)
    path.write_bytes(data[:cut])
    try:
        samples, promised = read(path)
    except AudioError:
        return
    assert samples.nbytes < 1 << 22
    assert np.isfinite(samples).all()
    assert promised is None or promised >= 0


MEMORY = """
import resource, sys
from generation.stream import open_audio
with open_audio(sys.argv[1]) as stream:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    frames = sum(len(block) for block in stream.blocks())
print(frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_three_hours_take_no_memory(tmp_path: Path) -> None:
    frames = 3 * 3600 * 16_000
    head = encode_audio(np.zeros(1, np.float32), 16_000)
    path = tmp_path / "long.wav"
    path.write_bytes(patched(head, head.index(b"data") + 4, struct.pack("<I", 2 * frames)))
    with path.open("r+b") as file:
        file.truncate(len(head) - 2 + 2 * frames)
    command = [sys.executable, "-c", MEMORY, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    read_frames, kilobytes = map(int, done.stdout.split())
    assert read_frames == frames
    assert kilobytes < 40_000  # all of it would be 690 MB
