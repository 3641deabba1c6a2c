"""One thread at a time holds a turn; generators may begin it in one thread and end it in another."""

from __future__ import annotations

import threading
from collections.abc import Generator

from generation.turns import Turn


def counting(turn: Turn) -> Generator[int, None, None]:
    with turn.held():
        yield from range(3)


def test_another_thread_waits() -> None:
    turn, seen = Turn(), list[int]()
    mine = counting(turn)
    assert next(mine) == 0
    other = threading.Thread(target=lambda: seen.extend(counting(turn)))
    other.start()
    other.join(0.2)
    assert not seen
    assert list(mine) == [1, 2]
    other.join(10)
    assert seen == [0, 1, 2]


def test_the_same_thread_does_not_wait_for_itself() -> None:
    turn = Turn()
    assert list(zip(counting(turn), counting(turn), strict=True)) == [(0, 0), (1, 1), (2, 2)]


def test_another_thread_may_close_it() -> None:
    turn = Turn()
    mine = counting(turn)
    next(mine)
    closer = threading.Thread(target=mine.close)
    closer.start()
    closer.join(10)
    seen: list[int] = []
    other = threading.Thread(target=lambda: seen.extend(counting(turn)))
    other.start()
    other.join(10)
    assert seen == [0, 1, 2]
