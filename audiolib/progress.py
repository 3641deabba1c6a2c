"""How far the making of clips is, told to whoever wants to know."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from audiolib.requests import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipProgress:
    """How far generation is: clip `number` of `clips`, `done` of `total` decoder steps.

    Where several clips are made together, `number` is the first of them and `together` how many they are.
    """

    prompt: str
    number: int
    clips: int
    done: int
    total: int
    together: int = 1


OnProgress = Callable[[ClipProgress], None]
OnFailure = Callable[[int, Exception], None]
"""Called with the number of a request, from 0, and what went wrong with it."""


def reporter(
    progress: OnProgress | None, prompt: str, number: int, clips: int, *, together: int = 1
) -> Progress | None:
    """Return one clip's progress as part of all of them.

    Args:
        progress: Who wants to know.
        prompt: The clip's words.
        number: Which clip it is, from 1.
        clips: How many there are.
        together: How many are made at once.
    """
    if progress is None:
        return None
    return lambda done, total: progress(
        ClipProgress(prompt=prompt, number=number, clips=clips, done=done, total=total, together=together)
    )


def shifted(progress: OnProgress | None, before: int, clips: int) -> OnProgress | None:
    """Return the progress of some clips as a part of all that were asked for.

    Args:
        progress: Who wants to know.
        before: How many clips come before these.
        clips: How many there are in all.
    """
    if progress is None:
        return None
    return lambda at: progress(replace(at, number=at.number + before, clips=clips))
