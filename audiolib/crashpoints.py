"""Named steps at which a test may end the process, to see what a crash or a full disk leaves behind.

Nothing happens unless `AUDIOLIB_CRASH_AT` is set. `add.sidecar-written:2` kills the process the second time that
it passes that step, as a power cut would; `add.sidecar-written:2:enospc` raises the error of a full disk there.
"""

import errno
import os
import signal
from typing import Final

VARIABLE: Final = "AUDIOLIB_CRASH_AT"

_passes = 0


def crashpoint(name: str) -> None:
    """Pass a named step: nothing, unless the environment says that this is where it ends.

    Args:
        name: The step, a literal like `add.audio-written`: the command, and what was done last. A test looks for these
            literals in the code and holds that every one of them was crashed at.

    Raises:
        OSError: The disk is to be full here.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    at, _, rest = wanted.partition(":")
    if at == name:
        _end(name, *rest.split(":"))


def _end(name: str, count: str = "1", how: str = "kill") -> None:
    global _passes
    _passes += 1
    if _passes != int(count or 1):
        return
    if how == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    # No handler, no `finally`, no flushed buffer: SIGKILL where there is one.
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
