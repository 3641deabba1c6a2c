"""Reading queries and documents: phrases, what is not wanted, keys, tempos, typos; any text means something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexing.keywords import (
    Document,
    is_misspelt,
    read_words,
    spell_keys,
    spellings,
    stem,
    text_to_avoid,
    text_to_embed,
    tokens,
)


def test_words_and_phrases() -> None:
    words = read_words('"Brushed Drums" late \u201ccalm piano\u201d \u00abpluie douce\u00bb night')
    assert words.phrases == (("brushed", "drums"), ("calm", "piano"), ("pluie", "douce"))
    assert words.wanted == ("late", "night")
    assert text_to_embed('"brushed drums",  late') == '"brushed drums", late'
    assert text_to_embed('"brushed drums" late without vocals') == "brushed drums, late"


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("piano without drums", ("piano",), (("drums",),)),
        ("piano, no drums", ("piano",), (("drums",),)),
        ("piano with no drums", ("piano",), (("drums",),)),
        ("rock but not fast", ("rock",), (("fast",),)),
        ("not hopeful classical", ("classical",), (("hopeful",),)),
        ("strings without electric piano", ("strings",), (("electric", "piano"),)),
        ("jazz without drums or electric guitar", ("jazz",), (("drums",), ("electric", "guitar"))),
        ("piano without any drums and with strings", ("piano", "and", "with", "strings"), (("drums",),)),
        ("not only piano", ("not", "only", "piano"), ()),
        ("notebook nocturne", ("notebook", "nocturne"), ()),
    ],
)
def test_what_is_not_wanted(
    text: str, wanted: tuple[str, ...], unwanted: tuple[tuple[str, ...], ...]
) -> None:
    words = read_words(text)
    assert (words.wanted, words.unwanted) == (wanted, unwanted)
    assert text_to_embed(text) == " ".join(wanted)


def test_nothing_but_negations_is_taken_as_it_stands() -> None:
    assert read_words("no woman no cry").wanted == ("no", "woman", "cry")
    assert text_to_embed("no drums") == "no drums"


@pytest.mark.parametrize(
    "text", ['"', '""', "AND OR NOT (", "a:b^2~1*?[x TO y]", "-piano +jazz", "\\", "\0", "", "!!!"]
)
def test_syntax_is_harmless_text(text: str) -> None:
    words = read_words(text)
    assert not words.phrases
    assert words.wanted == tuple(dict.fromkeys(tokens(text)))


def test_keys_and_tempos_are_one_thing_each() -> None:
    words = read_words("cello in Bb minor 120 BPM")
    assert (words.keys, words.tempos, words.wanted) == ((("a", "sharp", "minor"),), (120,), ("cello", "in"))
    assert words.sought == (("a", "sharp", "minor"), ("cello",))
    assert spell_keys("a-minor, A\u266f major, e flat min") == "A minor, A sharp major, D sharp minor"
    assert spell_keys("a major, am, minority") == "A major, am, minority"


def test_a_minor_key_is_no_key_of_a_minor() -> None:
    assert read_words("waltz in a minor key").keys == ()
    assert read_words("a major scale, a minor").keys == (("a", "minor"),)
    assert read_words("waltz in the key of a minor").keys == (("a", "minor"),)
    assert spell_keys("A minor key, a minor mood") == "A minor key, a minor mood"


def test_what_to_avoid_is_a_text_of_its_own() -> None:
    assert text_to_avoid("piano without drums, not scary") == "drums, scary"
    assert text_to_avoid("piano") is None


def test_small_words_count_for_the_length() -> None:
    assert read_words("falling in love").length == 3
    assert read_words('"brushed drums" in A minor, 120 bpm').length == 5


def test_scripts_are_kept_and_accents_do_not_matter() -> None:
    assert tokens("ピアノの曲 हिन्दी Müde") == ["ピアノの曲", "हिन्दी", "müde"]
    assert stem("müde") == stem("MUDE".lower())
    assert Document("café").says(["cafe"])


@pytest.mark.parametrize(
    "pair", [("pianos", "piano"), ("running", "runs"), ("drumming", "drums"), ("stories", "story")]
)
def test_forms_of_a_word_meet(pair: tuple[str, str]) -> None:
    assert stem(pair[0]) == stem(pair[1])


def test_short_words_have_no_endings() -> None:
    """ "for" is in most documents, and a forest is not."""
    assert stem("forest") != stem("for")
    assert stem("rivers") == stem("river")


@pytest.mark.parametrize("typed", ["pian", "pianoo", "pixno", "paino", "xpiano", "ipano"])
def test_one_letter_is_a_typo(typed: str) -> None:
    assert is_misspelt(typed, "piano")
    assert is_misspelt("piano", typed)


@pytest.mark.parametrize("typed", ["piano", "pia", "paion", "xpianx", "onaip", ""])
def test_more_than_a_letter_is_another_word(typed: str) -> None:
    assert not is_misspelt(typed, "piano")


LETTERS = st.text("abcd", min_size=1, max_size=6)


@given(LETTERS, LETTERS)
def test_typos_go_both_ways(first: str, second: str) -> None:
    assert is_misspelt(first, second) == is_misspelt(second, first)


@given(LETTERS)
def test_spellings_are_a_letter_away(word: str) -> None:
    assert all(is_misspelt(word, other) for other in spellings(word))


@given(LETTERS, LETTERS)
def test_spellings_are_all_there_are(word: str, other: str) -> None:
    assert (other in spellings(word)) == is_misspelt(word, other)


def test_a_document_says_and_denies() -> None:
    document = Document("Calm piano, no drums\nwithout any electric guitar; beatless\nslow, 70 BPM, A# minor")
    assert document.says(["pianos"])
    assert document.says(["calm", "piano"])
    assert not document.says(["piano", "calm"])
    assert not document.says(["drums"])
    assert document.denies(["drum"])
    assert document.denies(["electric", "guitar"])
    assert document.denies(["beat"])
    assert not document.denies(["piano"])
    assert document.says(["a", "sharp", "minor"])
    assert not document.says(["a", "minor"])
    assert document.keeps(70) == 1
    assert 0 < document.keeps(72) < 1
    assert document.keeps(80) == 0


@given(st.text(max_size=80))
def test_any_text_is_read(text: str) -> None:
    words = read_words(text)
    assert words.length >= len(words.sought) + len(words.tempos)
    if tokens(text):
        assert tokens(words.plain)
    document = Document(text)
    assert all(document.says([word]) for word in document.words)


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("la la la la, sings the choir", 1.0),
        ("la la", 2 / 3),
        ("Tags: la. Lyrics: a song", 1 / 3),
        ("piano", 0.0),
    ],
)
def test_a_word_typed_three_times_is_there_in_part_where_it_stands_once(text: str, worth: float) -> None:
    words = read_words("la La LA piano")
    assert words.repeated == {"la": 3}
    assert words.wanted == ("la", "piano")
    assert Document(text).worth(("la",), words.repeated["la"]) == pytest.approx(worth)
