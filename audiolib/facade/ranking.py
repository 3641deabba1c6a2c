"""The best of several clips for one prompt; the others are not stored."""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from audiolib.batches import make_all, reason_of
from audiolib.composer import MadeAudio
from audiolib.errors import InvalidInputError
from audiolib.facade.base import LibraryBase
from audiolib.outputs import Destination
from audiolib.progress import OnProgress
from audiolib.ranking import ClapJudge, DescriptorJudge, Judge, RankBy, Shortlist, Take, Wishes
from audiolib.requests import GenerationOptions, GenerationRequest, fresh_seed

if TYPE_CHECKING:
    import numpy as np

_log = logging.getLogger(__name__)


class Ranking(LibraryBase):
    """Several takes, of which the best stay."""

    def generate_best(
        self,
        prompt: str,
        *,
        count: int = 8,
        keep: int = 1,
        rank_by: RankBy | None = None,
        want: Wishes | None = None,
        index: bool = True,
        destination: Destination | None = None,
        progress: OnProgress | None = None,
        **options: Unpack[GenerationOptions],
    ) -> list[Take]:
        """Make several clips and store the best; nothing of the others remains.

        Args:
            prompt: The words to make music from.
            count: How many are made, their seeds counting up.
            keep: How many are stored.
            rank_by: `clap`, by the words of the prompt as a CLAP model hears the sound; `descriptor`, by `want`.
                `descriptor` where something is wanted and this is `None`, else `clap`.
            want: Like `bpm=120, key=C major`; see `audiolib.ranking.nearness`.
            index: Make those that are stored searchable at once.
            destination: They are written there as plain files instead, with no library at all.
            progress: Called after every step.
            **options: As for `generate`.

        Returns:
            All takes, the best first; those that were kept have a clip.

        Raises:
            InvalidInputError: Something that was asked for makes no sense; nothing was made.
            EmbedderUnavailableError: No CLAP model is on this machine; nothing was made.
            GenerationError: Fewer could be made than are to be kept; nothing was stored.
            OSError: A clip could not be stored.
        """
        if not 1 <= keep <= count:
            raise InvalidInputError(
                f"{keep} of {count} clips cannot be kept. Keep at least 1 and at most all."
            )
        base = GenerationRequest(prompt=prompt, **options)
        seed = fresh_seed() if base.seed is None else base.seed
        requests = self._studio.check_all([replace(base, seed=seed + number) for number in range(count)])
        judge = self._judge(requests[0], rank_by, want)
        if destination is None:
            self._studio.prepare_to_store()
        else:
            destination.check()
        shortlist, takes, failures = Shortlist(keep), dict[int, Take](), list[Exception]()
        for number, made in make_all(
            self._composer, requests, progress=progress, failed=lambda _, error: failures.append(error)
        ):
            score = judge.score(_finished(made), made.sampling_rate)
            takes[number] = Take(prompt=requests[number].prompt, seed=made.recipe.seed, score=score)
            shortlist.offer(number, score.value, made)
        if len(takes) < keep:
            raise failures[0]
        for error in failures:
            _log.warning("One of %d clips could not be made: %s", count, reason_of(error))
        for stored, (number, made) in enumerate(shortlist.ranked()):
            try:
                if destination is None:
                    clip = self._studio.store(made, requests[number], index=index)
                else:
                    clip = self._studio.write(made, requests[number], destination)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"{stored} of {keep} clips are stored." if stored else "") from None
            takes[number] = replace(takes[number], clip=clip)
        return sorted(takes.values(), key=lambda take: (take.clip is None, -take.score.value))

    def _judge(self, request: GenerationRequest, rank_by: RankBy | None, want: Wishes | None) -> Judge:
        by = rank_by or ("clap" if want is None else "descriptor")
        if by == "descriptor":
            if want is None:
                raise InvalidInputError(
                    "To rank by descriptors, say what is wanted, like 'bpm=120, key=C major'."
                )
            return DescriptorJudge(want)
        if want is not None:
            raise InvalidInputError(
                "What is wanted counts where clips are ranked by descriptor, not by CLAP."
            )
        from generation.checkpoints import models_dirs
        from indexing.clap import load_clap

        return ClapJudge(load_clap(None, models_dirs()), request.prompt)


def _finished(made: MadeAudio) -> "np.ndarray":
    """The sound as it will be stored, for that is what is heard."""
    from generation.finish import finish_sound
    from indexing.loudness import integrated_loudness

    return finish_sound(made.audio, made.sampling_rate, made.recipe.finish, meter=integrated_loudness).audio
