"""Moments as people type them: a month, a day, some days ago, or ISO 8601."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Final

from indexing.errors import InvalidQueryError

_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_AGO = re.compile(r"(\d{1,6})\s*([mhdw])")
_YEAR = re.compile(r"(\d{4})")
_MONTH = re.compile(r"(\d{4})-(\d{1,2})")
_DAY = re.compile(r"(\d{4})(?:-(?=.*-)|(?=\d{4}$))(\d{1,2})-?(\d{1,2})")
_WEEK = re.compile(r"(\d{4})-?[Ww](\d{2})(?:-?(\d))?")
_MILLISECOND: Final = timedelta(milliseconds=1)
# What a computer knows of time; one millisecond is left for what comes after the last moment.
_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, 998_000, tzinfo=UTC)


def parse_since(text: str, *, now: datetime | None = None) -> str:
    """Reads the first moment that counts: the beginning of the month, the day, the second that is named.

    `2026`, `2026-11`, `2026-11-20`, `2026-W47`, `7d` (also `45m`, `12h`, `2w`: so long ago), `2026-11-20 14:30`, full
    ISO 8601 with a zone. Without a zone it is the computer's own.

    Returns:
        ISO 8601 in UTC with milliseconds, like `2026-11-20T00:00:00.000Z`.

    Raises:
        InvalidQueryError: It is no date.
    """
    return _text(_span(text, now)[0])


def parse_until(text: str, *, now: datetime | None = None) -> str:
    """Reads the last moment that counts: the end of the month, the day, the second that is named.

    Returns:
        ISO 8601 in UTC with milliseconds, like `2026-11-20T23:59:59.999Z`.

    Raises:
        InvalidQueryError: It is no date.
    """
    return _text(_span(text, now)[1])


def _span(text: str, now: datetime | None) -> tuple[datetime, datetime]:
    """The first and the last moment of what is named, aware, in UTC."""
    plain = unicodedata.normalize("NFKC", text).strip()
    try:
        if found := _AGO.fullmatch(plain.casefold()):
            moment = (now or datetime.now(UTC)) - int(found[1]) * _UNITS[found[2]]
            return moment.astimezone(UTC), moment.astimezone(UTC)
        if found := _YEAR.fullmatch(plain):
            return _between(datetime(int(found[1]), 1, 1), months=12)
        if found := _MONTH.fullmatch(plain):
            return _between(datetime(int(found[1]), int(found[2]), 1), months=1)
        if found := _DAY.fullmatch(plain):
            return _between(datetime(int(found[1]), int(found[2]), int(found[3])), timedelta(days=1))
        if found := _WEEK.fullmatch(plain):
            start = datetime.fromisocalendar(int(found[1]), int(found[2]), int(found[3] or 1))
            return _between(start, timedelta(days=1 if found[3] else 7))
        moment = datetime.fromisoformat(plain)
        return _between(moment, _MILLISECOND if moment.microsecond else _precision(plain))
    except (ValueError, OverflowError) as error:
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:60])
        raise InvalidQueryError(
            f"'{shown}' is no date. Write it like 2026-11, 2026-11-20, 7d (seven days ago) or 2026-11-20T14:30Z."
        ) from error


def _precision(plain: str) -> timedelta:
    clock = plain.replace("T", " ").partition(" ")[2]
    if "." in clock or "," in clock:
        return _MILLISECOND
    if re.match(r"\d\d:?\d\d:?\d\d", clock):
        return timedelta(seconds=1)
    return timedelta(minutes=1) if re.match(r"\d\d:?\d\d", clock) else timedelta(hours=1)


def _between(
    start: datetime, length: timedelta = timedelta(), *, months: int = 0
) -> tuple[datetime, datetime]:
    """From a moment on, for so long: the first moment and the last."""
    try:
        year, month = divmod(start.month - 1 + months, 12)
        after = start.replace(year=start.year + year, month=month + 1) + length
    except (OverflowError, ValueError):
        after = _LAST.replace(tzinfo=start.tzinfo)
    return _in_utc(start), max(_in_utc(after), _FIRST + _MILLISECOND) - _MILLISECOND


def _in_utc(moment: datetime) -> datetime:
    try:
        # `astimezone` takes a moment without a zone for the computer's own time.
        return min(moment.astimezone(UTC), _LAST)
    except (OverflowError, ValueError):
        return _FIRST if moment.year == 1 else _LAST


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
