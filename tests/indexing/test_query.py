"""Searching a real index: modes, order, pages, filters, reasons; scores are similarities whatever the order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexing import ClipIndex, IndexRow, fulltext, lance, query
from indexing.candidates import Candidates
from indexing.errors import InvalidQueryError
from indexing.query import MODES, Filters, Hit, search

INJECTION = "x' OR '1'='1"
DOCUMENTS = {
    "calm": "calm piano with soft rain\n60 BPM, A minor",
    "jazz": "piano trio jazz, brushed drums, late night",
    "rock": "loud rock guitar with live drums",
    "solo": "harp and cello, no drums\nA sharp minor",
    "guitar": "relaxing guitar for sleeping",
    "hostile": f"noise {INJECTION} \"AND\" (OR) ~ * : \\ [a TO b]",
}  # fmt: skip


def vector(angle: float) -> np.ndarray:
    """A unit vector whose cosine to `vector(0)` is that of the angle in degrees."""
    radians = np.deg2rad(angle)
    return np.array([np.cos(radians), np.sin(radians), 0, 0, 0, 0, 0, 0], dtype=np.float32)


QUERY = vector(0)
ANGLES = {"calm": 80.0, "jazz": 60.0, "rock": 10.0, "solo": 30.0, "guitar": 120.0}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, row: Callable[..., IndexRow]) -> ClipIndex:
    """Six clips; one has no vector, and one points away from the query."""
    made = ClipIndex(tmp_path_factory.mktemp("index"))
    made.upsert(
        [
            row(
                id,
                document=document,
                vector=vector(ANGLES[id]) if id in ANGLES else None,
                tags=(INJECTION,) if id == "hostile" else ("tagged",),
                duration=float(10 * place),
            )
            for place, (id, document) in enumerate(DOCUMENTS.items(), 1)
        ]
    )
    return made


def ids(hits: list[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def keyword(index: ClipIndex, words: str) -> list[str]:
    return ids(search(index, words, None, mode="keyword"))


def test_semantic_orders_by_similarity(index: ClipIndex) -> None:
    hits = search(index, "anything", QUERY, mode="semantic")
    assert ids(hits) == ["rock", "solo", "jazz", "calm", "guitar"]
    assert [hit.why.semantic_rank for hit in hits] == [1, 2, 3, 4, 5]
    assert hits[2].score == pytest.approx(0.5, abs=1e-6)
    assert (hits[4].score, hits[4].why.similarity) == (0.0, pytest.approx(-0.5, abs=1e-6))


def test_hybrid_has_both_and_shows_similarities(index: ClipIndex) -> None:
    hits = search(index, "soft rain", QUERY)
    assert ids(hits)[:2] == ["calm", "rock"]
    for hit in hits:
        if hit.id in ANGLES:
            assert hit.score == pytest.approx(max(0.0, np.cos(np.deg2rad(ANGLES[hit.id]))), abs=1e-6)
    assert (hits[0].why.keyword_rank, hits[0].why.semantic_rank) == (1, 4)
    assert hits[0].why.matched == ("soft", "rain")
    assert (hits[1].why.keyword_rank, hits[1].why.matched) == (None, ())
    fused = [hit.why.fused for hit in hits]
    assert fused == sorted(fused, key=lambda value: -(value or 0))


def test_what_has_no_vector_is_found_by_its_words(index: ClipIndex) -> None:
    (hit,) = search(index, "noise", QUERY, limit=1)
    assert (hit.id, hit.score, hit.why.similarity) == ("hostile", None, None)


def test_without_an_embedder_the_words_do(index: ClipIndex) -> None:
    hits = search(index, "piano", None)
    assert set(ids(hits)) == {"calm", "jazz"}
    assert [hit.score for hit in hits] == [None, None]
    with pytest.raises(InvalidQueryError, match="--mode keyword"):
        search(index, "piano", None, mode="semantic")


@pytest.mark.parametrize(
    "typo", ["pino", "piamo", "pianno", "paino", "relaxisng", "relaxng", "rlaxing", "slepeing"]
)
def test_a_typo_of_one_letter(index: ClipIndex, typo: str) -> None:
    hits = search(index, typo, None, mode="keyword")
    assert ids(hits)[:1] == (["guitar"] if "l" in typo else keyword(index, "piano")[:1])
    assert hits[0].why.matched[0].startswith(f"{typo} -> ")


def test_a_word_that_is_there_is_no_typo(index: ClipIndex) -> None:
    assert keyword(index, "harp") == ["solo"]
    assert keyword(index, "xylophone") == []


def test_words_of_one_stem_meet(index: ClipIndex) -> None:
    assert keyword(index, "guitars rains") == keyword(index, "guitar rain")


def test_a_phrase_must_be_there(index: ClipIndex) -> None:
    assert keyword(index, '"brushed drums"') == ["jazz"]
    assert keyword(index, '"drums brushed"') == []
    assert keyword(index, '"live drums" piano') == ["rock"]
    assert ids(search(index, '"brushed drums"', QUERY)) == ["jazz"]
    # With no clip that has it, meaning is better than nothing.
    assert ids(search(index, '"drums brushed"', QUERY))[:1] == ["rock"]


def test_what_is_not_wanted_comes_last(index: ClipIndex) -> None:
    assert keyword(index, "piano without drums") == ["calm", "jazz"]
    assert keyword(index, "drums")[-1] == "solo", "it says that it has none"
    assert ids(search(index, "guitar without drums", QUERY))[0] == "guitar"


@pytest.mark.parametrize("unwanted", ["drums", "beat", "percussion", "live drums", "a drum machine"])
def test_no_drums_in_a_document_stands_for_any_percussion(
    tmp_path: Path, row: Callable[..., IndexRow], unwanted: str
) -> None:
    made = ClipIndex(tmp_path)
    texts = {"a-drums": "oboe tune, drums", "b-open": "oboe tune, warm", "c-none": "oboe tune, no drums"}
    made.upsert([row(id, document=text, vector=QUERY) for id, text in texts.items()])
    for mode in ("keyword", "hybrid"):
        found = ids(search(made, f"oboe without {unwanted}", QUERY, mode=mode))
        assert found[0] == "c-none"
        # Drums are no drum machine, and need not be live.
        assert (found[-1] == "a-drums") == (" " not in unwanted)


def test_what_is_like_the_unwanted_comes_later(tmp_path: Path, row: Callable[..., IndexRow]) -> None:
    made = ClipIndex(tmp_path)
    made.upsert([row("a-like", document="oboe, creepy", vector=vector(50))])
    made.upsert([row("b-unlike", document="oboe, cheerful", vector=vector(-50))])
    assert ids(search(made, "oboe, not scary", QUERY)) == ["a-like", "b-unlike"], "equals come by their ids"
    assert ids(search(made, "oboe, not scary", QUERY, unwanted=vector(60))) == ["b-unlike", "a-like"]
    made.upsert([row("c-denies", document="oboe, not scary", vector=vector(60))])
    found = search(made, "oboe, not scary", QUERY, unwanted=vector(60))
    assert ids(found)[0] == "c-denies", "what it says of itself counts for more than what it resembles"
    assert found[0].score == pytest.approx(0.5, abs=1e-6), "the score is the similarity to what is wanted"


def test_a_number_is_no_typo_and_first_letters_are_right(
    tmp_path: Path, row: Callable[..., IndexRow]
) -> None:
    made = ClipIndex(tmp_path)
    for id, text in (("old", "1920s ballad"), ("flute", "flute tune"), ("blue", "blue tune")):
        made.upsert([row(id, document=text)])
    made.optimise()
    assert keyword(made, "1970s") == []
    assert keyword(made, "flue") == ["flute"]
    assert keyword(made, "glue") == ["blue"], "where no word begins alike, others will do"


def test_the_small_words_of_a_quotation_count(tmp_path: Path, row: Callable[..., IndexRow]) -> None:
    made = ClipIndex(tmp_path)
    made.upsert([row("near", document="radio, children", vector=vector(0))])
    made.upsert([row("line", document="we are the children of the radio", vector=vector(40))])
    assert ids(search(made, "children of the radio", QUERY))[0] == "line"
    assert ids(search(made, "children radio", QUERY))[0] == "near"


def test_the_form_that_was_typed_comes_before_others(tmp_path: Path, row: Callable[..., IndexRow]) -> None:
    """BM25 takes forms of a word for the same one, so the two tie and meaning would choose."""
    made = ClipIndex(tmp_path)
    made.upsert([row("near", document="two accordions", vector=vector(0))])
    made.upsert([row("form", document="one accordion", vector=vector(20))])
    assert ids(search(made, "accordion", QUERY))[0] == "form"
    assert ids(search(made, "accordions", QUERY))[0] == "near"
    assert ids(search(made, "acordion", QUERY))[0] == "form"


def test_keys_are_not_mixed_up(index: ClipIndex) -> None:
    assert keyword(index, "A minor") == ["calm"]
    assert keyword(index, "Bb minor")[0] == "solo"
    assert keyword(index, "61 bpm") == ["calm"]
    assert keyword(index, "90 bpm") == []


def test_a_tempo_or_key_counts_where_meaning_is_blind(index: ClipIndex) -> None:
    assert ids(search(index, "60 bpm oboe", QUERY))[0] == "calm"
    assert ids(search(index, "oboe in A minor", QUERY))[0] == "calm"
    assert ids(search(index, "90 bpm oboe", QUERY))[0] == "rock", "no clip has any of it"


def test_a_word_behind_the_filter_is_no_typo(tmp_path: Path, row: Callable[..., IndexRow]) -> None:
    made = ClipIndex(tmp_path)
    made.upsert(
        [row("a", document="warm cello", duration=50.0), row("b", document="hello there", duration=10.0)]
    )
    short = Filters(max_duration=20)
    assert search(made, "cello", None, mode="keyword", filters=short) == []
    (hit,) = search(made, "jello", None, mode="keyword", filters=short)
    assert (hit.id, hit.why.matched) == ("b", ("jello -> hello",))


@pytest.mark.parametrize("mode", MODES)
def test_filters_hold_in_every_mode(index: ClipIndex, mode: str) -> None:
    found = search(
        index, "piano guitar drums noise", QUERY, mode=mode, filters=Filters(min_duration=15, max_duration=45)
    )
    assert set(ids(found)) <= {"jazz", "rock", "solo"}
    assert found
    assert search(index, "piano", QUERY, mode=mode, filters=Filters(tags=("nobody's",))) == []
    hostile = search(index, "noise", QUERY, mode=mode, filters=Filters(tags=(INJECTION,)))
    assert set(ids(hostile)) <= {"hostile"}


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_index_answers(tmp_path: Path, mode: str) -> None:
    assert search(ClipIndex(tmp_path), "piano", QUERY, mode=mode) == []


def test_an_unknown_mode_is_named(index: ClipIndex) -> None:
    with pytest.raises(InvalidQueryError, match=r"'fuzzy'.*hybrid, semantic, keyword"):
        search(index, "piano", QUERY, mode="fuzzy")
    with pytest.raises(ValueError, match="limit"):
        search(index, "piano", QUERY, limit=0)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(words=st.text(max_size=30) | st.text("\"'()~*:^-+\\AB ", max_size=12))
def test_any_text_is_a_query(index: ClipIndex, words: str) -> None:
    for hit in search(index, words, QUERY):
        assert hit.score is None or 0 <= hit.score <= 1


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, row: Callable[..., IndexRow], unit: Any) -> ClipIndex:
    """Enough clips to go beyond what is fused, many of them alike."""
    made = ClipIndex(tmp_path_factory.mktemp("crowd"))
    rows = []
    for number in range(260):
        words = "calm piano" if number % 3 else f"piano piece number {number}"
        rows.append(row(f"{number * 7919 % 260:03d}", document=words, vector=unit(number % 40)))
    made.upsert(rows)
    return made


@pytest.mark.parametrize("mode", ["hybrid", "semantic"])
def test_pages_join_to_the_whole(crowd: ClipIndex, unit: Any, mode: str) -> None:
    whole = ids(search(crowd, "calm piano", unit(1), mode=mode, limit=260))
    assert sorted(whole) == sorted(f"{number:03d}" for number in range(260))
    pages = [
        search(crowd, "calm piano", unit(1), mode=mode, limit=65, offset=start) for start in (0, 65, 130, 195)
    ]
    assert [id for page in pages for id in ids(page)] == whole
    assert search(crowd, "calm piano", unit(1), mode=mode, limit=10, offset=260) == []


def test_equal_clips_come_by_id(crowd: ClipIndex, unit: Any) -> None:
    for mode in MODES:
        hits = search(crowd, "calm", unit(1), mode=mode, limit=100)
        # The same words and the same vector: nothing but the id tells them apart.
        alike = [
            hit.id
            for hit in hits
            if hit.why.similarity is not None and hit.why.similarity > 0.9999 and hit.why.matched
        ]
        assert len(alike) > 2
        assert alike == sorted(alike)


def test_keyword_pages_join(crowd: ClipIndex) -> None:
    whole = ids(search(crowd, "piece", None, mode="keyword", limit=100))
    assert len(whole) == 87
    pages = [
        ids(search(crowd, "piece", None, mode="keyword", limit=30, offset=start)) for start in (0, 30, 60)
    ]
    assert [id for page in pages for id in page] == whole


def test_what_is_asked_for_is_not_unwanted(tmp_path: Path, row: Callable[..., IndexRow]) -> None:
    """A document that says "no drums" itself, and one of the percussion that the query wants, come before drums."""
    index = ClipIndex(tmp_path)
    documents = {
        "beat": "lo-fi beat to study to, no drums",
        "hands": "hand percussion, shakers and congas",
        "drums": "drums and beat, hand percussion",
    }
    index.upsert([row(id, document=text) for id, text in documents.items()])
    assert keyword(index, "hand percussion without drums")[0] == "hands"
    assert keyword(index, "beat without drums")[0] == "beat"


def test_a_hit_says_what_it_has_of_what_is_not_wanted(tmp_path: Path, row: Callable[..., IndexRow]) -> None:
    made = ClipIndex(tmp_path / "index")
    texts = {"drums": "oboe, drums", "none": "oboe, no drums", "open": "oboe, warm", "scary": "oboe, dark"}
    unlike = vector(60)
    made.upsert([row(id, document=text, vector=vector(10 * n)) for n, (id, text) in enumerate(texts.items())])
    for mode in MODES:
        hits = search(made, "oboe without drums", QUERY, mode=mode, unwanted=unlike)
        why = {hit.id: hit.why for hit in hits}
        assert {id: w.unwanted for id, w in why.items() if w.unwanted} == {"drums": ("drums",)}
        assert {id: w.lacks for id, w in why.items() if w.lacks} == {"none": ("drums",)}
        assert not any(w.denied for w in why.values())
        told = {id for id, w in why.items() if w.likeness is not None}
        assert told == ({"drums", "open", "scary"} if mode == "hybrid" else set())
    (hit, *_) = [hit for hit in search(made, "oboe drums", QUERY) if hit.id == "none"]
    assert hit.why.denied == ("drums",)
    assert [hit.why.lacks for hit in search(made, "no drums", QUERY, mode="keyword") if hit.id == "none"] == [
        ("drums",)
    ]


def test_pages_by_words_join_where_something_is_unwanted(
    tmp_path: Path, row: Callable[..., IndexRow]
) -> None:
    index = ClipIndex(tmp_path)
    texts = ["piano drums"] * 120 + ["quiet piano of an evening in the rain, no drums"] * 10
    index.upsert([row(f"{i:03}", document=text) for i, text in enumerate(texts)])
    few, many = (search(index, "piano without drums", None, mode="keyword", limit=n) for n in (10, 130))
    assert ids(few) == [f"{i:03}" for i in range(120, 130)]
    rest = search(index, "piano without drums", None, mode="keyword", limit=120, offset=10)
    assert ids(few) + ids(rest) == ids(many)


@pytest.mark.parametrize("words", ["piano", "piano without drums"])
def test_pages_by_words_join_beyond_the_first_question(
    tmp_path: Path, row: Callable[..., IndexRow], monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """Most of them tie, so each larger question to LanceDB gives others of them."""
    monkeypatch.setattr(query, "_WORDS_AT_ONCE", 100)
    index = ClipIndex(tmp_path)
    texts = [f"piano {'drums' if i % 3 else 'violin'}{' of an evening' * (i % 2)}" for i in range(450)]
    index.upsert([row(f"{i * 7919 % 450:03}", document=text) for i, text in enumerate(texts)])
    pages = [
        ids(search(index, words, None, mode="keyword", limit=30, offset=start)) for start in range(0, 480, 30)
    ]
    joined = [id for page in pages for id in page]
    assert sorted(joined) == [f"{i:03}" for i in range(450)]
    assert joined == ids(search(index, words, None, mode="keyword", limit=1_000))


def test_a_word_without_end_is_no_typo(
    tmp_path: Path, row: Callable[..., IndexRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What differs from it by one letter would be gigabytes."""
    asked: list[str] = []
    real = fulltext.spellings
    monkeypatch.setattr(fulltext, "spellings", lambda word: asked.append(word) or real(word))
    index = ClipIndex(tmp_path)
    index.upsert([row("a", document="calm piano")])
    assert keyword(index, f"{'xqzj' * 500} pianp") == ["a"]
    assert asked == ["pianp"]


def test_words_that_were_seen_are_forgotten_with_the_clips_that_had_them(
    tmp_path: Path, row: Callable[..., IndexRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the last clip with a misspelt word would keep it from being mended for ever."""
    monkeypatch.setattr(lance, "_SETTLED_NS", 0)
    asked: list[str] = []
    real = Candidates.anywhere
    monkeypatch.setattr(Candidates, "anywhere", lambda *of: asked.append(str(of[1])) or real(*of))
    index = ClipIndex(tmp_path)
    index.upsert([row("right", document="calm piano"), row("wrong", document="calm piamo", kind="imported")])
    elsewhere = Filters(kind="generated")
    for times in (1, 1):
        assert ids(search(index, "piamo", None, mode="keyword", filters=elsewhere)) == []
        assert len(asked) == times, "the first search has seen the word"
    index.remove(["wrong"])
    assert ids(search(index, "piamo", None, mode="keyword", filters=elsewhere)) == ["right"]
