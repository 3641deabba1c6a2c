"""Searches: three modes, reasons, what happens without an embedder or with rows that are stale."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result
from collection import put_clip

from audiolib import AudioLibrary, Clip
from audiolib.cli.hits import reason
from audiolib.errors import InvalidInputError
from indexing.query import Explanation

Run = Callable[..., Result]
TITLES = (
    "calm piano",
    "happy rock with electric guitar",
    "slow sad strings",
    "techno with heavy drums",
    "lullaby for a sleeping child",
    "heavy metal, fast drums",
)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> AudioLibrary:
    """A library that no test changes."""
    root = tmp_path_factory.mktemp("stock") / "library"
    for title in TITLES:
        put_clip(root, title, measured=True)
    library = AudioLibrary(root)
    library.index()
    return library


def titles(library: AudioLibrary, query: str, **options: Any) -> list[str]:
    return [hit.clip.title for hit in library.search(query, **options)]


class TestModes:
    def test_meaning_finds_what_shares_no_word(self, stock: AudioLibrary) -> None:
        assert titles(stock, "gentle song to put a baby to bed", mode="semantic")[0] == TITLES[4]
        assert titles(stock, "gentle song to put a baby to bed")[0] == TITLES[4]
        assert len(titles(stock, "anything", mode="semantic")) == len(TITLES)

    def test_words_find_what_has_them(self, stock: AudioLibrary) -> None:
        assert set(titles(stock, "drums", mode="keyword")) == {TITLES[3], TITLES[5]}
        assert titles(stock, '"heavy drums"', mode="keyword") == [TITLES[3]]
        assert titles(stock, "stringz", mode="keyword") == [TITLES[2]]
        assert titles(stock, "accordion", mode="keyword") == []

    def test_hybrid_is_the_default_and_knows_both(self, stock: AudioLibrary) -> None:
        hits = stock.search("stringz", explain=True)
        assert hits[0].clip.title == TITLES[2]
        assert hits[0].why is not None
        assert hits[0].why.matched == ("stringz -> strings",)

    def test_what_resembles_the_unwanted_comes_later(self, stock: AudioLibrary) -> None:
        """No clip has the word "infants"; one of them is about nothing else."""
        query = "a song at bedtime, no infants"
        assert titles(stock, query, mode="semantic")[0] == TITLES[4]
        assert titles(stock, query)[0] != TITLES[4]

    @pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
    def test_the_score_is_the_similarity(self, stock: AudioLibrary, mode: str) -> None:
        by_meaning = {
            hit.clip.id: hit.score for hit in stock.search("heavy drums", mode="semantic", limit=99)
        }
        hits = stock.search("heavy drums", mode=mode)
        assert hits
        for hit in hits:
            assert hit.score == pytest.approx(by_meaning[hit.clip.id], abs=1e-6)

    def test_reasons_only_when_asked_for(self, stock: AudioLibrary) -> None:
        assert all(hit.why is None for hit in stock.search("piano"))
        (why, *_) = [hit.why for hit in stock.search("piano", explain=True)]
        assert why is not None
        assert (why.keyword_rank, why.matched) == (1, ("piano",))

    def test_an_unknown_mode(self, stock: AudioLibrary) -> None:
        with pytest.raises(InvalidInputError, match="hybrid, semantic, keyword"):
            stock.search("piano", mode="psychic")


class TestCommand:
    def test_reasons_in_words(self, cli: Run, stock: AudioLibrary) -> None:
        result = cli("search", "calm piano", "--library", str(stock.path), "--explain", "-k", "2")
        _, first, why, _, other = result.stdout.splitlines()
        assert "calm piano" in first
        assert why.strip() == "meaning: 1st nearest (1.00); words: 'calm' and 'piano' match, 1st by words"
        assert "nearest" in other
        assert "words: none match" in other

    def test_reasons_in_json(self, cli: Run, stock: AudioLibrary) -> None:
        result = cli("search", "piano", "--library", str(stock.path), "--explain", "--json", "-k", "1")
        hit = json.loads(result.stdout)
        assert hit["why"]["matched"] == ["piano"]
        assert hit["why"]["semantic_rank"] == hit["why"]["keyword_rank"] == 1
        assert hit["why"]["similarity"] == pytest.approx(hit["score"])
        plain = json.loads(cli("search", "piano", "--library", str(stock.path), "--json", "-k", "1").stdout)
        assert "why" not in plain

    @pytest.mark.parametrize(
        ("why", "words"),
        [
            (
                Explanation(semantic_rank=2, similarity=0.431),
                "meaning: 2nd nearest (0.43); words: none match",
            ),
            (
                Explanation(keyword_rank=11, similarity=-0.02, matched=("a", "b", "c -> d"), bm25=1.0),
                "meaning: -0.02; words: 'a', 'b' and 'c -> d' match, 11th by words",
            ),
            (
                Explanation(similarity=0.2, fused=0.1, unwanted=("drums", "choir"), likeness=0.314),
                "meaning: not among the nearest (0.20); words: none match; has 'drums' and 'choir', not wanted; "
                "like what is not wanted: 0.31",
            ),
            (
                Explanation(semantic_rank=1, similarity=0.5, lacks=("drums",)),
                "meaning: 1st nearest (0.50); words: none match; says it has no 'drums'",
            ),
            (
                Explanation(keyword_rank=23, matched=("a",)),
                "meaning: not compared; words: 'a' matches, 23rd by words",
            ),
        ],
    )
    def test_every_reason_has_its_words(self, why: Explanation, words: str) -> None:
        assert reason(why) == words


class TestWithoutAnEmbedder:
    @pytest.fixture
    def deaf(self, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch) -> AudioLibrary:
        """A library on a machine without the package that brings the embedder."""
        monkeypatch.setattr("indexing.embed._PACKAGE", "no_package_of_this_name")
        for title in TITLES[:3]:
            put_clip(library.path, title, measured=True)
        library.index()
        return library

    def test_words_do_without(self, deaf: AudioLibrary, cli: Run) -> None:
        (hit,) = deaf.search("piano", mode="keyword", explain=True)
        assert (hit.clip.title, hit.score) == ("calm piano", None)
        result = cli("search", "piano", "--library", str(deaf.path), "--mode", "keyword")
        assert result.stdout.splitlines()[1].split()[:3] == ["–", "calm", "piano"]  # noqa: RUF001
        assert result.stderr == ""
        result = cli("search", "piano", "--library", str(deaf.path), "--mode", "keyword", "--json")
        assert json.loads(result.stdout)["score"] is None

    def test_hybrid_says_so_once(self, deaf: AudioLibrary, cli: Run) -> None:
        result = cli("search", "piano", "--library", str(deaf.path))
        assert result.exit_code == 0
        assert "calm piano" in result.stdout
        assert result.stderr.count("\n") == 1
        assert "Only the words themselves are searched for" in result.stderr
        assert "audiolib models pull sentence-transformers/all-MiniLM-L6-v2" in result.stderr

    def test_semantic_cannot(self, deaf: AudioLibrary, cli: Run) -> None:
        result = cli("search", "piano", "--library", str(deaf.path), "--mode", "semantic")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "audiolib models pull sentence-transformers/all-MiniLM-L6-v2" in result.stderr


class TestStaleRows:
    @pytest.fixture
    def clips(self, library: AudioLibrary) -> list[Clip]:
        """Six clips, indexed."""
        made = [put_clip(library.path, f"calm piano number {number}", measured=True) for number in range(6)]
        library.index()
        return made

    @pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
    def test_clips_that_are_gone_make_room_for_others(
        self, library: AudioLibrary, clips: list[Clip], mode: str
    ) -> None:
        for hit in library.search("calm piano", limit=3, mode=mode):
            hit.clip.path.with_suffix(".json").unlink()
        assert len(library.search("calm piano", limit=3, mode=mode)) == 3
        assert len(library.search("calm piano", limit=9, mode=mode)) == 3

    def test_clips_that_wait_are_mentioned(self, cli: Run, library: AudioLibrary, clips: list[Clip]) -> None:
        put_clip(library.path, "new")
        for mode in ("hybrid", "semantic", "keyword"):
            result = cli("search", "piano", "--library", str(library.path), "--mode", mode)
            assert result.stderr == "One clip is not searchable yet. `audiolib index` catches up.\n"
