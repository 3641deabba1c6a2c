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
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.errors import InvalidRequestError

_log = logging.getLogger(__name__)

DTYPES = ("float32", "float16", "bfloat16")
CPU_ROW_TILE = 8
"""Rows of every product on the CPU: four clips with guidance; products of 1 to 8 rows cost about the same there."""
NARROW = 512
"""Width up to which a network works in one thread on the CPU."""

_SETTINGS = {
    # The same bits in every process, whatever the memory's alignment (Intel's "conditional numerical reproducibility").
    "MKL_CBWR": "AUTO,STRICT",
    # Threads that wait for the next product sleep after some tens of microseconds. Sleeping at once makes products of
    # little work five times as long; spinning on makes steps thirty times as long where something else runs too.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "1000",
}
_set_here: list[str] = []  # those of the settings that nobody else had made
_libraries: list[ctypes.CDLL] = []  # the one in use, once `prepare` has found it
_THREAD_CONTROLS = (
    ("mkl_get_max_threads", "mkl_serv_set_num_threads"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)
_one_thread_lock = threading.RLock()  # a stream that was forgotten may end in the thread that holds it
_one_thread_users: list[int] = []  # how many threads there were, for each user that is not done


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


def environment_of_others() -> dict[str, str]:
    """The environment without what `prepare` set in it for this process's own libraries."""
    return {name: value for name, value in os.environ.items() if name not in _set_here}


def sgemm() -> Any | None:
    """BLAS's `sgemm_` of the library that `prepare` loaded, to be called through ctypes; None where there is none.

    It holds on to the interpreter: its calls are so short that handing it over takes longer than they do.
    """
    return _function_of(_libraries[0]) if _libraries else None


@functools.cache
def _function_of(library: ctypes.CDLL) -> Any:
    function = ctypes.PyDLL(library._name, handle=library._handle).sgemm_
    function.restype = None
    return function


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
    for name, value in _SETTINGS.items():
        if name not in os.environ:
            os.environ[name] = value
            _set_here.append(name)
    # For products of two rows PyTorch's library is up to 1.7 times as fast as OpenBLAS (docs/performance.md).
    candidates = [("PyTorch's BLAS", _torch_blas()), ("OpenBLAS", ctypes.util.find_library("openblas"))]
    for name, library in candidates:
        if library is None:
            continue
        try:
            loaded = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
            loaded.sgemm_  # noqa: B018  # raises AttributeError where the library does not export it
            _libraries.append(loaded)
        except (OSError, AttributeError) as error:
            _log.debug("%s cannot be used: %s", library, error)
            continue
        return name
    _log.warning(
        "no optimised BLAS found; install PyTorch or libopenblas0, and prompts and sound take a fraction of the time"
    )
    return "reference BLAS (slow; install PyTorch or libopenblas0)"


@contextmanager
def one_thread() -> Iterator[None]:
    """Products of the CPU in one thread meanwhile; nothing where the matrix library cannot be told.

    Small products take no longer that way, and much less where the machine does something else too. The bits are the
    same (`MKL_CBWR`, above). May be nested, and left in any order.
    """
    controls = [
        (getattr(library, get), getattr(library, set_))
        for library in _libraries
        for get, set_ in _THREAD_CONTROLS
        if hasattr(library, get) and hasattr(library, set_)
    ]
    with _one_thread_lock:
        for get_threads, set_threads in controls:
            _one_thread_users.append(get_threads() if not _one_thread_users else _one_thread_users[0])
            set_threads(1)
    try:
        yield
    finally:
        with _one_thread_lock:
            for _, set_threads in controls:
                before = _one_thread_users.pop()
                if not _one_thread_users:
                    set_threads(before)


def describe_backend() -> BackendInfo:
    """What `audiolib models info` shows."""
    import mlx.core as mx

    name = backend_name()
    blas = prepare() if name == "cpu" else "not used"
    device = platform.processor() or platform.machine()
    if name != "cpu":
        device = str(mx.device_info().get("device_name", name))
    return BackendInfo(name=name, device=device, dtype=choose_dtype(), blas=blas)
