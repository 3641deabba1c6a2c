"""Clips that are made together: which requests can share a batch, and what happens where one fails."""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final

from audiolib.composer import Composer, Hear, MadeAudio
from audiolib.errors import AudiolibError, LibraryError, describe
from audiolib.progress import OnFailure, OnProgress, reporter
from audiolib.requests import GenerationRequest

_ITS_OWN: Final = frozenset(
    ("prompt", "seed", "tags", "audio_format", "sample_rate", "sample_format", "finish", "parent_id")
)
"""What clips of one batch may differ in: it is no business of the decoder's, or each row's own."""

_DISK: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES))
"""What the system says of a disk that takes no other clip either."""


def sharing(request: GenerationRequest) -> tuple[object, ...] | None:
    """Return what a request must have in common with another to share a batch with it; `None` where it shares none.

    Args:
        request: What is wanted; checked already.
    """
    alone = request.conditioned or request.batch_size != 1 or not isinstance(request.model, str | None)
    if alone:
        return None
    return tuple(getattr(request, field.name) for field in fields(request) if field.name not in _ITS_OWN)


def runs(requests: Sequence[GenerationRequest]) -> Iterator[list[int]]:
    """Cut requests into runs of neighbours that can share batches, by their numbers.

    Args:
        requests: What is wanted; checked already.
    """
    run: list[int] = []
    common: tuple[object, ...] | None = None
    for number, request in enumerate(requests):
        needs = sharing(request)
        if run and (needs is None or needs != common):
            yield run
            run = []
        run.append(number)
        common = needs
    if run:
        yield run


def by_batch(requests: Sequence[GenerationRequest]) -> list[int]:
    """Return the numbers of requests in an order in which those that can share a batch are neighbours.

    Args:
        requests: What is wanted; checked already.
    """
    first: dict[object, int] = {}
    places = []
    for number, request in enumerate(requests):
        # One model after the other, for only one is in memory at a time.
        model = first.setdefault((request.model, request.dtype, request.bits), number)
        places.append((model, first.setdefault(sharing(request) or number, number), number))
    return [number for *_, number in sorted(places)]


def concerns_one_clip(error: Exception) -> bool:
    """Return whether others may be made where this one failed: not on a full disk, nor in a library that is broken.

    Args:
        error: What making or storing a clip raised.
    """
    from generation.errors import GenerationError

    # What MLX raises of its own, as where memory is not enough, is a RuntimeError.
    kinds = (GenerationError, AudiolibError, MemoryError, RuntimeError)
    cause = error.__cause__  # of an `AudioError`, where the audio cannot be written
    if isinstance(cause, OSError) and cause.errno in _DISK:
        return False
    return isinstance(error, kinds) and not isinstance(error, LibraryError)


def reason_of(error: Exception) -> str:
    """Return in a sentence why a clip failed.

    Args:
        error: What making or storing it raised.
    """
    failure = describe(error)
    return failure.message if failure else f"{type(error).__name__}: {error}"


def make_all(
    composer: Composer,
    checked: Sequence[GenerationRequest],
    *,
    progress: OnProgress | None = None,
    failed: OnFailure | None = None,
    hear: Hear | None = None,
) -> Iterator[tuple[int, MadeAudio]]:
    """Make the sound of clips, neighbours that can share a batch together; each with its request's number, from 0.

    Args:
        composer: Makes the sound.
        checked: What to make, from `Studio.check_all`.
        progress: Called after every step.
        failed: Called for a clip that cannot be made, and the others are; else its error is raised.
        hear: Called with pieces of the sound while it is made, one clip after the other.

    Raises:
        GenerationError: A clip could not be made.
    """
    for run in runs(checked):
        try:
            alone = len(run) == 1 or hear is not None
            limit = 1 if alone else composer.batch_limit(checked[run[0]])
        except Exception as error:  # a model that cannot be loaded fails all of its clips
            if failed is None or not concerns_one_clip(error):
                raise
            for number in run:
                failed(number, error)
            continue
        for start in range(0, len(run), limit):
            batch = _Batch(composer=composer, checked=checked, progress=progress, failed=failed, hear=hear)
            yield from batch.made(run[start : start + limit])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Clips that are made together; the fields are the arguments of `make_all`."""

    composer: Composer
    checked: Sequence[GenerationRequest]
    progress: OnProgress | None
    failed: OnFailure | None
    hear: Hear | None

    def made(self, numbers: Sequence[int]) -> Iterator[tuple[int, MadeAudio]]:
        """Make them. A batch that fails is cut in two, until the clip that fails is alone or memory is enough."""
        try:
            made = self._composed(numbers)
        except Exception as error:
            alone = len(numbers) == 1
            if not concerns_one_clip(error) or (alone and self.failed is None):
                raise
            if alone and self.failed is not None:
                self.failed(numbers[0], error)
                return
            made = []
        yield from zip(numbers, made, strict=False)
        if not made:
            middle = len(numbers) // 2
            for half in (numbers[:middle], numbers[middle:]):
                yield from self.made(half)

    def _composed(self, numbers: Sequence[int]) -> list[MadeAudio]:
        requests = [self.checked[number] for number in numbers]
        report = reporter(
            self.progress, requests[0].prompt, numbers[0] + 1, len(self.checked), together=len(numbers)
        )
        if len(requests) == 1:
            return [self.composer.compose(requests[0], progress=report, hear=self.hear)]
        return self.composer.compose_batch(requests, progress=report)
