"""Waits that Ctrl-C ends: the library waits in slices on the main thread, where Python runs signal handlers."""

from __future__ import annotations

import threading
import time
from typing import Callable

from . import _constants as c

#: No wait of the main thread is longer, in milliseconds.
SLICE_MS = 100


def slice_ms() -> int:
    """How long a call that waits without end may wait on this thread, in milliseconds; negative: without end."""
    return SLICE_MS if threading.get_ident() == _MAIN.ident else -1


def sliced(wait: Callable[[int], int], timeout: float | None) -> int:
    """Calls ``wait(milliseconds)`` until its status is another than "timeout" and "interrupted", or the time is up.

    :param timeout: seconds; ``None``: without end; 0 or less: one look
    """
    until = None if timeout is None else time.monotonic() + timeout
    longest = slice_ms()
    while True:
        left = longest
        if until is not None:
            rest = max(0, -int(-(until - time.monotonic()) * 1000 // 1))
            left = rest if longest < 0 else min(rest, longest)
        status = wait(left)
        if status == c.ERR_INTERRUPTED:
            continue
        if status != c.ERR_TIMEOUT or (until is not None and time.monotonic() >= until):
            return status


_MAIN = threading.main_thread()
