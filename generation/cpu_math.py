"""MLX's elementwise functions for the CPU as NumPy operations: the very bits, without what a call into MLX costs.

MLX on Linux computes them number by number, as polynomials of fused multiply-adds (its `backend/cpu/simd/math.h`).
NumPy has no such operation, but float64 holds the product of two float32 numbers exactly: a product, a sum and a
rounding to float32 come to the same.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]
Shape = tuple[int, ...]

_SHAPES = 16
"""Shapes whose memory is kept cut out."""


def _constants(*values: float) -> list[npt.NDArray[np.float64]]:
    """Float32 numbers in float64; as arrays, because NumPy takes a third longer with a Python number."""
    return [np.array(np.float32(value), np.float64) for value in values]


_EXP = _constants(
    1.535336188319500e-4,
    1.339887440266574e-3,
    9.618437357674640e-3,
    5.550332471162809e-2,
    2.402264791363012e-1,
    6.931472028550421e-1,
    1.0,
)
_ERF = _constants(1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
(_ERF_T,) = _constants(0.3275911)
_LOG2_E, _HALF, _ONE, _TWO = (np.array(value, np.float32) for value in (1.442695, 0.5, 1.0, 2.0))
_ROOT_OF_TWO = np.array(math.sqrt(2), np.float32)
_LOWEST = np.array(-87.0, np.float32)  # beyond it there is nothing left beside a 1
_BIAS, _MANTISSA = np.array(127, np.int32), np.array(23, np.int32)  # of a float32


class _Memory:
    """Memory to work in for arrays of one shape."""

    __slots__ = ("exponent", "flat", "fraction", "narrow", "power", "powers", "sums", "wide")

    def __init__(
        self, wide: list[Wide], narrow: list[Array], whole: npt.NDArray[np.int32], shape: Shape
    ) -> None:
        size = math.prod(shape)
        self.fraction, self.power, self.wide = (part[:size] for part in wide)
        self.narrow, self.flat, sums = (part[:size] for part in narrow)
        self.powers, self.sums = self.flat.reshape(shape), sums.reshape(shape)
        self.exponent = whole[:size]


class Elementwise:
    """The functions, with memory to work in."""

    def __init__(self, size: int) -> None:
        """Takes memory.

        Args:
            size: The most numbers of an array that is given to it.
        """
        self._wide = [np.empty(size, np.float64) for _ in range(3)]
        self._narrow = [np.empty(size, np.float32) for _ in range(3)]
        self._whole = np.empty(size, np.int32)
        self._memories: dict[Shape, _Memory] = {}

    def softmax(self, x: Array, out: Array) -> None:
        """Softmax over the last axis: `(N, T) -> (N, T)`; `x` may be `out`, and neither need be contiguous."""
        memory = self._memory(x.shape)
        powers, sums = memory.powers, memory.sums
        np.subtract(x, np.maximum.reduce(x, -1, keepdims=True), powers)
        _exp(memory.flat, memory)
        np.add.accumulate(powers, -1, out=sums)  # one after the other, not in pairs as `sum`
        np.multiply(powers, _ONE / sums[:, -1:], out)

    def gelu(self, x: Array, out: Array) -> None:
        """`x * (1 + erf(x / sqrt(2))) / 2` of a contiguous array; `x` may be `out`."""
        memory = self._memory(x.shape)
        erf = memory.powers
        np.divide(x, _ROOT_OF_TWO, erf)
        _erf(memory)
        np.add(erf, _ONE, erf)
        np.multiply(x, erf, out)
        np.divide(out, _TWO, out)

    def _memory(self, shape: Shape) -> _Memory:
        found = self._memories.get(shape)
        if found is None:
            if len(self._memories) > _SHAPES:  # attention has another one in every step
                self._memories.clear()
            found = self._memories[shape] = _Memory(self._wide, self._narrow, self._whole, shape)
        return found


def _exp(x: Array, memory: _Memory) -> None:
    """The exponential of numbers up to 0, `(N,)`, in place."""
    fraction, power, narrow, exponent = memory.fraction, memory.power, memory.narrow, memory.exponent
    np.maximum(x, _LOWEST, out=x)
    np.multiply(x, _LOG2_E, narrow)
    np.add(narrow, _HALF, x)
    np.floor(x, x)
    np.subtract(narrow, x, narrow)
    fraction[...] = narrow
    np.multiply(fraction, _EXP[0], power)
    np.add(power, _EXP[1], power)
    for constant in _EXP[2:]:
        _round(power, narrow)
        np.multiply(fraction, power, power)
        np.add(power, constant, power)
    narrow[...] = power
    exponent[...] = x
    np.add(exponent, _BIAS, exponent)
    np.left_shift(exponent, _MANTISSA, exponent)
    np.multiply(exponent.view(np.float32), narrow, x)


def _erf(memory: _Memory) -> None:
    """The error function (Abramowitz and Stegun 7.1.26) of the numbers in `flat`, in place."""
    x, narrow, square = memory.flat, memory.narrow, memory.sums.reshape(-1)
    np.multiply(x, x, square)
    np.negative(square, square)
    _exp(square, memory)
    t, power, wide = memory.fraction, memory.power, memory.wide
    np.abs(x, narrow)
    np.multiply(narrow, _ERF_T, power)
    np.add(power, _ONE, power)
    narrow[...] = power
    np.divide(_ONE, narrow, narrow)
    t[...] = narrow
    np.multiply(square, narrow, square)
    wide[...] = square
    np.multiply(t, _ERF[0], power)
    np.add(power, _ERF[1], power)
    for constant in _ERF[2:]:
        _round(power, narrow)
        np.multiply(t, power, power)
        np.add(power, constant, power)
    _round(power, narrow)
    np.multiply(wide, power, power)
    np.subtract(_ONE, power, power)
    narrow[...] = power
    np.copysign(narrow, x, x)


def _round(power: Wide, narrow: Array) -> None:
    """To float32 and back."""
    narrow[...] = power
    power[...] = narrow
