"""ClipIndex: what goes in comes out, is found by exact cosine, and only it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexing import (
    ClipIndex,
    EmbedderMismatchError,
    Filters,
    IndexHit,
    IndexingError,
    IndexRow,
    Segment,
    lookup,
)

Unit = Callable[..., np.ndarray]
MakeRow = Callable[..., IndexRow]

HOSTILE = [
    "x' OR '1'='1",
    "x' OR 1=1 --",
    "'; DROP TABLE clips; --",
    'double " quote',
    "back\\slash",
    "new\nline\ttab",
    "per%cent_under",
    "nul\0inside",
    "ünï-çødé 🎹",
    "`id`",
]


def test_reading_makes_nothing(index: ClipIndex, unit: Unit, tmp_path: Path) -> None:
    assert index.count() == 0
    assert index.ids() == set()
    assert index.pending_ids() == []
    assert index.get("a") is None
    assert index.embedder() is None
    assert index.search(unit(0)) == []
    index.remove(["a"])
    index.upsert([])
    index.optimise()
    index.clear()
    assert not (tmp_path / "index").exists()


# Surrogates cannot be stored; everything else must come back as it was.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MAYBE_TEXT = st.none() | TEXT
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.builds(
    IndexRow,
    id=TEXT.filter(bool),
    document=TEXT,
    path=TEXT,
    duration=NUMBER,
    sample_rate=st.integers(1, 2**31 - 1),
    channels=st.integers(1, 64),
    created_at=TEXT,
    kind=st.sampled_from(["generated", "imported"]),
    prompt=MAYBE_TEXT,
    title=MAYBE_TEXT,
    model=MAYBE_TEXT,
    seed=st.none() | st.integers(-(2**63), 2**63 - 1),
    tags=st.lists(TEXT, max_size=4).map(tuple),
    rating=st.none() | st.integers(0, 5),
    parent_id=MAYBE_TEXT,
    transcript=MAYBE_TEXT,
    language=MAYBE_TEXT,
    segments=st.lists(st.builds(Segment, start=NUMBER, end=NUMBER, text=TEXT), max_size=3).map(tuple),
    tempo_bpm=st.none() | NUMBER,
    key=MAYBE_TEXT,
    loudness_lufs=st.none() | NUMBER,
    sha256=MAYBE_TEXT,
    audio_sha256=MAYBE_TEXT,
    license=MAYBE_TEXT,
)


@given(row=ROWS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_back(index: ClipIndex, row: IndexRow) -> None:
    index.upsert([row])
    found = index.get(row.id)
    assert found == asdict(row)


def test_vectors_come_back(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    index.upsert([row("a", vector=unit(1)), row("b", vector=unit(2, 8).astype(np.float64))])
    found = index.get("a")
    assert found is not None
    assert found["vector"].dtype == np.float32
    np.testing.assert_array_equal(found["vector"], unit(1))


@pytest.mark.parametrize("id", HOSTILE)
def test_hostile_ids_mean_themselves_alone(index: ClipIndex, row: MakeRow, unit: Unit, id: str) -> None:
    index.upsert([row("innocent", vector=unit(0))])
    assert index.get(id) is None
    index.remove([id])
    assert index.ids() == {"innocent"}
    index.upsert([row(id, vector=unit(1))])
    found = index.get(id)
    assert found is not None
    assert found["id"] == id
    index.remove([id])
    assert index.ids() == {"innocent"}


@pytest.mark.parametrize(
    "name", ["my music #1", "100 %", "what?", "müsik 🎹", "a'b\"c", "s3:", "%20", "a&b=c;d"]
)
def test_any_folder_name_will_do(row: MakeRow, unit: Unit, tmp_path: Path, name: str) -> None:
    index = ClipIndex(tmp_path / name / "index")
    index.upsert([row("a", vector=unit(0))])
    assert (tmp_path / name / "index" / "clips.lance").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [hit.id for hit in index.search(unit(0))] == ["a"]
    index.clear()
    assert index.count() == 0


def test_a_relative_folder_will_do(
    row: MakeRow, unit: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    index = ClipIndex(Path("data/index"))
    index.upsert([row("a", vector=unit(0))])
    assert (tmp_path / "data" / "index" / "clips.lance").is_dir()
    assert index.ids() == {"a"}


def test_upsert_replaces(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    index.upsert([row("a", title="old", vector=unit(0)), row("b", title="other", vector=unit(1))])
    index.upsert([row("a", title="older", vector=unit(0)), row("a", title="new", vector=unit(2))])
    assert index.count() == 2
    found = index.get("a")
    assert found is not None
    assert found["title"] == "new"
    assert index.search(unit(2), limit=1)[0].id == "a"


def test_many_rows_take_few_commits(index: ClipIndex, row: MakeRow, unit: Unit, tmp_path: Path) -> None:
    index.upsert([row(f"{i:04}", vector=unit(i)) for i in range(1_700)])
    table = lancedb.connect(tmp_path / "index").open_table("clips")
    assert len(table.list_versions()) == 2 + 2  # the empty table and its text index, then 1,000 and 700 rows
    assert index.count() == 1_700
    assert index.ids() == {f"{i:04}" for i in range(1_700)}
    index.remove([f"{i:04}" for i in range(1_699)])
    assert index.ids() == {"1699"}


def test_scores_are_exact_cosines(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    vectors = {f"{i:03}": unit(i) for i in range(300)}
    index.upsert([row(id, vector=vector) for id, vector in vectors.items()])
    query = 3 * unit(1_000)
    hits = index.search(query, limit=300)
    direction = query.astype(float) / np.linalg.norm(query)
    cosines = {id: float(vector.astype(float) @ direction) for id, vector in vectors.items()}
    # Opposites score 0 and keep their order all the same.
    assert [hit.id for hit in hits] == sorted(vectors, key=lambda id: -cosines[id])
    for hit in hits:
        assert hit.score == pytest.approx(max(0.0, cosines[hit.id]), abs=1e-7)
    assert hits[-1].score == 0.0
    assert index.search(unit(7), limit=1) == [IndexHit(id="007", score=pytest.approx(1.0, abs=1e-7))]


def test_pages_make_up_the_whole(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    index.upsert([row(f"{i:02}", vector=unit(i)) for i in range(50)])
    whole = index.search(unit(99), limit=50)
    pages = [index.search(unit(99), limit=7, offset=start) for start in range(0, 56, 7)]
    assert [hit for page in pages for hit in page] == whole
    assert index.search(unit(99), limit=10**9) == whole
    assert index.search(unit(99), offset=50) == []


def test_equal_scores_go_by_id(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    index.upsert([row(f"{i:03}", vector=unit(0)) for i in reversed(range(200))])
    index.upsert([row(f"z{i}", vector=unit(1)) for i in range(3)])
    assert [hit.id for hit in index.search(unit(0), limit=5)] == ["000", "001", "002", "003", "004"]
    assert [hit.id for hit in index.search(unit(0), limit=3, offset=150)] == ["150", "151", "152"]


def test_pending_rows_are_kept_and_not_found(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    index.upsert([row("b"), row("a")])
    assert index.pending_ids() == ["a", "b"]
    assert index.embedder() is None
    assert index.search(unit(0, 384)) == []
    index.upsert(
        [row("c", vector=unit(1)), row("b", vector=unit(2))]
    )  # not the 384 numbers that it began with
    assert index.pending_ids() == ["a"]
    assert index.embedder() == "test/embedder"
    assert {hit.id for hit in index.search(unit(0))} == {"b", "c"}
    assert index.count() == 3


def test_mixing_embedders_is_refused(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    index.upsert([row("a", vector=unit(0))])
    with pytest.raises(EmbedderMismatchError) as caught:
        index.upsert([row("b"), row("c", vector=unit(1), embedder="other/one")])
    for words in ("test/embedder", "other/one", "audiolib index --rebuild --embedder other/one"):
        assert words in str(caught.value)
    with pytest.raises(EmbedderMismatchError, match=r"one.*two"):
        index.upsert([row("b", vector=unit(1), embedder="one"), row("c", vector=unit(1), embedder="two")])
    with pytest.raises(EmbedderMismatchError, match=r"16 numbers.*test/embedder \(8\)"):
        index.upsert([row("b", vector=unit(1, 16))])
    with pytest.raises(EmbedderMismatchError, match="16 numbers"):
        index.search(unit(1, 16))
    assert index.ids() == {"a"}


def test_another_embedder_after_clear(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    index.upsert([row("a", vector=unit(0))])
    index.clear()
    assert index.count() == 0
    index.upsert([row("a", vector=unit(0, 16), embedder="other/one")])
    assert index.embedder() == "other/one"
    assert [hit.id for hit in index.search(unit(0, 16))] == ["a"]


def test_another_embedder_once_no_vector_is_left(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    index.upsert([row("a", vector=unit(0)), row("b", title="kept")])
    index.remove(["a"])
    index.upsert([row("c", vector=unit(0, 16), embedder="other/one")])
    assert [hit.id for hit in index.search(unit(0, 16))] == ["c"]
    found = index.get("b")
    assert found is not None
    assert found["title"] == "kept"


@pytest.mark.parametrize(
    "bad",
    [
        {"vector": np.full(8, np.nan, np.float32)},
        {"vector": np.zeros(8, np.float32)},
        {"vector": np.ones((2, 4), np.float32)},
        {"embedder": "name/alone"},
        {"prompt": "lone \ud800 surrogate"},
        {"seed": 2**63},
        {"duration": "long"},
    ],
    ids=lambda bad: "-".join(bad),
)
def test_what_does_not_fit_changes_nothing(
    index: ClipIndex, row: MakeRow, unit: Unit, bad: dict[str, object]
) -> None:
    index.upsert([row("a", vector=unit(0))])
    with pytest.raises(IndexingError):
        index.upsert([row("b", vector=unit(1)), row("bad", **bad)])
    assert index.ids() == {"a"}


@pytest.mark.parametrize(
    ("vector", "limit", "offset"),
    [
        (np.ones(8), 0, 0),
        (np.ones(8), 1, -1),
        (np.zeros(8), 1, 0),
        (np.ones((1, 8)), 1, 0),
        ([np.inf] * 8, 1, 0),
    ],
)
def test_searches_out_of_range(index: ClipIndex, vector: np.ndarray, limit: int, offset: int) -> None:
    with pytest.raises(ValueError, match=r"limit|vector"):
        index.search(vector, limit=limit, offset=offset)


def test_rows_are_selected_filtered_and_sorted(index: ClipIndex, row: MakeRow) -> None:
    from lancedb.expr import col, lit

    tempos = [120.0, None, 90.0, 120.0, 60.0, None]
    index.upsert([row(f"{i}", tempo_bpm=tempo, rating=i % 3) for i, tempo in enumerate(tempos)])
    assert index.select() == list("012345")
    assert index.select(sort="id", descending=True) == list("543210")
    assert index.select(sort="tempo_bpm") == list("420315"), "equals by id, unknown values last"
    assert index.select(sort="tempo_bpm", descending=True) == list("032415")
    for limit in range(1, 7):
        for offset in range(6):
            page = index.select(sort="tempo_bpm", descending=True, limit=limit, offset=offset)
            assert page == list("032415")[offset : offset + limit]
    fast = col("tempo_bpm") > lit(80.0)
    assert index.select(where=fast, sort="rating", descending=True) == list("203")
    assert index.columns(["id", "rating"], where=fast) == {"id": list("023"), "rating": [0, 2, 0]}
    assert index.select(where=col("id") == lit("x' OR '1'='1")) == []


def test_spaces_come_with_their_vectors(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    assert index.nearest(unit(0, 6), space="sound-1") == []
    index.upsert([row("a", vector=unit(0)), row("b", sound_vector=unit(1, 6), sound_space="sound-1")])
    index.put_vectors("clap", {"a": unit(2, 5), "b": unit(3, 5), "missing": unit(4, 5)})
    assert index.spaces() == {"text": 8, "sound-1": 6, "clap": 5}
    assert index.ids() == {"a", "b"}
    assert [hit.id for hit in index.nearest(unit(1, 6), space="sound-1")] == ["b"]
    assert [hit.id for hit in index.nearest(unit(2, 5), space="clap", limit=1)] == ["a"]

    index.upsert([row("a", vector=unit(5), title="edited"), row("b", title="edited")])
    found = index.get("b")
    assert found is not None
    assert (found["title"], found["sound_space"]) == ("edited", "sound-1")
    np.testing.assert_array_equal(found["sound_vector"], unit(1, 6))
    assert len(index.nearest(unit(2, 5), space="clap")) == 2, "an edit keeps the vectors of other spaces"

    similar = index.similarities(unit(3, 5), ["a", "b", "missing"], space="clap")
    assert similar == pytest.approx({"a": float(unit(2, 5) @ unit(3, 5)), "b": 1.0}, abs=1e-6)
    assert index.similarities(unit(5), ["a", "b"]) == pytest.approx({"a": 1.0}, abs=1e-6), "b is pending"
    assert index.count_embedded() == 1


def test_spaces_hold_vectors_of_one_length(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    index.upsert([row("a", sound_vector=unit(1, 6), sound_space="sound-1")])
    with pytest.raises(EmbedderMismatchError, match=r"7 numbers.*sound-1 \(6\)"):
        index.upsert([row("b", sound_vector=unit(1, 7), sound_space="sound-1")])
    with pytest.raises(EmbedderMismatchError, match="7 numbers"):
        index.nearest(unit(1, 7), space="sound-1")
    with pytest.raises(IndexingError, match="sound vector without"):
        index.upsert([row("b", sound_space="sound-1")])
    with pytest.raises(IndexingError, match="not 6 finite numbers"):
        index.put_vectors("sound-1", {"a": np.full(6, np.nan)})
    for bad in ("text", "No Good", "", "a.b", "x`y"):
        with pytest.raises(ValueError, match=r"space|rows"):
            index.put_vectors(bad, {"a": unit(1, 6)})
    assert index.ids() == {"a"}


def test_words_are_found_by_filter_and_phrase(index: ClipIndex, row: MakeRow) -> None:
    from lancedb.expr import col, lit
    from lancedb.query import PhraseQuery

    assert index.keyword("piano") == []
    documents = [
        "calm piano",
        "piano, piano and drums",
        "a calm violin",
        "drums with a piano that is calm",
        "",
    ]
    index.upsert([row(f"{i}", document=text, rating=i) for i, text in enumerate(documents)])
    assert [id for id, _ in index.keyword("piano")] == ["1", "0", "3"]
    assert [id for id, _ in index.keyword("PIANOS", where=col("rating") > lit(0))] == ["1", "3"]
    assert [id for id, _ in index.keyword(PhraseQuery("calm piano", "document"))] == ["0"]
    scores = [score for _, score in index.keyword("calm piano")]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


@pytest.mark.parametrize("tag", ["lo-fi", "Lo-Fi", "x' OR '1'='1", "ünï 🎹", "a  b", "fi"])
def test_tags_are_found_whole(index: ClipIndex, row: MakeRow, tag: str) -> None:
    index.upsert([row("a", tags=("sofi", tag, "slow")), row("b", tags=("fifi",)), row("c")])
    assert index.select(where=Filters(tags=(tag.upper(),)).expression()) == ["a"]


def test_no_vectors_are_no_damage(index: ClipIndex, row: MakeRow, unit: Unit) -> None:
    """As after the only clip was removed."""
    index.upsert([row("a", vector=unit(0))])
    index.put_vectors("clap", {"a": unit(1, 16)})
    index.remove(["a"])
    ids, vectors = index.vectors("clap")
    assert ids == []
    assert vectors.shape == (0, 16)


def test_writers_of_one_row_take_turns(
    index: ClipIndex, row: MakeRow, unit: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vector is stored with the row's other columns: none of them may be changed in between."""
    index.upsert([row("a", vector=unit(0), rating=1)])
    read, go = threading.Event(), threading.Event()
    completed = lookup.completed

    def slow(*arguments: Any) -> Any:
        found = completed(*arguments)
        if threading.current_thread() is not threading.main_thread():
            read.set()
            go.wait(10)
        return found

    monkeypatch.setattr(lookup, "completed", slow)
    first = threading.Thread(target=index.put_vectors, args=("clap", {"a": unit(1, 16)}))
    first.start()
    assert read.wait(30)
    threading.Timer(0.5, go.set).start()
    ClipIndex(tmp_path / "index").upsert([row("a", vector=unit(0), rating=5)])
    first.join(30)
    found = index.get("a")
    assert found is not None
    assert found["rating"] == 5
    assert index.vectors("clap")[0] == ["a"]
