"""The BERT encoder of `minilm.py` in NumPy: its portable twin, for machines where MLX has no GPU.

MLX's CPU build hands each of the many small products of attention to the matrix library alone, which with two
threads takes longer than with one, and takes exponentials number by number. NumPy brings its own matrix library.
"""

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from indexing.minilm import BertConfig

Array = np.ndarray
_one_at_a_time = threading.Lock()
# GELU is x (1 + erf(x / sqrt 2)) / 2. That erf is tanh(x P(x^2)), fitted on [0, 5] so that the largest error of GELU
# is smallest: 6e-7, and 1.3e-6 in float32. NumPy takes tanh twenty times as fast as erf can be had.
_GELU = tuple(
    np.float32(c)
    for c in (-5.663069494547039e-08, 2.799397338835861e-06, -4.727723056089497e-05, -5.781079681086506e-05,
              0.03636557950086884, 0.7978726588831981)
)  # fmt: skip
_GELU_END = np.float32(25.0)


class _Linear:
    """A linear layer that takes rows: `(N, in)` to `(N, out)`."""

    def __init__(self, weights: Mapping[str, Array], *names: str) -> None:
        """Puts layers of one input side by side."""
        self._weight = np.concatenate([weights[f"{name}.weight"] for name in names]).T.copy()
        self._bias = np.concatenate([weights[f"{name}.bias"] for name in names])

    def __call__(self, x: Array) -> Array:
        product: Array = x @ self._weight
        product += self._bias
        return product


class _LayerNorm:
    def __init__(self, weights: Mapping[str, Array], name: str, epsilon: float) -> None:
        self._weight, self._bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        self._epsilon = np.float32(epsilon)

    def __call__(self, x: Array) -> Array:
        """Normalises rows `(N, D)` in place."""
        x -= x.mean(axis=1, keepdims=True)
        variance = np.einsum("nd,nd->n", x, x)[:, None] / np.float32(x.shape[1])
        x /= np.sqrt(variance + self._epsilon)
        x *= self._weight
        x += self._bias
        return x


class _Layer:
    def __init__(self, weights: Mapping[str, Array], name: str, config: "BertConfig") -> None:
        attention, epsilon = f"{name}.attention", config.layer_norm_eps
        self._heads = config.num_attention_heads
        self._project = _Linear(weights, *(f"{attention}.self.{part}" for part in ("query", "key", "value")))
        self._attended = _Linear(weights, f"{attention}.output.dense")
        self._attended_norm = _LayerNorm(weights, f"{attention}.output.LayerNorm", epsilon)
        self._inner = _Linear(weights, f"{name}.intermediate.dense")
        self._outer = _Linear(weights, f"{name}.output.dense")
        self._outer_norm = _LayerNorm(weights, f"{name}.output.LayerNorm", epsilon)

    def __call__(self, x: Array, present: Array) -> Array:
        attended = self._attended(self._attend(x, present))
        attended += x
        x = self._attended_norm(attended)
        outer = self._outer(_gelu(self._inner(x)))
        outer += x
        return self._outer_norm(outer)

    def _attend(self, x: Array, present: Array) -> Array:
        (batch, length), width = present.shape, x.shape[1]
        projected = self._project(x).reshape(batch, length, 3, self._heads, width // self._heads)
        queries, keys, values = (projected[:, :, part].swapaxes(1, 2) for part in range(3))
        scores = (queries * np.float32((width // self._heads) ** -0.5)) @ keys.swapaxes(2, 3)
        if not present.all():
            scores[~np.broadcast_to(present[:, None, None, :], scores.shape)] = -np.inf
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed: Array = (scores @ values).swapaxes(1, 2).reshape(batch * length, width)
        return mixed


class ArrayEncoder:
    """Token ids to unit sentence vectors, as `BertEncoder` does it.

    Args:
        config: Sizes.
        weights: The parameters of a `BertEncoder` by name, float32.
    """

    def __init__(self, config: "BertConfig", weights: Mapping[str, Array]) -> None:
        self._words = weights["embeddings.word_embeddings.weight"]
        self._places = (
            weights["embeddings.position_embeddings.weight"]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._norm = _LayerNorm(weights, "embeddings.LayerNorm", config.layer_norm_eps)
        self._layers = [
            _Layer(weights, f"encoder.layer.{number}", config) for number in range(config.num_hidden_layers)
        ]

    def encode(self, batches: Sequence[tuple[Array, Array]]) -> Iterable[Array]:
        """Encodes batches `(tokens, present)`, as many at once as the matrix library would use threads for one.

        Each is then computed by one thread: two threads for one product wait for each other half of the time.
        """
        with _one_at_a_time:
            try:
                libraries = _numpys_libraries()
            except ImportError:  # threadpoolctl comes with sentence-transformers' own dependencies
                return [self(*batch) for batch in batches]
            threads = max((library.num_threads for library in libraries.lib_controllers), default=1)
            if threads == 1 or len(batches) == 1:
                return [self(*batch) for batch in batches]
            with libraries.limit(limits=1), ThreadPoolExecutor(threads) as workers:
                return list(workers.map(lambda batch: self(*batch), batches))

    def __call__(self, tokens: Array, present: Array) -> Array:
        """Encodes a padded batch.

        Args:
            tokens: Word piece ids `(B, T)`.
            present: `(B, T)` bool, False where a row is padded.

        Returns:
            Unit vectors `(B, D)` float32.
        """
        batch, length = tokens.shape
        x = self._norm((self._words[tokens] + self._places[:length]).reshape(batch * length, -1))
        for layer in self._layers:
            x = layer(x, present)
        weights = present.astype(np.float32)
        pooled = (weights[:, None, :] @ x.reshape(batch, length, -1))[:, 0] / weights.sum(axis=1)[:, None]
        pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), np.float32(1e-12))
        return np.asarray(pooled, dtype=np.float32)


def _numpys_libraries() -> Any:
    """The matrix library that NumPy brought with it, for threadpoolctl; MLX may use another one at this moment.

    Wheels hold it beside the package, or in it on macOS. A NumPy that shares the system's, as distributions build it,
    does not tell which one that is: then it is all of them.

    Raises:
        ImportError: There is no threadpoolctl.
    """
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # it has no types

    package = os.path.dirname(os.path.realpath(np.__file__))
    beside = (f"{package}{os.sep}", f"{package}.libs{os.sep}")
    libraries = ThreadpoolController().select(user_api="blas")
    paths = [library.filepath for library in libraries.lib_controllers]
    own = [path for path in paths if os.path.realpath(path).startswith(beside)]
    return libraries.select(filepath=own) if own else libraries


def _gelu(x: Array) -> Array:
    squared = np.minimum(x * x, _GELU_END)
    factor: Array = squared * _GELU[0]
    for coefficient in _GELU[1:-1]:
        factor += coefficient
        factor *= squared
    factor += _GELU[-1]
    factor *= x
    np.tanh(factor, out=factor)
    factor += np.float32(1)
    factor *= x
    factor *= np.float32(0.5)
    return factor
