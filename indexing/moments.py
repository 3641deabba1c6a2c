"""Moments as people type them: a month, a day, some days ago, or ISO 8601."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Final

from indexing.errors import InvalidQueryError

_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_AGO = re.compile(r"(\d{1,5})\s*([hdw])")
_YEAR = re.compile(r"(\d{4})")
_MONTH = re.compile(r"(\d{4})-(\d{1,2})")
_DAY = re.compile(r"(\d{4})(?:-(?=.*-)|(?=\d{4}$))(\d{1,2})-?(\d{1,2})")
_MILLISECOND: Final = timedelta(milliseconds=1)


def parse_since(text: str, *, now: datetime | None = None) -> str:
    """Reads the first moment that counts: the beginning of the month, the day, the second that is named.

    `2026`, `2026-11`, `2026-11-20`, `7d` (also `12h`, `2w`: so long ago), `2026-11-20 14:30`, full ISO 8601 with a
    zone. Without a zone it is the computer's own.

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
            return _between(datetime(int(found[1]), 1, 1), datetime(int(found[1]) + 1, 1, 1))
        if found := _MONTH.fullmatch(plain):
            year, month = int(found[1]), int(found[2])
            return _between(datetime(year, month, 1), datetime(year + month // 12, month % 12 + 1, 1))
        if found := _DAY.fullmatch(plain):
            day = datetime(int(found[1]), int(found[2]), int(found[3]))
            return _between(day, day + timedelta(days=1))
        moment = datetime.fromisoformat(plain)
        length = _MILLISECOND if moment.microsecond else _precision(plain)
        return _between(moment, moment + length)
    except (ValueError, OverflowError) as error:
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:60])
        raise InvalidQueryError(
            f"'{shown}' is no date. Write it like 2026-11, 2026-11-20, 7d (seven days ago) or 2026-11-20T14:30Z."
        ) from error


def _precision(plain: str) -> timedelta:
    clock = plain.replace("T", " ").partition(" ")[2]
    if "." in clock or "," in clock:
        return _MILLISECOND
    return timedelta(seconds=1) if re.match(r"\d\d:?\d\d:?\d\d", clock) else timedelta(minutes=1)


def _between(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    # `astimezone` takes a moment without a zone for the computer's own time.
    return start.astimezone(UTC), end.astimezone(UTC) - _MILLISECOND


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
