"""The texts inside sound files: comment, title, artist, genre, tempo and key.

RIFF INFO and the description of a broadcast WAV, AIFF's text chunks, Vorbis comments, ID3 wherever it is kept. The
texts come from anywhere: what is broken is left out, and nothing in them can make reading slow or large.
"""

from __future__ import annotations

import io
import logging
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from generation.chunks import read_chunk, read_chunks, read_info
from generation.stream import errors_of

_FRAMES = {"title": "TIT2", "artist": "TPE1", "genre": "TCON", "tempo": "TBPM", "key": "TKEY"}
_OLD_FRAMES = ("TT2", "TP1", "TCO", "TBP", "TKE", "COM")
_VORBIS_TEMPO, _VORBIS_KEY = ("bpm", "tempo"), ("initialkey", "initial_key", "key")
_MOST_FRAME_BYTES = 1 << 18
_DESCRIPTION_BYTES = 256  # of the `bext` chunk, EBU Tech 3285 section 2.3

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTexts:
    """What a sound file says of itself, as it is written there; None where it says nothing.

    Attributes:
        comment: For our own files the recipe.
        title: Its name.
        artist: Who made it.
        genre: What kind of music it is.
        description: Of a broadcast WAV (`bext`).
        tempo: Beats a minute, as text.
        key: Of the music, as text.
    """

    comment: str | None = None
    title: str | None = None
    artist: str | None = None
    genre: str | None = None
    description: str | None = None
    tempo: str | None = None
    key: str | None = None


def read_texts(path: str | os.PathLike[str]) -> FileTexts:
    """Read the texts inside a sound file.

    Raises:
        AudioError: the file is missing or no sound file.
    """
    import soundfile

    source = Path(path)
    with errors_of(source):
        with soundfile.SoundFile(os.fsencode(source) if os.name == "posix" else str(source)) as file:
            container = str(file.format)
            own = {name: getattr(file, name) for name in ("comment", "title", "artist", "genre")}
        found: dict[str, str | None] = {}
        description = None
        if container in ("WAV", "WAVEX", "RF64"):
            # libsndfile reads texts of at most two thousand bytes.
            own["comment"] = read_info(source, b"ICMT") or own["comment"]
            description = _description(source)
        if container == "MP3":
            own = {}  # libsndfile reads other encodings than UTF-8 wrongly
            found = _id3(source.open("rb"), source)
        elif container in ("FLAC", "OGG"):
            found = _vorbis(source)
        else:
            found = _id3_chunk(source)
    texts = {name: own.get(name) or found.get(name) for name in (*_FRAMES, "comment")}
    return FileTexts(**{name: text or None for name, text in texts.items()}, description=description)


def _description(path: Path) -> str | None:
    for chunk in read_chunks(path).found:
        if chunk.name == b"bext":
            text = read_chunk(path, chunk)[:_DESCRIPTION_BYTES].split(b"\0", 1)[0]
            return text.decode("utf-8", "replace").strip() or None
    return None


def _id3_chunk(path: Path) -> dict[str, str | None]:
    for chunk in read_chunks(path).found:
        if chunk.name in (b"id3 ", b"ID3 "):
            return _id3(io.BytesIO(read_chunk(path, chunk)), path)
    return {}


def _id3(file: Any, path: Path) -> dict[str, str | None]:
    from mutagen import MutagenError
    from mutagen.id3 import ID3, ID3NoHeaderError

    with file:
        try:
            tags: Any = ID3(file, known_frames=_known_frames())
        except ID3NoHeaderError:
            return {}
        except (MutagenError, ValueError, LookupError, TypeError, AttributeError) as error:
            logger.info("The texts inside %s cannot be read: %s", path, error)
            return {}
    comments = tags.getall("COMM")
    plain = [frame for frame in comments if not frame.desc] or comments
    texts: dict[str, str | None] = {"comment": "/".join(plain[0].text) if plain else None}
    for name, frame_id in _FRAMES.items():
        frames = tags.getall(frame_id)
        values = getattr(frames[0], "genres" if frame_id == "TCON" else "text", []) if frames else []
        texts[name] = ", ".join(map(str, values)) or None
    return texts


@cache
def _known_frames() -> dict[str, Any]:
    """The frames that are read, each refusing what would unpack to gigabytes; others are passed over."""
    from mutagen.id3 import Frames, Frames_2_2, ID3JunkFrameError

    def guarded(base: Any) -> Any:
        class Guarded(base):  # type: ignore[misc]  # mutagen's classes have no static type here
            @classmethod
            def _fromData(cls, header: Any, flags: int, data: bytes) -> Any:
                compressed = flags & (cls.FLAG24_COMPRESS | cls.FLAG23_COMPRESS)
                if compressed or len(data) > _MOST_FRAME_BYTES:
                    raise ID3JunkFrameError("compressed or too long")
                return base._fromData.__func__(cls, header, flags, data)

        Guarded.__name__ = base.__name__  # the frame's id, for mutagen
        return Guarded

    known = {name: guarded(Frames[name]) for name in (*_FRAMES.values(), "COMM")}
    return known | {name: Frames_2_2[name] for name in _OLD_FRAMES}


def _vorbis(path: Path) -> dict[str, str | None]:
    """Tempo and key alone: libsndfile reads the others."""
    import mutagen

    try:
        file: Any = mutagen.File(path)
        tags = {} if file is None or file.tags is None else dict(file.tags)
    except (mutagen.MutagenError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        logger.info("The texts inside %s cannot be read: %s", path, error)
        return {}
    lower = {str(name).lower(): ", ".join(map(str, values)) for name, values in tags.items()}
    first = {
        field: next((lower[name] for name in names if lower.get(name)), None)
        for field, names in (("tempo", _VORBIS_TEMPO), ("key", _VORBIS_KEY))
    }
    return dict(first)
