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


class Elementwise:
    """The functions, with memory to work in."""

    def __init__(self, size: int) -> None:
        """Takes memory.

        Args:
            size: The most numbers of an array that is given to it.
        """
        self._wide = [np.empty(size, np.float64) for _ in range(3)]
        self._narrow = [np.empty(size, np.float32) for _ in range(5)]
        self._whole = np.empty(size, np.int32)

    def softmax(self, x: Array, out: Array) -> None:
        """Softmax over the last axis: `(N, T) -> (N, T)`; `x` may be `out`, and neither need be contiguous."""
        rows, length = x.shape
        powers, sums = (part[: x.size].reshape(rows, length) for part in self._narrow[3:])
        np.subtract(x, x.max(axis=-1, keepdims=True), out=powers)
        self._exp(self._narrow[3][: x.size])
        np.add.accumulate(powers, axis=-1, out=sums)  # one after the other, not in pairs as `sum`
        np.multiply(powers, _ONE / sums[:, -1:], out=out)

    def gelu(self, x: Array, out: Array) -> None:
        """`x * (1 + erf(x / sqrt(2))) / 2` of a contiguous array; `x` may be `out`."""
        erf = self._narrow[3][: x.size].reshape(x.shape)
        np.divide(x, _ROOT_OF_TWO, out=erf)
        self._erf(self._narrow[3][: x.size])
        np.add(erf, _ONE, out=erf)
        np.multiply(x, erf, out=out)
        np.divide(out, _TWO, out=out)

    def _exp(self, x: Array) -> None:
        """The exponential of numbers up to 0, `(N,)`, in place."""
        fraction, power, narrow, exponent = self._parts(x.size)
        np.maximum(x, _LOWEST, out=x)
        np.multiply(x, _LOG2_E, out=narrow)
        np.add(narrow, _HALF, out=x)
        np.floor(x, out=x)
        np.subtract(narrow, x, out=narrow)
        np.copyto(fraction, narrow)
        np.multiply(fraction, _EXP[0], out=power)
        np.add(power, _EXP[1], out=power)
        for constant in _EXP[2:]:
            np.copyto(narrow, power, casting="same_kind")
            np.multiply(fraction, narrow, out=power)
            np.add(power, constant, out=power)
        np.copyto(narrow, power, casting="same_kind")
        np.copyto(exponent, x, casting="unsafe")
        np.add(exponent, _BIAS, out=exponent)
        np.left_shift(exponent, _MANTISSA, out=exponent)
        np.multiply(exponent.view(np.float32), narrow, out=x)

    def _erf(self, x: Array) -> None:
        """The error function of numbers `(N,)`, in place (Abramowitz and Stegun 7.1.26)."""
        wide, narrow = self._wide[2][: x.size], self._narrow[2][: x.size]
        t, power, rounded, _ = self._parts(x.size)
        # exp(-x^2) first, as it works in the same memory.
        square = self._narrow[1][: x.size]
        np.multiply(x, x, out=square)
        np.negative(square, out=square)
        self._exp(square)
        np.copyto(power, x)
        np.abs(power, out=power)
        np.multiply(power, _ERF_T, out=power)
        np.add(power, _ONE, out=power)
        np.copyto(rounded, power, casting="same_kind")
        np.divide(_ONE, rounded, out=narrow)
        np.copyto(t, narrow)
        np.multiply(t, _ERF[0], out=power)
        np.add(power, _ERF[1], out=power)
        for constant in _ERF[2:]:
            np.copyto(rounded, power, casting="same_kind")
            np.multiply(t, rounded, out=power)
            np.add(power, constant, out=power)
        np.copyto(rounded, power, casting="same_kind")
        np.multiply(square, narrow, out=square)
        np.copyto(wide, square)
        np.multiply(wide, rounded, out=power)
        np.subtract(_ONE, power, out=power)
        np.copyto(rounded, power, casting="same_kind")
        np.copysign(rounded, x, out=x)

    def _parts(
        self, size: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], Array, npt.NDArray[np.int32]]:
        return self._wide[0][:size], self._wide[1][:size], self._narrow[0][:size], self._whole[:size]
