"""What all tests share."""

from __future__ import annotations

import signal

# A run in the background of a script ignores Ctrl+C, and so would every program that the tests start and stop with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
