"""ULIDs: 26 characters of time and chance that are unique and sort by when they were made.

Source: the ULID specification (github.com/ulid/spec): 48 bits of milliseconds and 80 random bits in
Crockford's base 32.
"""

import re
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final

# Up to the year 9983: what is later is no date that Python knows.
ID_PATTERN: Final = re.compile(r"(?:[0-6][0-9A-HJKMNP-TV-Z]|7[0-5])[0-9A-HJKMNP-TV-Z]{24}")
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS: Final = 80
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_lock = threading.Lock()
_latest = 0


def new_id() -> str:
    """Return a fresh id; ids of one process sort in the order they were made, also within a millisecond."""
    global _latest
    with _lock:
        fresh = (time.time_ns() // 1_000_000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        same_moment = fresh >> _RANDOM_BITS <= _latest >> _RANDOM_BITS  # or the clock was set back
        _latest = _latest + 1 if same_moment else fresh
        number = _latest
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def time_of(clip_id: str) -> datetime:
    """Return the moment in UTC that an id was made at, to the millisecond.

    Args:
        clip_id: A ULID.

    Raises:
        ValueError: It is none.
    """
    if not ID_PATTERN.fullmatch(clip_id):
        raise ValueError(f"{clip_id!r} is no ULID")
    milliseconds = 0
    for character in clip_id[:10]:
        milliseconds = milliseconds << 5 | _ALPHABET.index(character)
    return _EPOCH + timedelta(milliseconds=milliseconds)
