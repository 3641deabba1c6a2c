"""A library folder that is copied or moved works where it lands, and is rebuilt to what it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from library_stock import findable, open_stock

from audiolib import AudioLibrary
from indexing.store import ClipIndex


@pytest.fixture
def library(mixed: AudioLibrary) -> AudioLibrary:
    return mixed


def digests(root: Path) -> dict[str, str]:
    """Of every file of the clips."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (root / "audio").rglob("*")
        if path.is_file()
    }


def answers(library: AudioLibrary) -> dict[str, Any]:
    """What all kinds of questions find, in order, with scores."""
    found: dict[str, Any] = {}
    for mode in ("hybrid", "semantic", "keyword"):
        for words in ("quiet keyboard", "happy rock", "hello"):
            found[f"{mode} {words}"] = [
                (hit.clip.id, None if hit.score is None else round(hit.score, 5))
                for hit in library.search(words, mode=mode, limit=5)
            ]
    for clip in library.list():
        found[f"like {clip.id}"] = [
            (hit.clip.id, round(hit.score or 0, 5)) for hit in library.similar(clip.id)
        ]
    return found


def test_a_moved_library_works_where_it_lands(library: AudioLibrary, tmp_path: Path) -> None:
    before = answers(library)
    there = tmp_path / "another disk" / "Bibliothèque 🎵"
    there.parent.mkdir()
    shutil.move(library.path, there)
    moved = open_stock(there)
    assert answers(moved) == before
    assert moved.check().findings == ()
    assert all(clip.path.is_relative_to(there) and clip.path.exists() for clip in moved.list())
    new = moved.generate("dark techno", duration=0.2)
    assert findable(moved) == {clip.id for clip in moved.list()} >= {new.id}
    assert moved.reproduce("last").codes_compared


def test_nothing_absolute_is_inside(library: AudioLibrary) -> None:
    needle = str(library.path.parent).encode()
    library.remove("last")
    inside = [path for path in library.path.rglob("*") if path.is_file() and needle in path.read_bytes()]
    assert [path for path in inside if not path.name.startswith(".lock")] == []
    rows = [row for some in ClipIndex(library.path / "index").rows() for row in some]  # which lie compressed
    assert [row.path for row in rows if Path(row.path).is_absolute()] == []


def test_a_rebuilt_index_answers_the_same_and_runs_no_model_over_audio(
    library: AudioLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    import audiolib.analyses
    import audiolib.recording
    import indexing.analysis
    import indexing.transcribe

    before, files = answers(library), digests(library.path)
    heard: list[str] = []
    monkeypatch.setattr(indexing.analysis.Analyser, "__init__", lambda *_: heard.append("analysis"))
    monkeypatch.setattr(indexing.analysis, "analyse", lambda *_: heard.append("analysis"))
    monkeypatch.setattr(indexing.transcribe.Transcriber, "__init__", lambda *_: heard.append("whisper"))
    monkeypatch.setattr(audiolib.recording, "read_facts", lambda *_: heard.append("audio"))
    for lost in (False, True):
        if lost:
            shutil.rmtree(library.path / "index")
        report = library.index(rebuild=True)
        assert (report.clips, report.embedded, report.measured, report.broken) == (3, 3, 0, ())
        assert answers(library) == before
    assert heard == []
    assert digests(library.path) == files


@pytest.mark.slow
def test_another_copy_grows_apart(library: AudioLibrary, tmp_path: Path) -> None:
    shutil.copytree(library.path, tmp_path / "copy")
    copy = open_stock(tmp_path / "copy")
    copy.tag("last", add=["jazz"])
    copy.remove(next(iter(library.list())).id)
    assert len(list(library.list())) == 3
    assert all("jazz" not in clip.tags for clip in library.list())
    assert library.check().findings == ()
    assert copy.check().findings == ()


@pytest.mark.slow
def test_a_reference_is_the_only_thing_that_stays_behind(library: AudioLibrary, tmp_path: Path) -> None:
    import numpy as np

    from generation.audio import save_audio

    song = tmp_path / "my song.wav"
    save_audio(song, np.sin(np.arange(16_000) / 9).astype(np.float32) / 3, 16_000)
    clip = library.add(song, reference=True)
    shutil.move(library.path, tmp_path / "moved")
    moved = open_stock(tmp_path / "moved")
    assert moved.check().clean
    song.rename(tmp_path / "gone.wav")
    (finding,) = moved.check(repair=True).findings
    assert (finding.kind, finding.clip_id, finding.path) == ("audio-missing", clip.id, song)
    assert json.dumps(finding.to_json())
