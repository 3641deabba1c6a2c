"""Filters: the expression on a real table and the check of plain fields mean the same, whatever the values."""

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lancedb.index import LabelList

from indexing import facets
from indexing.conditions import resolved, text
from indexing.errors import InvalidQueryError
from indexing.filters import Filters, parse_bpm, parse_key, parse_loudness, parse_range
from indexing.moments import parse_since, parse_until

INJECTION = "x' OR '1'='1"
COLUMNS = {
    "id": pa.string(),
    "duration": pa.float64(),
    "tempo_bpm": pa.float64(),
    "key": pa.string(),
    "loudness_lufs": pa.float64(),
    "tag_text": pa.string(),
    "facets": pa.list_(pa.string()),
    "rating": pa.int32(),
    "model": pa.string(),
    "kind": pa.string(),
    "parent_id": pa.string(),
    "created_at": pa.string(),
    "has_speech": pa.bool_(),
}

# Values that meet each other often, and whatever else there may be.
AWKWARD = [
    "jazz",
    "Jazz",
    "JAZZ ",
    "a",
    "a/b",
    "b",
    INJECTION,
    "%",
    "_",
    "\\",
    '"',
    "`a`",
    "\n",
    "a\nb",
    "\0",
    "é",
    "e\u0301",
    "ß",
]
TEXTS = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
ASKED = TEXTS.filter(lambda text: bool(text.strip()))
NUMBERS = st.sampled_from([-0.0, 0.0, 1.0, 120.0, math.inf, -math.inf, 5e-324, 1e308]) | st.floats(
    allow_nan=False
)
STORED = st.none() | st.just(math.nan) | NUMBERS
RANGES = st.none() | st.tuples(NUMBERS, NUMBERS).map(lambda pair: (min(pair), max(pair)))
MOMENTS = st.datetimes(datetime(2026, 11, 20), datetime(2026, 11, 21)).map(
    lambda moment: moment.isoformat(timespec="milliseconds") + "Z"
)
KEYS = st.sampled_from(["A minor", "A# major", "Bb major"])

CLIPS = st.fixed_dictionaries(
    {
        "duration": NUMBERS,
        "tempo_bpm": STORED,
        "key": st.none() | KEYS,
        "loudness_lufs": STORED,
        "tags": st.lists(TEXTS, max_size=3),
        "rating": st.none() | st.integers(1, 5),
        "model": st.none() | TEXTS,
        "kind": TEXTS,
        "parent_id": st.none() | TEXTS,
        "created_at": MOMENTS,
        "has_speech": st.none() | st.booleans(),
    }
)
FILTERS = st.builds(
    Filters,
    min_duration=st.none() | st.just(0.0),
    bpm=RANGES,
    key=st.none() | KEYS,
    loudness=RANGES,
    tags=st.lists(ASKED, max_size=2).map(tuple),
    rating=st.none() | st.integers(-(2**40), 2**40) | st.integers(1, 5),
    model=st.none() | ASKED,
    kind=st.none() | ASKED,
    parent=st.none() | ASKED,
    since=st.none() | MOMENTS,
    until=st.none() | MOMENTS,
    has_speech=st.none() | st.booleans(),
)
ONE_CONDITION = st.sampled_from([name for name in Filters.__dataclass_fields__ if name != "max_duration"])


def find(folder: Path, clips: list[dict[str, Any]], filters: Filters) -> list[str]:
    """Ids by a real table, which finds the same row by row and by the index of facets."""

    def by_table() -> list[str]:
        query = table.search()
        if (where := resolved(filters.expression(), table)) is not None:
            query = query.where(where)
        return sorted(query.select(["id"]).to_arrow()["id"].to_pylist())

    rows = [
        {
            "id": str(i),
            **clip,
            "tag_text": facets.tag_text(clip["tags"]),
            "facets": facets.of_row(clip),
        }
        for i, clip in enumerate(clips)
    ]
    columns = pa.schema(COLUMNS)
    table = lancedb.connect(folder).create_table(
        "clips", pa.Table.from_pylist(rows[::2], columns), mode="overwrite"
    )
    if (where := filters.expression()) is not None and where.faceted:
        table.create_index("facets", config=LabelList())
        table.add(pa.Table.from_pylist(rows[1::2], columns))  # outside the index
        by_index = by_table()
        table.drop_index("facets_idx")
        found = by_table()
        assert by_index == found
        return found
    table.add(pa.Table.from_pylist(rows[1::2], columns))
    return by_table()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("filters")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(clips=st.lists(CLIPS, min_size=3, max_size=6), asked=FILTERS, name=ONE_CONDITION)
def test_expression_and_matches_agree(
    folder: Path, clips: list[dict[str, Any]], asked: Filters, name: str
) -> None:
    # All conditions together let hardly anything through, so each example also asks for one alone.
    for filters in (asked, Filters(**{name: getattr(asked, name)})):
        expected = [str(i) for i, clip in enumerate(clips) if filters.matches(clip)]
        assert find(folder, clips, filters) == expected


CLIP: dict[str, Any] = {
    "duration": 10.0,
    "tempo_bpm": 119.6,
    "key": "A# major",
    "loudness_lufs": -14.2,
    "tags": ["Jazz", "late night"],
    "rating": 4,
    "model": "facebook/musicgen-small",
    "kind": "generated",
    "parent_id": "01PARENT",
    "created_at": "2026-11-20T12:00:00.500Z",
    "has_speech": False,
}
MET: list[dict[str, Any]] = [
    {},
    {"min_duration": 10, "max_duration": 10},
    {"bpm": (100, 120)},
    {"bpm": parse_bpm("120")},
    {"key": "Bbmaj"},
    {"loudness": parse_loudness("-14")},
    {"tags": ("jazz",)},
    {"tags": ("LATE  NIGHT", "jazz")},
    {"rating": 4},
    {"model": "facebook/musicgen-small"},
    {"model": "musicgen-small"},
    {"kind": "generated"},
    {"parent": "01PARENT"},
    {"since": "2026-11-20T12:00:00.5Z", "until": "2026-11-20T12:00:00Z"},
    {"since": "2026-11", "until": "2026-11"},
    {"has_speech": False},
]
MISSED: list[dict[str, Any]] = [
    {"min_duration": 10.1},
    {"max_duration": 9.9},
    {"bpm": (120, math.inf)},
    {"key": "A# minor"},
    {"loudness": (-14, 0)},
    {"tags": ("jaz",)},
    {"tags": ("late",)},
    {"tags": ("jazz", "rock")},
    {"rating": 5},
    {"model": "small"},
    {"model": "musicgen"},
    {"kind": "imported"},
    {"parent": "01parent"},
    {"since": "2026-11-20T12:00:01Z"},
    {"until": "2026-11-20T11:59Z"},
    {"has_speech": True},
    {"kind": INJECTION},
    {"model": INJECTION},
    {"tags": (INJECTION,)},
    {"parent": INJECTION},
]


@pytest.mark.parametrize("asked", MET)
def test_a_clip_that_is_so_is_found(folder: Path, asked: dict[str, Any]) -> None:
    assert Filters(**asked).matches(CLIP)
    assert find(folder, [CLIP], Filters(**asked)) == ["0"]


@pytest.mark.parametrize("asked", MISSED)
def test_a_clip_that_is_otherwise_is_not(folder: Path, asked: dict[str, Any]) -> None:
    assert not Filters(**asked).matches(CLIP)
    assert find(folder, [CLIP], Filters(**asked)) == []


@pytest.mark.parametrize("asked", [*MET[1:], {"has_speech": True}])
def test_what_is_unknown_meets_no_condition(folder: Path, asked: dict[str, Any]) -> None:
    unknown: dict[str, Any] = dict.fromkeys(CLIP) | {"tags": []}
    assert not Filters(**asked).matches(unknown)
    assert not Filters(**asked).matches({})
    assert find(folder, [unknown], Filters(**asked)) == []


def test_a_quote_is_a_value_like_any_other(folder: Path) -> None:
    clips = [CLIP | {"tags": [INJECTION], "model": INJECTION}, CLIP]
    assert find(folder, clips, Filters(tags=(INJECTION,), model=INJECTION)) == ["0"]


def test_no_condition_is_false() -> None:
    assert not Filters()
    assert Filters(has_speech=False)
    assert Filters().expression() is None


@pytest.mark.parametrize(
    "asked",
    [
        {"bpm": (120.0, 80.0)},
        {"loudness": (math.nan, 0.0)},
        {"min_duration": 5, "max_duration": 1},
        {"tags": ("",)},
        {"model": " "},
        {"kind": "\ud800"},
        {"key": "H"},
        {"since": "tomorrow"},
        {"rating": math.nan},
    ],
)
def test_nonsense_is_refused_in_a_sentence(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidQueryError, match=r"^[A-Z'].*\.$"):
        Filters(**asked)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80-120", (80, 120)),
        (" 80 \N{EN DASH} 120 ", (80, 120)),
        ("80..120", (80, 120)),
        ("80 to 120.5", (80, 120.5)),
        ("120", (120, 120)),
        ("-120", (-math.inf, 120)),
        ("80-", (80, math.inf)),
    ],
)
def test_ranges(text: str, expected: tuple[float, float]) -> None:
    assert parse_range(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-20--14", (-20, -14)),
        ("-20..-14", (-20, -14)),
        ("-20 to -14", (-20, -14)),
        ("-14", (-14.5, -13.5)),
        ("\u221214", (-14.5, -13.5)),
        ("-20..", (-20, math.inf)),
        ("..-14", (-math.inf, -14)),
    ],
)
def test_loudness_has_a_sign(text: str, expected: tuple[float, float]) -> None:
    assert parse_loudness(text) == expected


def test_a_single_tempo_reaches_as_far_as_it_is_measured() -> None:
    assert parse_bpm("120") == (120 * 0.98, 120 * 1.02)
    assert parse_bpm("120-120.5") == (120, 120.5)


@pytest.mark.parametrize(
    "text", ["", "-", "..", "fast", "1e5", "nan", "inf", "80-100-120", "80 120", "120-80", "\0"]
)
def test_no_range(text: str) -> None:
    with pytest.raises(InvalidQueryError):
        parse_range(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A minor", "A minor"),
        ("Am", "A minor"),
        ("a MIN", "A minor"),
        ("am", "A minor"),
        ("AM", "A major"),
        ("a", "A major"),
        ("f# MAJ", "F# major"),
        ("Bb major", "A# major"),
        ("A# major", "A# major"),
        ("B♭", "A# major"),
        ("e♭m", "D# minor"),
        ("F\N{MUSIC SHARP SIGN} minor", "F# minor"),
        ("b flat minor", "A# minor"),
        ("F-sharp Minor", "F# minor"),
        ("Cb", "B major"),
        ("B#m", "C minor"),
        ("bb", "A# major"),
        ("bm", "B minor"),
    ],
)
def test_keys(text: str, expected: str) -> None:
    assert parse_key(text) == expected
    assert parse_key(expected) == expected


@pytest.mark.parametrize("text", ["", "H", "A#b", "A minority", "minor", "Amm", "A minor\0", "ABC"])
def test_no_key(text: str) -> None:
    with pytest.raises(InvalidQueryError):
        parse_key(text)


@given(st.text(max_size=12))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    for read in (parse_range, parse_bpm, parse_loudness, parse_key, parse_since, parse_until):
        try:
            read(text)
        except InvalidQueryError as error:
            assert str(error).isprintable()  # noqa: PT017


@pytest.mark.parametrize(
    "asked",
    [
        {"min_duration": math.nan},
        {"bpm": (80, math.nan)},
        {"rating": math.nan},
        {"rating": 10**400},
        {"max_duration": 10**400},
        {"loudness": ("quiet", "loud")},
    ],
)
def test_what_is_no_number(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidQueryError, match="no number"):
        Filters(**asked)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(clips=st.lists(CLIPS, min_size=8, max_size=20))
def test_facets_of_earlier_tables_are_the_same(folder: Path, clips: list[dict[str, Any]]) -> None:
    rows = [{**clip, "tag_text": facets.tag_text(clip["tags"])} for clip in clips]
    columns = {name: kind for name, kind in COLUMNS.items() if name not in ("id", "facets")}
    earlier = pa.Table.from_pylist(rows, pa.schema(columns))
    table = lancedb.connect(folder).create_table("earlier", earlier, mode="overwrite")
    table.add_columns({"facets": facets.sql()})
    stored = table.to_arrow()["facets"].to_pylist()
    assert [set(some) for some in stored] == [set(facets.of_row(clip)) for clip in clips]
    assert all(len(some) == len(set(some)) for some in stored)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    values=st.lists(st.text("'\\\"x\n;-", max_size=5), min_size=1, max_size=20, unique=True),
    asked=st.text("'\\x", max_size=4),
)
def test_a_text_stays_what_it_is_also_in_sql(folder: Path, values: list[str], asked: str) -> None:
    from lancedb.expr import col

    table = lancedb.connect(folder).create_table("texts", pa.table({"value": values}), mode="overwrite")
    for value in (values[0], asked):
        where = col("value") == text(value)
        for way in (where, where.to_sql()):
            found = table.search().where(way).to_arrow()["value"].to_pylist()
            assert found == [value] * (value in values)
