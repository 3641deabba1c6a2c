"""Numbers and moments in buckets: a range is some whole buckets, and what is left of those at its ends.

An index that keeps values in their order finds a range row by row, 20 ns each. One that keeps a set of rows for each
bucket joins whole sets: 2 ms for most of a million rows instead of 20.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

Value = TypeVar("Value", float, "str | None")

MOMENT: Final = "created_at"
# Slots in a larger bucket; even, so that each but the last ends with an edge.
_GROUPED: Final = 16
_DATE: Final = "date:"
# How much of `2026-11-20T14:30:00.000Z` names a decade, a year, a month, a day, an hour.
_PARTS: Final = (3, 4, 7, 10, 13)
# Buckets are asked for from the first to before the second; clips are seldom older or newer.
_FIRST_YEAR, _LAST_YEAR = datetime(1970, 1, 1), datetime(2100, 1, 1)
_ALMOST_AN_HOUR: Final = timedelta(hours=1) - timedelta.resolution
_BEGINNING: Final = "0000-01-01T00:00:00.000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover(Generic[Value]):
    """A range in buckets.

    Attributes:
        buckets: Those that lie within it wholly.
        rest: The parts of it that are not whole buckets.
    """

    buckets: tuple[str, ...]
    rest: tuple[tuple[Value, Value], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A column of numbers in buckets.

    Every edge has a bucket of its own, because many clips are exactly ten seconds long, and so has whatever lies
    between two edges, below the first and above the last. Each sixteen of these are a larger bucket, so that a wide
    range is few of them.

    Attributes:
        column: The column.
        edges: Ascending, in the column's unit.
    """

    column: str
    edges: tuple[float, ...]

    def of(self, value: float | None) -> list[str]:
        """The buckets of a value, the smaller first; unknown ones and those that are no numbers have none."""
        if value is None or math.isnan(value):
            return []
        slot = self._slot(value)
        return [self._name(slot), self._group(slot)]

    def sql(self) -> tuple[str, str]:
        """The same as SQL expressions over the column; null for values without."""
        slots = [
            (f"{sign} {edge!r}", self._name(2 * at + (sign == "=")))
            for at, edge in enumerate(self.edges)
            for sign in ("<", "=")
        ]
        last_edges = self.edges[_GROUPED // 2 - 1 :: _GROUPED // 2]
        groups = [(f"<= {edge!r}", self._group(at * _GROUPED)) for at, edge in enumerate(last_edges)]
        top = 2 * len(self.edges)
        return self._case(slots, self._name(top)), self._case(groups, self._group(top))

    def cover(self, low: float, high: float) -> Cover[float]:
        """The numbers from `low` to `high`, both included and maybe infinite; the parts left include their ends."""
        whole, rest = [], []
        slot, last = self._slot(low), self._slot(high)
        while slot <= last:
            least, most = self._bounds(slot)
            following = min(slot + _GROUPED, 2 * len(self.edges) + 1)
            if slot % _GROUPED == 0 and low <= least and self._bounds(following - 1)[1] <= high:
                whole.append(self._group(slot))
                slot = following
                continue
            if low <= least and most <= high:
                whole.append(self._name(slot))
            else:
                rest.append((max(low, least), min(high, most)))
            slot += 1
        return Cover(buckets=tuple(whole), rest=tuple(rest))

    def _slot(self, value: float) -> int:
        """Odd for an edge, even for what lies between two."""
        after = bisect_left(self.edges, value)
        return 2 * after + (after < len(self.edges) and self.edges[after] == value)

    def _bounds(self, slot: int) -> tuple[float, float]:
        """The least and the greatest number in a slot."""
        at = slot // 2
        if slot % 2:
            return self.edges[at], self.edges[at]
        least = math.nextafter(self.edges[at - 1], math.inf) if at else -math.inf
        return least, math.nextafter(self.edges[at], -math.inf) if at < len(self.edges) else math.inf

    def _name(self, slot: int) -> str:
        at = slot // 2
        if slot % 2:
            return f"{self.column}:{self.edges[at]:g}"
        return f"{self.column}:{self.edges[at - 1]:g}+" if at else f"{self.column}:-"

    def _group(self, slot: int) -> str:
        return f"{self.column}#{slot // _GROUPED}"

    def _case(self, tests: Sequence[tuple[str, str]], otherwise: str) -> str:
        cases = " ".join(f"WHEN {self.column} {test} THEN '{name}'" for test, name in tests)
        known = f"CASE {cases} ELSE '{otherwise}' END"
        return f"CASE WHEN {self.column} IS NULL OR isnan({self.column}) THEN NULL ELSE {known} END"


def _steps(start: float, *parts: tuple[float, float]) -> tuple[float, ...]:
    """Edges from `start` on, by steps and how far each goes."""
    edges = [float(start)]
    for step, stop in parts:
        while edges[-1] < stop:
            edges.append(edges[-1] + step)
    return tuple(edges)


# About what people ask for in round numbers; finer the more clips there are.
SCALES: Final = {
    scale.column: scale
    for scale in (
        Scale(
            column="duration", edges=_steps(0, (1, 30), (5, 120), (30, 600), (300, 3_600), (3_600, 36_000))
        ),
        Scale(column="tempo_bpm", edges=_steps(40, (5, 240))),
        Scale(column="loudness_lufs", edges=_steps(-60, (0.5, 0))),
    )
}


def of_moment(created: str | None) -> list[str]:
    """The buckets of a moment in ISO 8601: from its decade down to its hour; none of an unknown one."""
    return [] if created is None else [_DATE + created[:part] for part in _PARTS]


MOMENT_SQL: Final = tuple(f"'{_DATE}' || substr({MOMENT}, 1, {part})" for part in _PARTS)
"""What `of_moment` gives, as SQL expressions over the column."""


def cover_moments(since: str | None, before: str | None) -> Cover[str | None]:
    """The moments from one on and before another.

    Args:
        since: ISO 8601 with milliseconds, without a zone; None is the beginning of time.
        before: Likewise; None is its end.

    Returns:
        Whole decades, years, months, days and hours, and the parts left, each from its beginning on and before its end.
    """
    start = _FIRST_YEAR if since is None else max(_FIRST_YEAR, datetime.fromisoformat(since))
    stop = _LAST_YEAR if before is None else min(_LAST_YEAR, datetime.fromisoformat(before))
    stop = _hour(stop)
    if start < stop:
        start = _hour(start + _ALMOST_AN_HOUR)
    if start >= stop:
        return Cover(buckets=(), rest=((since, before),))
    ends = ((since, _text(start)), (_text(stop), before))
    rest = tuple((low, high) for low, high in ends if low != high)
    return Cover(buckets=tuple(_between(start, stop)), rest=rest)


def _between(start: datetime, stop: datetime) -> Iterator[str]:
    """The greatest buckets first that fit; both ends are whole hours."""
    while start < stop:
        following = ((part, _following(start, part)) for part in _PARTS)
        part, start_after = next((p, after) for p, after in following if after is not None and after <= stop)
        yield _DATE + _text(start)[:part]
        start = start_after


def _following(moment: datetime, part: int) -> datetime | None:
    """Where the decade, year, month, day or hour ends that begins at a moment; None where none does."""
    if _text(moment)[part:] != _BEGINNING[part:]:
        return None
    if part < 7:
        return moment.replace(year=moment.year + (10 if part == 3 else 1))
    if part == 7:
        return moment.replace(year=moment.year + moment.month // 12, month=moment.month % 12 + 1)
    return moment + (timedelta(days=1) if part == 10 else timedelta(hours=1))


def _hour(moment: datetime) -> datetime:
    """The beginning of a moment's hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
