"""How much memory a measurement took at its peak, as far as the system tells."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path

_PROCESS = Path("/proc/self")


def forget_peak() -> None:
    """Count peaks from here on; on macOS the process's own peak cannot be forgotten."""
    mlx = sys.modules.get("mlx.core")  # a peer's process has none
    if mlx is not None:
        mlx.reset_peak_memory()
    with contextlib.suppress(OSError):
        # 5 resets the high-water mark of resident memory, see proc(5).
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")


def peak_bytes() -> float:
    """The largest resident size of the process since `forget_peak`, or MLX's largest use if that is more."""
    mlx = sys.modules.get("mlx.core")
    try:
        found = re.search(
            r"^VmHWM:\s*(\d+) kB", (_PROCESS / "status").read_text(encoding="ascii"), re.MULTILINE
        )
    except OSError:
        found = None
    if found:
        resident = int(found[1]) * 1024
    else:
        unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, others kilobytes
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return float(max(resident, 0 if mlx is None else mlx.get_peak_memory()))
