"""How good rankings are: recall@1, recall@10 and the mean reciprocal rank, with graded answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Means over some queries, 0 to 1 each; `queries` is how many."""

    recall_at_1: float
    recall_at_10: float
    mrr: float
    queries: int


def recall(ranking: Sequence[str], gold: Mapping[str, float], k: int) -> float:
    """The grades among the first `k` over the grades that the best `k` would have."""
    best = sum(sorted(gold.values(), reverse=True)[:k])
    return sum(gold.get(id, 0.0) for id in ranking[:k]) / best


def reciprocal_rank(ranking: Sequence[str], gold: Mapping[str, float]) -> float:
    """The highest of grade over rank, relative to the highest grade; 0 when no answer was found."""
    best = max(gold.values())
    return max((gold.get(id, 0.0) / best / place for place, id in enumerate(ranking, 1)), default=0.0)


def figures(results: Iterable[tuple[Sequence[str], Mapping[str, float]]]) -> Figures:
    """The means over pairs of a ranking and its answers; there must be one at least."""
    pairs = list(results)
    return Figures(
        recall_at_1=fmean(recall(ranking, gold, 1) for ranking, gold in pairs),
        recall_at_10=fmean(recall(ranking, gold, 10) for ranking, gold in pairs),
        mrr=fmean(reciprocal_rank(ranking, gold) for ranking, gold in pairs),
        queries=len(pairs),
    )
