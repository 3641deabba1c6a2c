"""What differs between Metal, CUDA and the CPU: the number type, the row tile, the matrix library."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import logging
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from generation.errors import InvalidRequestError

_log = logging.getLogger(__name__)

DTYPES = ("float32", "float16", "bfloat16")
CPU_ROW_TILE = 8
"""Rows of every product on the CPU: four clips with guidance; products of 1 to 8 rows cost about the same there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendInfo:
    """Where the model runs: `name` is cpu, metal or cuda; `blas` is the matrix library of the CPU."""

    name: str
    device: str
    dtype: str
    blas: str


def backend_name() -> str:
    """`cpu`, `metal` or `cuda`: where MLX's default device is."""
    import mlx.core as mx

    if mx.default_device() == mx.Device(mx.cpu):
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def choose_dtype(name: str | None = None) -> str:
    """The number type for weights: `name` if given, else float32 on the CPU and float16 elsewhere.

    Raises:
        InvalidRequestError: no such number type.
    """
    if name is None:
        return "float32" if backend_name() == "cpu" else "float16"
    if name not in DTYPES:
        raise InvalidRequestError(f"Unknown number type {name!r}; choose one of {', '.join(DTYPES)}.")
    return name


def _torch_blas() -> Path | None:
    """PyTorch's own library exports `sgemm_`; it is found without importing torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "lib" / "libtorch_cpu.so"
    return path if path.is_file() else None


@functools.cache
def prepare() -> str:
    """Load an optimised BLAS where MLX's Linux CPU build would use the reference one; returns its name.

    The wheel's `cblas_sgemm` finds `sgemm_` in the global scope, so a library that is loaded there takes its place:
    16 to 120 GFLOP/s instead of 4. The name is bound when MLX is imported, so this must be called before that;
    `generation.musicgen` does. Idempotent; takes 0.1 to 0.3 s once.
    """
    if sys.platform != "linux":
        return "Accelerate" if sys.platform == "darwin" else "MLX's own"
    if "mlx.core" in sys.modules:
        if backend_name() == "cpu":
            _log.warning("MLX was imported before generation, so it works with its slow reference BLAS")
        return "reference BLAS (slow; import generation before mlx)"
    # The same bits in every process, whatever the memory's alignment (Intel's "conditional numerical reproducibility").
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    # Threads that wait for the next small product sleep instead of spinning: on a machine that does something else too,
    # spinning was measured to take ten to thirty times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # OpenBLAS ran 1.3 times as fast as PyTorch's library, both 3 to 5 times as fast as none (docs/performance.md).
    candidates = [("OpenBLAS", ctypes.util.find_library("openblas")), ("PyTorch's BLAS", _torch_blas())]
    for name, library in candidates:
        if library is None:
            continue
        try:
            loaded = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
            loaded.sgemm_  # noqa: B018  # raises AttributeError where the library does not export it
        except (OSError, AttributeError) as error:
            _log.debug("%s cannot be used: %s", library, error)
            continue
        return name
    _log.warning("no optimised BLAS found; install libopenblas0 or PyTorch for 4 to 30 times the speed")
    return "reference BLAS (slow; install libopenblas0 or PyTorch)"


def describe_backend() -> BackendInfo:
    """What `audiolib models info` shows."""
    import mlx.core as mx

    name = backend_name()
    blas = prepare() if name == "cpu" else "not used"
    device = platform.processor() or platform.machine()
    if name != "cpu":
        device = str(mx.device_info().get("device_name", name))
    return BackendInfo(name=name, device=device, dtype=choose_dtype(), blas=blas)
