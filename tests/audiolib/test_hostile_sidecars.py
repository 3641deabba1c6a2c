"""Sidecars that nobody sane would write: each is one clear sentence, stops nothing else and loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from library_files import bare_clip
from library_stock import findable, make_old, sidecar_of

from audiolib import AudioLibrary, Clip
from audiolib.errors import LibraryError, LibraryFormatError, SidecarError
from audiolib.folder import LibraryFolder
from audiolib.ids import new_id
from audiolib.rows import rows_of
from audiolib.sidecars import SIDECAR_FORMAT, edit_sidecar, read_sidecar, write_sidecar
from indexing.analysis import SOUND_DIMENSION, SOUND_SPACE
from indexing.schema import arrow_schema, to_arrow, vector_field

CLIP_ID = "01ARYZ6S41TSV4RRFFQ69G5FAV"


@pytest.fixture
def library(mixed: AudioLibrary) -> AudioLibrary:
    return mixed


@pytest.fixture
def clips(library: AudioLibrary) -> list[Clip]:
    return list(library.list())[::-1]


@pytest.fixture
def valid(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / f"{CLIP_ID}.json"
    write_sidecar(path, bare_clip(tmp_path / f"{CLIP_ID}.wav", CLIP_ID), recipe=None, codes=None)
    return dict(json.loads(path.read_text()))


def deep(levels: int, close: bool = True) -> str:
    return '{"format": 2, "x": ' + "[" * levels + ("]" * levels + "}" if close else "")


BYTES = {
    "empty": b"",
    "a zero": b"\0",
    "zeros, as a power cut leaves them": bytes(4096),
    "not UTF-8": b'{"title": "\xff\xfe"}',
    "UTF-16": '{"format": 2}'.encode("utf-16"),
    "a list": b"[]",
    "a number": b"1e400",
    "nothing": b"null",
    "a string": b'"format"',
    "half": b'{"format": 2, "id": "01',
    "a hundred thousand levels": deep(100_000).encode(),
    "and no end": deep(100_000, close=False).encode(),
    "a number of five thousand digits": b'{"format": ' + b"9" * 5_000 + b"}",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
}

WRONG: dict[str, dict[str, Any]] = {
    "format as text": {"format": "2"},
    "format that is true": {"format": True},
    "format 0": {"format": 0},
    "format -1": {"format": -1},
    "format 1.5": {"format": 1.5},
    "id of another": {"id": "01ARYZ6S42TSV4RRFFQ69G5FAV"},
    "id that is a number": {"id": 7},
    "file above": {"file": "../../../etc/passwd"},
    "file with a folder": {"file": "a/b.wav"},
    "file of Windows": {"file": "..\\..\\x.wav"},
    "file that is a folder": {"file": ".."},
    "file with a zero": {"file": "a\0.wav"},
    "file that is empty": {"file": ""},
    "no file": {"file": None},
    "codes above": {"codes": "../x.npz"},
    "reference that is relative": {"file": None, "reference": "song.wav"},
    "reference with a zero": {"file": None, "reference": "/a\0b"},
    "a seed beyond 64 bits": {"seed": 2**63},
    "a rate beyond 32 bits": {"sample_rate": 2**31},
    "a rating beyond 32 bits": {"rating": -(2**31) - 1},
    "channels as text": {"channels": "2"},
    "a duration that is no number": {"duration": float("nan")},
    "a duration without end": {"duration": float("inf")},
    "no number in a key of others": {"theirs": [float("nan")]},
    "a number too large in a key of others": {"theirs": {"x": float("-inf")}},
    "half a character": {"title": "\ud800"},
    "half a character in a tag": {"tags": ["\udfff"]},
    "half a character in a key of others": {"theirs": "\udc80"},
    "tags as text": {"tags": "lofi"},
    "tags of numbers": {"tags": [1]},
    "segments as an object": {"segments": {"0": "x"}},
    "a segment without an end": {"segments": [{"start": 0, "text": "x"}]},
    "a recipe as text": {"recipe": "calm"},
    "a recipe of nothing": {"recipe": {}},
    "a kind of its own": {"kind": "stolen"},
    "a confidence over one": {"descriptors": {"version": 1, "confidence": {"key": 2}}},
    "a version as text": {"descriptors": {"version": "1"}},
    "vectors as a list": {"vectors": [1.0]},
    "a vector of numbers": {"vectors": {SOUND_SPACE: [1.0]}},
}


@pytest.mark.parametrize("content", BYTES.values(), ids=BYTES.keys())
def test_bytes_that_are_no_sidecar(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / f"{CLIP_ID}.json"
    path.write_bytes(content)
    with pytest.raises(SidecarError) as caught:
        read_sidecar(path)
    assert str(caught.value).startswith(f"The sidecar {path} is damaged (")
    assert "`audiolib check --repair` makes it again" in str(
        caught.value
    )  # which loses no tag, as `index` would
    assert len(str(caught.value)) < len(str(path)) + 400
    assert path.read_bytes() == content


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
def test_a_value_of_the_wrong_kind(tmp_path: Path, valid: dict[str, Any], changes: dict[str, Any]) -> None:
    path = tmp_path / f"{CLIP_ID}.json"
    path.write_text(json.dumps({**valid, **changes}))
    before = path.read_bytes()
    with pytest.raises(SidecarError, match="damaged"):
        read_sidecar(path)
    with pytest.raises(SidecarError):
        edit_sidecar(path, {"rating": 1})
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [SIDECAR_FORMAT + 1, 99, 10**30])
def test_a_sidecar_from_the_future(tmp_path: Path, valid: dict[str, Any], version: int) -> None:
    path = tmp_path / f"{CLIP_ID}.json"
    path.write_text(json.dumps({"format": version, "id": {"of": "another shape"}}))
    before = path.read_bytes()
    for use in (read_sidecar, lambda p: edit_sidecar(p, {"rating": 1})):
        with pytest.raises(LibraryFormatError, match="Update audiolib"):
            use(path)
    assert path.read_bytes() == before


def test_a_huge_sidecar_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / f"{CLIP_ID}.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte that takes no room
    with pytest.raises(SidecarError, match="more than any sidecar"):
        read_sidecar(path)


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / f"{CLIP_ID}.json"
    os.mkfifo(path)
    with pytest.raises(SidecarError, match="no file"):
        read_sidecar(path)


def test_one_that_may_not_be_read_stops_no_other(library: AudioLibrary, clips: list[Clip]) -> None:
    path = sidecar_of(library.path, clips[0].id)
    loop = path.with_name("loop")
    path.rename(loop)
    path.symlink_to(path)  # root may read anything, but no loop of links
    assert [clip.id for clip in library.list()] == [clips[2].id, clips[1].id]
    with pytest.raises(SidecarError, match="cannot be read"):
        read_sidecar(path)


def test_a_mark_of_the_editor_is_no_damage(tmp_path: Path, valid: dict[str, Any]) -> None:
    path = tmp_path / f"{CLIP_ID}.json"
    path.write_text(
        json.dumps({**valid, "title": "\U0001f3b9 Klavier"}), encoding="utf-8-sig"
    )  # escaped pairs too
    assert read_sidecar(path).clip.title == "\U0001f3b9 Klavier"


def test_a_link_out_of_the_library_is_never_written_through(tmp_path: Path, valid: dict[str, Any]) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text(json.dumps(valid))
    path = tmp_path / f"{CLIP_ID}.json"
    path.unlink()
    path.symlink_to(outside)
    before = outside.read_bytes()
    edit_sidecar(path, {"rating": 5})
    assert outside.read_bytes() == before
    assert not path.is_symlink()
    assert read_sidecar(path).clip.rating == 5


class TestAmongOthers:
    """One bad sidecar in a library: the rest goes on."""

    @pytest.mark.parametrize("content", ["a hundred thousand levels"])
    def test_every_command_goes_on(
        self, library: AudioLibrary, clips: list[Clip], cli: Callable[..., Result], content: str
    ) -> None:
        bad, *whole = clips
        sidecar_of(library.path, bad.id).write_bytes(BYTES[content])
        where = ("--library", str(library.path))
        wholes = {clip.id for clip in whole}
        result = cli("list", "--json", *where)
        assert {json.loads(line)["id"] for line in result.stdout.splitlines()} == wholes
        result = cli("search", "music", "--json", *where)
        assert {json.loads(line)["id"] for line in result.stdout.splitlines()} == wholes
        result = cli("show", bad.id, *where)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "is damaged" in result.stderr
        result = cli("index", "--rebuild", *where)
        assert result.exit_code == 1
        assert str(sidecar_of(library.path, bad.id)) in result.stderr
        assert findable(library) == wholes
        assert sidecar_of(library.path, bad.id).read_bytes() == BYTES[content]

    def test_links_that_lead_anywhere(self, library: AudioLibrary, clips: list[Clip], tmp_path: Path) -> None:
        home = clips[0].path.parent
        (home / f"{new_id()}.json").symlink_to("/dev/zero")
        (home / f"{new_id()}.json").symlink_to(tmp_path / "nothing")
        (home / f"{new_id()}.wav").symlink_to("/dev/zero")
        loop = home / f"{new_id()}.json"
        loop.symlink_to(loop)
        os.mkfifo(home / f"{new_id()}.json")
        (library.path / "audio" / "all").symlink_to("/")
        make_old(library.path)
        assert {clip.id for clip in library.list()} == {clip.id for clip in clips}
        found = [finding.kind for finding in library.check(repair=True).findings]
        assert sorted(found) == ["odd-file"] * 3 + ["sidecar-damaged"] * 3
        assert findable(library) == {clip.id for clip in clips}
        library.index(rebuild=True)
        assert findable(library) == {clip.id for clip in clips}

    @pytest.mark.slow
    @pytest.mark.parametrize("vector", ["", "AAAA", "not base64!", "//8=", "AHw="])
    def test_a_damaged_sound_vector_is_no_vector(
        self, library: AudioLibrary, clips: list[Clip], vector: str
    ) -> None:
        path = sidecar_of(library.path, clips[0].id)
        path.write_text(
            json.dumps({**json.loads(path.read_text()), "vectors": {SOUND_SPACE: vector, "x y": "AAAA"}})
        )
        report = library.index(rebuild=True)
        assert (report.embedded, report.broken) == (3, ())
        assert findable(library) == {clip.id for clip in clips}


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**31 - 1, 2**65)
    | st.floats()
    | st.text(st.characters(), max_size=12)  # halves of characters too
)
values = st.recursive(
    scalars, lambda more: st.lists(more, max_size=3) | st.dictionaries(st.text(max_size=5), more, max_size=3)
)
known_keys = st.sampled_from(
    [
        *bare_clip(Path("/a.wav"), CLIP_ID).to_json(),
        *("format", "file", "codes", "recipe", "segments", "reference", "descriptors", "vectors", "original"),
    ]
)


def said_of(path: Path) -> str | None:
    """What is wrong with a sidecar, `None` when nothing is."""
    try:
        read_sidecar(path)
    except LibraryError as error:
        return str(error)
    return None


@settings(max_examples=60)
@given(
    changes=st.dictionaries(known_keys | st.text(max_size=5), values, min_size=1, max_size=3),
    lost=st.sets(known_keys, max_size=2),
)
def test_what_is_read_can_be_written_and_indexed(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any], lost: set[str]
) -> None:
    folder = LibraryFolder(tmp_path_factory.getbasetemp() / "hostile")
    home = folder.month_folder(CLIP_ID)
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{CLIP_ID}.json"
    write_sidecar(path, bare_clip(home / f"{CLIP_ID}.wav", CLIP_ID), recipe=None, codes=None)
    document = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in document.items() if name not in lost}))
    before = path.read_bytes()
    if (said := said_of(path)) is not None:
        assert str(path) in said
        assert path.read_bytes() == before
        return
    sidecar = read_sidecar(path)
    json.dumps(sidecar.clip.to_json(), allow_nan=False, ensure_ascii=False).encode()
    edited = edit_sidecar(path, {"rating": 3})
    assert read_sidecar(path).document == edited.document
    kept = {name: value for name, value in sidecar.document.items() if name not in ("rating", "format")}
    assert {name: edited.document[name] for name in kept} == kept
    columns = arrow_schema().append(vector_field(SOUND_SPACE, SOUND_DIMENSION))
    assert to_arrow(rows_of(folder, [edited], None), columns).num_rows == 1


@settings(max_examples=60)
@given(data=st.data())
def test_any_bytes_are_a_sidecar_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    home = tmp_path_factory.getbasetemp()
    path = home / f"{CLIP_ID}.json"
    write_sidecar(path, bare_clip(home / f"{CLIP_ID}.wav", CLIP_ID), recipe=None, codes=None)
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:])
    assert str(path) in (said_of(path) or str(path))
