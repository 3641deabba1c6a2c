"""All weights of a module as one vector, so that an optimiser step is a handful of operations, not hundreds."""

from __future__ import annotations

import math

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten

_ALIGN = 64  # values; products on a GPU want their operands on round addresses


class FlatParameters:
    """Where each parameter of a module lies in the vector."""

    def __init__(self, module: nn.Module, *, skip: str) -> None:
        """Take all parameters but those whose name starts with `skip`."""
        named = dict(tree_flatten(module.parameters()))
        chosen = [(name, value) for name, value in named.items() if not name.startswith(skip)]
        self._names = [name for name, _ in chosen]
        self._shapes = [value.shape for _, value in chosen]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        padded = [-(-size // _ALIGN) * _ALIGN for size in self._sizes]
        ends = [sum(padded[: i + 1]) for i in range(len(padded))]
        self._splits, self.size = ends[:-1], ends[-1]

    def gather(self, module: nn.Module) -> mx.array:
        """The module's parameters as a vector `(size,)`, zeros between them."""
        values = dict(tree_flatten(module.parameters()))
        return mx.concatenate(
            [
                mx.pad(values[name].reshape(-1), (0, -size % _ALIGN))
                for name, size in zip(self._names, self._sizes, strict=True)
            ]
        )

    def bind(self, module: nn.Module, vector: mx.array) -> None:
        """Give the module the vector's parts as its parameters; gradients flow back into the vector."""
        parts = mx.split(vector, self._splits)
        named = [
            (name, (part if part.size == size else part[:size]).reshape(shape))
            for name, part, size, shape in zip(self._names, parts, self._sizes, self._shapes, strict=True)
        ]
        module.update(tree_unflatten(named))
