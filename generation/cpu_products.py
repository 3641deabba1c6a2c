"""Matrix products of NumPy arrays by the library that `generation.backend` loaded, prepared once and made many times.

They are called just as MLX calls them, so they have the same bits; a call takes 1 microsecond instead of 10.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from generation import backend

Array = npt.NDArray[np.float32]
Product = Callable[[], object]
"""Makes a product of what its arrays hold now."""

_PLAIN, _TRANSPOSED = ctypes.c_char(b"N"), ctypes.c_char(b"T")


def columns(weight: Array, x: Array, out: Array) -> Product:
    """`(N, D)` times rows `(r, D)` as columns: `(N, r)`."""
    return _bound(weight, x, out, transposed=True)


def product(a: Array, b: Array, out: Array, *, scale: float = 1.0, add: bool = False) -> Product:
    """`(M, K)` times `(K, N)`, scaled and added to what is in `(M, N)` where asked for."""
    return _bound(a, b, out, scale=scale, add=add)


def rows(x: Array, weight: Array, out: Array) -> Product:
    """Rows `(r, D)` times `(N, D)` transposed: `(r, N)`."""
    return _bound(x, weight, out, transposed=True)


class Attention:
    """Scores of queries and sums of values over a growing number of positions, for each row and head apart."""

    def __init__(self, queries: Array, keys: Array, values: Array, weights: Array, heard: Array) -> None:
        """Prepares the products.

        Args:
            queries: `(R, H, d)`.
            keys: `(R, H, room, d)`.
            values: `(R, H, room, d)`.
            weights: `(R, H, room)`, first the scores, then what the values are multiplied by.
            heard: `(R, H, d)`, the sums.
        """
        self._arrays = queries, keys, values, weights, heard
        self._sgemm = backend.sgemm()
        if self._sgemm is None:
            return
        width = queries.shape[-1]
        self._length = ctypes.c_int(1)
        length, one, dim = (ctypes.byref(n) for n in (self._length, ctypes.c_int(1), ctypes.c_int(width)))
        on, off = ctypes.byref(ctypes.c_float(1.0)), ctypes.byref(ctypes.c_float(0.0))
        plain, turned = ctypes.byref(_PLAIN), ctypes.byref(_TRANSPOSED)
        self._scores, self._sums = [], []
        for place in np.ndindex(queries.shape[:2]):
            q, k, v, w, o = (_address(part[place]) for part in self._arrays)
            self._scores.append((turned, plain, length, one, dim, on, k, dim, q, dim, off, w, length))
            self._sums.append((plain, plain, dim, one, length, on, v, dim, w, length, off, o, dim))

    def score(self, length: int) -> None:
        """Queries times the first keys."""
        queries, keys, _, weights, _ = self._arrays
        if self._sgemm is None:
            turned = keys[:, :, :length].swapaxes(2, 3)
            np.matmul(queries[:, :, None], turned, out=weights[:, :, None, :length])
            return
        self._length.value = length
        sgemm = self._sgemm
        for call in self._scores:
            sgemm(*call)

    def sum(self, length: int) -> None:
        """Weights times the first values."""
        _, _, values, weights, heard = self._arrays
        if self._sgemm is None:
            np.matmul(weights[:, :, None, :length], values[:, :, :length], out=heard[:, :, None])
            return
        self._length.value = length
        sgemm = self._sgemm
        for call in self._sums:
            sgemm(*call)


def _bound(
    a: Array, b: Array, out: Array, *, transposed: bool = False, scale: float = 1.0, add: bool = False
) -> Product:
    sgemm = backend.sgemm()
    if sgemm is None:
        return _by_numpy(a, b.T if transposed else b, out, scale=scale, add=add)
    if not all(part.flags.c_contiguous and part.dtype == np.float32 for part in (a, b, out)):
        raise ValueError("Products are made of float32 numbers that lie in a row.")
    (m, k), n = a.shape, out.shape[1]
    if out.shape != (m, n) or b.shape != ((n, k) if transposed else (k, n)):
        raise ValueError(f"No product of {a.shape} and {b.shape} is {out.shape}.")
    # The library counts in columns, so both come in turn.
    integers = {size: ctypes.byref(ctypes.c_int(size)) for size in (m, n, k)}
    call = (
        ctypes.byref(_TRANSPOSED if transposed else _PLAIN),
        ctypes.byref(_PLAIN),
        integers[n],
        integers[m],
        integers[k],
        ctypes.byref(ctypes.c_float(scale)),
        _address(b),
        integers[k if transposed else n],
        _address(a),
        integers[k],
        ctypes.byref(ctypes.c_float(float(add))),
        _address(out),
        integers[n],
    )
    return functools.partial(sgemm, *call)


def _by_numpy(a: Array, b: Array, out: Array, *, scale: float, add: bool) -> Product:
    """By the library that NumPy brings, where there is no other."""

    def make() -> None:
        if scale == 1.0 and not add:
            np.matmul(a, b, out=out)
        else:
            np.add(out if add else 0, np.float32(scale) * (a @ b), out=out)

    return make


def _address(array: Array) -> Any:
    # A reference, because ctypes takes twice as long with a `c_void_p`; to a buffer, so that the array is kept.
    return ctypes.byref(ctypes.c_float.from_buffer(array.data))
