"""The library in numbers: what is counted is what is there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result
from library_files import clips_of

from audiolib import AudioLibrary, Clip
from audiolib.sidecars import edit_sidecar, read_sidecar
from indexing.filters import Filters

Run = Callable[..., Result]


@pytest.fixture
def library(stocked: AudioLibrary) -> AudioLibrary:
    return stocked


def edit(library: AudioLibrary, clip: Clip, **changes: object) -> None:
    sidecar = clip.path.with_name(f"{clip.id}.json")
    edit_sidecar(sidecar, changes)
    library._catalogue.add([read_sidecar(sidecar)])


@pytest.fixture
def clips(library: AudioLibrary) -> list[Clip]:
    first, second, third = clips = list(library.list())[::-1]
    edit(library, first, tags=["lofi", "rain"], tempo_bpm=99.6, key="A minor", rating=5, duration=60.0)
    edit(library, second, tags=["Lofi"], tempo_bpm=80.2, key="A minor", rating=5, transcript="la la")
    edit(library, third, tags=["lofi"], model=None, kind="imported", tempo_bpm=119.4, rating=1, transcript="")
    return clips


def test_counts(library: AudioLibrary, clips: list[Clip]) -> None:
    stats = library.stats()
    assert (stats.clips, stats.seconds, stats.shortest, stats.longest) == (3, 60.4, 0.2, 60.0)
    assert (stats.first, stats.last) == (clips[0].created_at, clips[2].created_at)
    assert list(stats.models.items()) == [("tiny", 2)]
    assert list(stats.kinds.items()) == [("generated", 2), ("imported", 1)]
    assert list(stats.tags.items()) == [("lofi", 3), ("rain", 1)]
    assert stats.keys["A minor"] >= 2
    assert list(stats.tempos.items()) == [("80-99", 1), ("100-119", 2)]  # rounded as they are shown
    assert list(stats.ratings.items()) == [("5", 2), ("1", 1)]
    assert stats.speech == {"words": 1, "no words": 1, "not transcribed": 1}
    assert (stats.not_indexed, stats.not_embedded) == (0, 0)


def test_only_some(library: AudioLibrary, clips: list[Clip]) -> None:
    stats = library.stats(filters=Filters(rating=5, tags=("rain",)))
    assert (stats.clips, stats.seconds, stats.disk, stats.not_indexed) == (1, 60.0, None, 0)
    assert library.stats(filters=Filters(rating=5, kind="imported")).clips == 0


def test_the_disk(library: AudioLibrary, clips: list[Clip]) -> None:
    (entry,) = library.remove(clips[0])
    disk = library.stats().disk
    assert disk is not None
    files = [path for path in library.path.rglob("*") if path.is_file()]
    assert disk.total == sum(path.stat().st_size for path in files)
    for name, size in (("audio", disk.audio), ("index", disk.index), ("trash", disk.trash)):
        assert size == sum(f.stat().st_size for f in files if f.is_relative_to(library.path / name)) > 0
    assert disk.trash >= entry.size


def test_what_has_no_row_is_told(library: AudioLibrary, clips: list[Clip]) -> None:
    clips_of(library, "not indexed", index=False)
    stats = library.stats()
    assert (stats.clips, stats.not_indexed) == (3, 1)
    stats = library.stats(filters=Filters(kind="imported"))
    assert (stats.clips, stats.not_indexed) == (1, 1)


def test_an_empty_library(library: AudioLibrary, clips: list[Clip]) -> None:
    library.remove(clips)
    stats = library.stats()
    assert (stats.clips, stats.seconds, stats.longest, stats.last) == (0, 0, None, None)
    assert stats.tags == stats.tempos == {}


def test_links_are_not_followed(library: AudioLibrary, clips: list[Clip], tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "file").write_bytes(b"x" * 1_000_000)
    before = library.stats().disk
    (library.path / "audio" / "elsewhere").symlink_to(tmp_path / "large")
    after = library.stats().disk
    assert before is not None
    assert after is not None
    assert after.total - before.total < 1_000


def test_a_file_that_goes_meanwhile_hides_no_other(
    library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir, gone = os.scandir, library.path / "audio" / "gone"
    before = library.stats().disk
    assert before is not None
    gone.write_bytes(b"x")

    @contextmanager
    def slowly(folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        with scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name != gone.name)
        if Path(folder) == gone.parent:
            gone.unlink(missing_ok=True)
        yield iter(found)

    monkeypatch.setattr("audiolib.statistics.os.scandir", slowly)
    assert library.stats().disk == before


class TestCommand:
    @pytest.fixture(autouse=True)
    def _here(self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUDIOLIB_LIBRARY", str(library.path))

    def test_for_people(self, cli: Run, clips: list[Clip]) -> None:
        text = cli("stats").stdout
        for part in (
            "3 (2 generated, 1 imported)",
            "1:00 minutes",
            "0.2 s to 60.0 s, 20.1 s on average",
            "★★★★★",
            "80-99",
        ):
            assert part in text, text
        bars = {line.split()[0]: line.count("#") for line in text.splitlines() if line.endswith("#")}
        assert (bars["lofi"], bars["rain"], bars["80-99"]) == (24, 8, 12)

    def test_json(self, cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
        assert json.loads(cli("stats", "--json").stdout) == library.stats().to_json()
        assert json.loads(cli("stats", "--rating", "5", "--json").stdout)["clips"] == 2

    def test_many_tags_are_cut(self, cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
        library.tag(clips[0], add=[f"tag {number}" for number in range(15)])
        assert "and 7 more; --all shows them" in cli("stats").stdout
        assert "tag 14" in cli("stats", "--all").stdout

    def test_an_empty_library(self, cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
        library.remove(clips)
        assert cli("stats").stdout.splitlines()[0].split() == ["clips", "0"]
