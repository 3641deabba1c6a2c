"""Sidecars hold everything, keep what they do not know, and are refused when they are damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from library_files import bare_clip
from library_strategies import clips, recipes

from audiolib.clip import Clip, Recipe
from audiolib.errors import LibraryFormatError, SidecarError
from audiolib.sidecars import SIDECAR_FORMAT, edit_sidecar, read_sidecar, write_sidecar
from audiolib.vectors import decode, encode

CLIP_ID = "01M81GFP0EMCG74TGEETC8HHCK"


@given(clips, recipes)
def test_a_clip_and_its_recipe_survive(tmp_path_factory: Any, clip: Clip, recipe: Recipe) -> None:
    folder = tmp_path_factory.getbasetemp()
    clip = replace(clip, path=folder / "a.wav")
    path = folder / f"{clip.id}.json"
    write_sidecar(path, clip, recipe=recipe, codes="a.codes.npz")
    sidecar = read_sidecar(path)
    assert (sidecar.clip, sidecar.recipe, sidecar.codes_path) == (clip, recipe, folder / "a.codes.npz")
    path.unlink()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    clip = bare_clip(tmp_path / f"{CLIP_ID}-calm.wav", CLIP_ID)
    path = tmp_path / f"{CLIP_ID}.json"
    write_sidecar(path, clip, recipe=None, codes=None)
    return path


def test_a_sidecar_can_move_with_its_audio(path: Path, tmp_path: Path) -> None:
    assert str(tmp_path) not in path.read_text()
    other = tmp_path / "other"
    other.mkdir()
    moved = path.rename(other / path.name)
    assert read_sidecar(moved).clip.path == other / f"{CLIP_ID}-calm.wav"


def test_an_edit_keeps_what_it_does_not_know(path: Path) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "mood": {"blue": 1}}))
    edited = edit_sidecar(path, {"tags": ["lofi"], "rating": 4})
    assert edited == read_sidecar(path)
    assert (edited.clip.tags, edited.clip.rating) == (("lofi",), 4)
    assert json.loads(path.read_text()) == {**document, "mood": {"blue": 1}, "tags": ["lofi"], "rating": 4}


def test_a_sidecar_of_format_1_is_read_and_becomes_the_present_one_when_edited(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 1}))
    old = read_sidecar(path)
    assert (old.descriptors_version, old.vectors, old.referenced) == (None, {}, False)
    assert edit_sidecar(path, {"rating": 2}).document["format"] == SIDECAR_FORMAT


def test_audio_that_stays_where_it_was_is_referred_to_by_its_whole_path(tmp_path: Path) -> None:
    clip = bare_clip(tmp_path / "music" / "song.mp3", CLIP_ID)
    path = tmp_path / f"{CLIP_ID}.json"
    written = write_sidecar(path, clip, recipe=None, codes=None, reference=True)
    assert written == read_sidecar(path)
    assert (written.clip.path, written.referenced) == (tmp_path / "music" / "song.mp3", True)
    assert "file" not in {name for name, value in written.document.items() if value is not None}


def test_what_was_measured_is_kept_beside_the_clip(tmp_path: Path) -> None:
    path = tmp_path / f"{CLIP_ID}.json"
    vector = np.array([0.6, 0.0, -0.8], dtype=np.float32)
    more = {
        "tempo_bpm": 120.5,
        "descriptors": {"version": 3, "confidence": {"tempo_bpm": 0.75}},
        "vectors": {"sound-1": encode(vector)},
    }
    write_sidecar(path, bare_clip(tmp_path / "a.wav", CLIP_ID), recipe=None, codes=None, more=more)
    sidecar = read_sidecar(path)
    assert sidecar.clip.tempo_bpm == 120.5
    assert (sidecar.descriptors_version, sidecar.confidence) == (3, {"tempo_bpm": 0.75})
    stored = decode(sidecar.vectors["sound-1"])
    assert stored is not None
    np.testing.assert_allclose(stored, vector, atol=5e-4)


@pytest.mark.parametrize(
    "text", ["", "AAA", "not base64!", "AAAA", encode(np.zeros(4)), encode(np.full(2, np.inf))]
)
def test_a_damaged_vector_is_none(text: str) -> None:
    assert decode(text) is None


def test_an_edit_that_could_not_be_read_again_is_not_written(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(SidecarError, match="'rating'"):
        edit_sidecar(path, {"rating": "good"})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"format": None},
        {"format": True},
        {"file": None, "reference": "music/a.wav"},
        {"file": None, "reference": 3},
        {"descriptors": {"version": "1"}},
        {"descriptors": {"version": 1, "confidence": {"key": 2}}},
        {"vectors": {"sound-1": [1.0]}},
        {"vectors": []},
        {"format": "1"},
        {"id": "01M81GFTJQFZRFB5AJJ2YGCV4J"},
        {"title": 7},
        {"file": "../../secret.wav"},
        {"file": "/etc/passwd"},
        {"file": None},
        {"codes": "..\\secret"},
        {"recipe": {"prompt": "calm"}},
        {"recipe": []},
        {"segments": "hello"},
        {"segments": [{"start": 0, "end": "1", "text": "hello"}]},
    ],
)
def test_a_damaged_sidecar_is_refused_by_name(path: Path, change: dict[str, Any]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(SidecarError) as caught:
        read_sidecar(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_refused_by_name(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(SidecarError) as caught:
        read_sidecar(path)
    assert str(path) in str(caught.value)


def test_a_newer_sidecar_asks_for_an_update(path: Path) -> None:
    path.write_text(json.dumps({"format": SIDECAR_FORMAT + 1}))
    with pytest.raises(LibraryFormatError, match="Update audiolib"):
        read_sidecar(path)
