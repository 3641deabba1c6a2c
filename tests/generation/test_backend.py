"""Where the model runs, and that an optimised matrix library really is in use on the Linux CPU."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from generation import backend
from generation.errors import InvalidRequestError

linux_cpu = pytest.mark.skipif(
    sys.platform != "linux" or backend.backend_name() != "cpu", reason="only MLX's Linux CPU build needs it"
)

TIME = """
import sys, time
if sys.argv[1] == "without":
    from generation import backend
    backend.prepare = lambda: "none"
if sys.argv[1] == "too late":
    import mlx.core
import generation.musicgen
from generation import backend
import mlx.core as mx
a, b = mx.random.normal((512, 512)), mx.random.normal((512, 512))
mx.eval(a, b)
best = 9.0
for _ in range(5):
    start = time.perf_counter()
    mx.eval(a @ b)
    best = min(best, time.perf_counter() - start)
print(best)
print(backend.prepare())
"""


def timed(how: str) -> tuple[float, str]:
    done = subprocess.run([sys.executable, "-c", TIME, how], check=True, capture_output=True, text=True)
    seconds, name = done.stdout.splitlines()
    return float(seconds), name


@linux_cpu
def test_the_faster_matrix_library_is_in_use() -> None:
    """It must be loaded before MLX is, or it is not used: 20 GFLOP/s instead of 2."""
    if backend.prepare().startswith("reference"):  # conftest asks before MLX is there
        pytest.skip("no optimised BLAS on this machine")
    fast, name = timed("as it is")
    assert name == backend.prepare()
    slow, _ = timed("without")
    assert fast < slow / 2
    _, name = timed("too late")
    assert "before mlx" in name


@linux_cpu
def test_what_models_info_shows() -> None:
    info = backend.describe_backend()
    assert (info.name, info.dtype) == ("cpu", "float32")
    assert info.device
    assert info.blas == backend.prepare()


def test_number_types() -> None:
    for name in ("float32", "float16", "bfloat16"):
        assert backend.choose_dtype(name) == name
    with pytest.raises(InvalidRequestError, match="float32, float16, bfloat16"):
        backend.choose_dtype("float64")


def test_torch_is_found_without_importing_it() -> None:
    script = (
        "import sys; from generation import backend; backend.prepare(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    there = sys.platform == "linux" and importlib.util.find_spec("torch") is not None
    assert (backend._torch_blas() is not None) is there


_ONE_THREAD = """
from generation import backend

assert backend.prepare() == "PyTorch's BLAS"
threads = backend._libraries[0].mkl_get_max_threads
backend._libraries[0].mkl_serv_set_num_threads(2)
first, second = backend.one_thread(), backend.one_thread()
first.__enter__()
assert threads() == 1
second.__enter__()
first.__exit__(None, None, None)
assert threads() == 1  # left in another order than nested contexts would
second.__exit__(None, None, None)
assert threads() == 2
try:
    with backend.one_thread():
        raise KeyError
except KeyError:
    pass
assert threads() == 2
"""


@linux_cpu
def test_one_thread_for_as_long_as_somebody_wants_it() -> None:
    """In a process of its own: in this one other tests have set threads by themselves."""
    if backend.prepare() != "PyTorch's BLAS":
        pytest.skip("another library counts its threads in another way")
    subprocess.run([sys.executable, "-c", _ONE_THREAD], check=True, timeout=60)
