"""What sound files say of themselves: every container's texts, and none that can do harm."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from generation.audio import encode_audio, read_comment
from generation.errors import AudioError
from generation.texts import FileTexts, read_texts

RATE = 32_000
TONE = (0.3 * np.sin(np.arange(3200) / 10)).astype(np.float32)


def tagged(path: Path, **texts: str) -> Path:
    """A file with texts as libsndfile writes them."""
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for name, text in texts.items():
            setattr(file, name, text)
        file.write(TONE)
    return path


def with_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """A WAV with one more chunk at its end."""
    data += name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def id3(**frames: str) -> bytes:
    import io

    from mutagen import id3 as module

    tags: Any = module.ID3()
    for name, text in frames.items():
        tags.add(getattr(module, name)(encoding=3, text=[text]))
    buffer = io.BytesIO()
    tags.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".flac", ".ogg"])
def test_texts_as_libsndfile_writes_them(suffix: str, tmp_path: Path) -> None:
    path = tagged(tmp_path / f"a{suffix}", title="Blå tåg", artist="Nå", comment="hören")
    texts = read_texts(path)
    assert (texts.title, texts.artist, texts.comment) == ("Blå tåg", "Nå", "hören")


@pytest.mark.parametrize("container", ["mp3", "wav", "aiff"])
def test_id3_wherever_it_is(container: str, tmp_path: Path) -> None:
    frames = {"TIT2": "Rain", "TPE1": "Ann", "TCON": "Jazz", "TBPM": "92", "TKEY": "Am"}
    path = tmp_path / f"a.{container}"
    if container == "mp3":
        path.write_bytes(id3(**frames) + encode_audio(TONE, RATE, ".mp3"))
    elif container == "wav":
        path.write_bytes(with_chunk(encode_audio(TONE, RATE), b"id3 ", id3(**frames)))
    else:
        from mutagen.aiff import AIFF

        soundfile.write(path, TONE, RATE)
        file: Any = AIFF(path)
        file.add_tags()
        from mutagen import id3 as module

        for name, text in frames.items():
            file.tags.add(getattr(module, name)(encoding=3, text=[text]))
        file.save()
    texts = read_texts(path)
    found = (texts.title, texts.artist, texts.genre, texts.tempo, texts.key)
    assert found == ("Rain", "Ann", "Jazz", "92", "Am")


@pytest.mark.parametrize("suffix", [".flac", ".ogg"])
def test_tempo_and_key_of_vorbis_comments(suffix: str, tmp_path: Path) -> None:
    import mutagen

    path = tagged(tmp_path / f"a{suffix}", title="Rain")
    file: Any = mutagen.File(path)
    file["BPM"], file["INITIALKEY"] = "120.5", "F#m"
    file.save()
    texts = read_texts(path)
    assert (texts.title, texts.tempo, texts.key) == ("Rain", "120.5", "F#m")


def test_the_description_of_a_broadcast_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(with_chunk(encode_audio(TONE, RATE), b"bext", b"Door slam, wood".ljust(602, b"\0")))
    assert read_texts(path).description == "Door slam, wood"


def test_a_file_that_says_nothing(tmp_path: Path) -> None:
    for suffix in (".wav", ".flac", ".ogg", ".mp3"):
        (tmp_path / f"a{suffix}").write_bytes(encode_audio(TONE, RATE, suffix))
        assert read_texts(tmp_path / f"a{suffix}") == FileTexts()


def frame(name: bytes, data: bytes, flags: int = 0) -> bytes:
    size = len(data)
    safe = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return name + safe + struct.pack(">H", flags) + data


def tag(*frames: bytes) -> bytes:
    body = b"".join(frames)
    return b"ID3\x04\0\0" + bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0)) + body


def test_a_text_that_unpacks_to_a_gigabyte_is_passed_over(tmp_path: Path) -> None:
    packed = zlib.compress(b"\x03" + b"x" * (1 << 26), 9)
    bomb = frame(b"TIT2", struct.pack(">I", 1 << 26) + packed, flags=0x0009)
    path = tmp_path / "a.mp3"
    path.write_bytes(tag(bomb, frame(b"TPE1", b"\x03Ann")) + encode_audio(TONE, RATE, ".mp3"))
    texts = read_texts(path)
    assert (texts.title, texts.artist) == (None, "Ann")


@pytest.mark.parametrize(
    "head",
    [
        tag(frame(b"TIT2", b"\x03" + b"x" * (1 << 19))),
        tag(frame(b"TIT2", b"\xff\xfe\xfd")),
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        b"ID3\x09\0\0\0\0\0\x10" + b"\0" * 16,
        tag(frame(b"COMM", b"")),
    ],
)
def test_broken_tags_hurt_nobody(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(head + encode_audio(TONE, RATE, ".mp3"))
    try:
        assert read_texts(path).title is None
        assert read_comment(path) is None
    except AudioError:
        pass


def test_a_chunk_that_claims_4_gb_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    data = encode_audio(TONE, RATE) + b"LIST\xf0\xff\xff\xffINFOINAM\x05\0\0\0Rain\0\0"
    (tmp_path / "a.wav").write_bytes(data)
    assert read_texts(tmp_path / "a.wav").comment is None
