"""The chunks of WAV and AIFF files and the end of Ogg, which libsndfile corrects or passes over without a word.

Sources: RIFF (Multimedia Programming Interface and Data Specifications 1.0, 1991), EA IFF 85 and AIFF 1.3, RF64 and
BWF (EBU Tech 3306, 3285).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

_MOST_CHUNKS = 1_000
_MOST_BYTES = 1 << 24  # of one chunk that is read: a header may claim 4 GB
_MOST_PAGE_BYTES = 65_307
# What programs write that do not know the length, as when they write to a pipe.
_UNKNOWN_SIZES = frozenset({0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One chunk: its name, where its content begins, and how long that claims to be."""

    name: bytes
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """The chunks of one file; none for other kinds of files."""

    found: tuple[Chunk, ...]
    order: Literal["little", "big"]
    file_size: int


def read_chunks(path: Path) -> Chunks:
    """Finds the chunks of a WAV or AIFF file; sizes are as the file claims.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        container, form = head[:4], head[8:12]
        if container in (b"RIFF", b"RF64", b"BW64") and form == b"WAVE":
            return Chunks(found=tuple(_walk(file, "little", size)), order="little", file_size=size)
        if container == b"FORM" and form in (b"AIFF", b"AIFC"):
            return Chunks(found=tuple(_walk(file, "big", size)), order="big", file_size=size)
    return Chunks(found=(), order="little", file_size=size)


def read_chunk(path: Path, chunk: Chunk) -> bytes:
    """The content of a chunk, as much of it as there is, at most 16 MB.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - chunk.offset
        file.seek(chunk.offset)
        return file.read(max(0, min(chunk.size, left, _MOST_BYTES)))


def promised_frames(path: Path) -> int | None:
    """Frames that the header of a WAV or AIFF file claims; None for other files and where it leaves that open.

    Raises:
        OSError: the file cannot be read.
    """
    chunks = read_chunks(path)
    by_name = {chunk.name: chunk for chunk in reversed(chunks.found)}
    if chunks.order == "big" and b"COMM" in by_name:
        return int.from_bytes(read_chunk(path, by_name[b"COMM"])[2:6], "big")
    data, form = by_name.get(b"data"), by_name.get(b"fmt ")
    if data is None or form is None or data.size in _UNKNOWN_SIZES:
        return None
    content = read_chunk(path, form)
    coding, align = (int.from_bytes(content[at : at + 2], "little") for at in (0, 12))
    # PCM, floats and their extensible form have a fixed number of bytes a frame.
    return data.size // align if align and coding in (1, 3, 0xFFFE) else None


def ogg_is_cut(path: Path) -> bool:
    """Whether the last page of an Ogg file does not say that it is the last (RFC 3533, section 6).

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _MOST_PAGE_BYTES))
        tail = file.read(_MOST_PAGE_BYTES)
    page = tail.rfind(b"OggS")
    return page < 0 or not tail[page + 5 : page + 6] or not tail[page + 5] & 0x04


def read_info(path: Path, wanted: bytes) -> str | None:
    """A text of the RIFF INFO list, None where there is none.

    Raises:
        OSError: the file cannot be read.
    """
    for chunk in read_chunks(path).found:
        content = read_chunk(path, chunk) if chunk.name == b"LIST" else b""
        if content[:4] != b"INFO":
            continue
        at = 4
        while at + 8 <= len(content):
            name, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
            if name == wanted:
                return content[at + 8 : at + 8 + length].split(b"\0", 1)[0].decode("utf-8", "replace")
            at += 8 + length + length % 2
    return None


def _walk(file: BinaryIO, order: Literal["little", "big"], file_size: int) -> Iterator[Chunk]:
    at = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], order)
        yield Chunk(name=head[:4], offset=at + 8, size=size)
        at += 8 + size + size % 2
        if at >= file_size:
            return
