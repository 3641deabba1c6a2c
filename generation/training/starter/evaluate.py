"""Does a model do what prompts say? Held-out pairs of prompts, ordered by what is heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from generation.errors import InvalidRequestError
from generation.training.starter import measure
from generation.training.starter.attributes import PieceAttributes, choose_attributes, surprising_drums
from generation.training.starter.instruments import SAMPLING_RATE, Samples
from generation.training.starter.prompts import BRIGHTNESS, DRUMS, PACE, PAIRS, Prompt, PromptPair
from generation.training.starter.render import render_piece

MEASURES: dict[str, Callable[[Samples, int], float]] = {
    PACE: measure.onset_rate,
    BRIGHTNESS: measure.spectral_centroid,
    DRUMS: measure.percussive_share,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """What was measured of one pair; `right` if the first prompt's clip measures higher."""

    pair: PromptPair
    higher: float
    lower: float

    @property
    def right(self) -> bool:
        """Whether the order is as the words say."""
        return self.higher > self.lower


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Results of all pairs."""

    results: tuple[PairResult, ...]

    def share(self, measured: str) -> float:
        """Share of the pairs of one measure that are ordered rightly, 0 to 1."""
        rows = [result.right for result in self.results if result.pair.measure == measured]
        return sum(rows) / len(rows) if rows else 0.0

    @property
    def shares(self) -> dict[str, float]:
        """Share ordered rightly of every measure that was evaluated."""
        return {name: self.share(name) for name in dict.fromkeys(row.pair.measure for row in self.results)}


def evaluate(
    generate: Callable[[str], Samples],
    *,
    pairs: Sequence[PromptPair] = PAIRS,
    sampling_rate: int = SAMPLING_RATE,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Generate both clips of every pair and compare them.

    Args:
        generate: makes `(samples,)` audio of a prompt.
        pairs: the prompts; all sixty by default.
        sampling_rate: of the audio, in Hz.
        progress: called with finished and all pairs.
    """
    results = []
    for number, pair in enumerate(pairs):
        gauge = MEASURES[pair.measure]
        higher = gauge(generate(pair.higher.text), sampling_rate)
        lower = gauge(generate(pair.lower.text), sampling_rate)
        results.append(PairResult(pair=pair, higher=higher, lower=lower))
        if progress is not None:
            progress(number + 1, len(pairs))
    return Evaluation(results=tuple(results))


def attributes_for(prompt: Prompt, rng: np.random.Generator) -> PieceAttributes:
    """Choose a piece that is what a prompt asks for.

    Raises:
        InvalidRequestError: the prompt asks for something that no piece has.
    """
    for _ in range(20_000):
        piece = choose_attributes(rng)
        wanted = (
            (prompt.genre, piece.genre),
            (prompt.mood, piece.mood),
            (prompt.pace, piece.pace),
            (prompt.tone, piece.tone),
            (prompt.drums, piece.drums),
        )
        if prompt.drums is None and surprising_drums(piece):
            continue  # the prompt would have said so
        if all(asked is None or asked == is_so for asked, is_so in wanted):
            return piece if prompt.lead is None else replace(piece, lead=prompt.lead)
    raise InvalidRequestError(f"No piece is as {prompt.text!r} asks; loosen what it asks for.")


def render_prompt(text: str, seed: int, *, seconds: float = 8.0) -> Samples:
    """Render a held-out prompt as a perfect model would: the upper bound of an evaluation."""
    prompts = {prompt.text: prompt for pair in PAIRS for prompt in (pair.higher, pair.lower)}
    if text not in prompts:
        raise InvalidRequestError(f"{text!r} is not one of the held-out prompts.")
    attributes = attributes_for(prompts[text], np.random.default_rng([seed, 4]))
    return render_piece(attributes, seed, seconds=seconds)
