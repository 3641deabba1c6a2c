"""As many sentence vectors as one likes, made from a few thousand real ones.

Embedding a million captions takes hours on two cores. A new vector lies between a real one and one of that
one's nearest neighbours, a little off the line: so the set keeps the shape of real embeddings, crowded where they
are crowded, while noise alone would fill all dimensions evenly and be harder to index than any text.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_NEIGHBOURS = 8
_NOISE = 0.15  # length of the step off the line, against vectors of length one


class Crowd:
    """Vectors around real ones.

    Args:
        real: `(R, D)` unit vectors, more than 8.
        seed: Another one gives another crowd.
    """

    def __init__(self, real: "np.ndarray", *, seed: int = 0) -> None:
        import numpy as np

        self._real = real
        self._choose = np.random.default_rng(seed)
        self._near = np.concatenate(
            [_nearest(real, real[start : start + 500]) for start in range(0, len(real), 500)]
        )

    def draw(self, count: int) -> "tuple[np.ndarray, np.ndarray]":
        """The next vectors.

        Returns:
            `(count, D)` float32 unit vectors, and for each the row `(count,)` of the real one it stands by.
        """
        import numpy as np

        choose = self._choose
        home = choose.integers(len(self._real), size=count)
        other = self._near[home, choose.integers(_NEIGHBOURS, size=count)]
        share = choose.random((count, 1), dtype=np.float32)
        noise = choose.standard_normal((count, self._real.shape[1]), dtype=np.float32)
        noise *= _NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
        drawn = self._real[home] * (1 - share) + self._real[other] * share + noise
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        # The real one stood nearer to owns the words.
        return drawn.astype(np.float32), np.where(share[:, 0] < 0.5, home, other)


def _nearest(real: "np.ndarray", some: "np.ndarray") -> "np.ndarray":
    """Rows `(N, 8)` of the real vectors nearest to `some` `(N, D)`, themselves left out."""
    import numpy as np

    found = np.argpartition(-(some @ real.T), _NEIGHBOURS, axis=1)[:, : _NEIGHBOURS + 1]
    own = (some[:, None] * real[found]).sum(axis=2).argmax(axis=1)
    keep = np.arange(_NEIGHBOURS + 1) != own[:, None]
    return np.asarray(found[keep].reshape(len(some), _NEIGHBOURS))


class Truth:
    """The exact best rows for some queries, kept while vectors pass by.

    Args:
        queries: `(Q, D)` unit vectors.
        best: How many to keep.
    """

    def __init__(self, queries: "np.ndarray", *, best: int = 10) -> None:
        import numpy as np

        self._queries = queries
        self._best = best
        self.scores = np.full((len(queries), best), -np.inf, dtype=np.float32)
        self.rows = np.full((len(queries), best), -1)

    def see(self, vectors: "np.ndarray", first_row: int) -> None:
        """Takes in `(N, D)` vectors, which are the rows from `first_row` on."""
        import numpy as np

        scores = np.concatenate([self.scores, self._queries @ vectors.T], axis=1)
        rows = np.broadcast_to(np.arange(first_row, first_row + len(vectors)), (len(self.rows), len(vectors)))
        rows = np.concatenate([self.rows, rows], axis=1)
        top = np.argpartition(-scores, self._best - 1, axis=1)[:, : self._best]
        self.scores, self.rows = np.take_along_axis(scores, top, 1), np.take_along_axis(rows, top, 1)
