"""Waits that Ctrl-C ends: the library waits in slices on the main thread, where Python runs signal handlers."""

from __future__ import annotations

import threading
import time
from typing import Callable, TypeVar

from . import _constants as c

T = TypeVar("T")

#: The main thread, as ``threading.get_ident`` names it.
MAIN = threading.main_thread().ident
#: No wait of the main thread is longer, in milliseconds.
SLICE_MS = 100


def slice_ms() -> int:
    """How long a call that waits without end may wait on this thread, in milliseconds; negative: without end."""
    return SLICE_MS if threading.get_ident() == MAIN else -1


def sliced(wait: Callable[[int], T], timeout: float | None) -> T:
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


class Latch:
    """Opens once, and stays open. In contrast to a ``threading.Event`` a signal handler may wait for it, too, whatever the
    thread that it interrupts is doing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.is_open = False

    def open(self) -> None:
        """Lets go all who wait, now and later. From any thread, again and again."""
        if not self.is_open:
            self.is_open = True
            try:
                self._lock.release()
            except RuntimeError:
                # Two threads have opened it.
                pass

    def wait(self, timeout: float = -1) -> bool:
        """Waits until it is open; whether it is. ``timeout``: seconds; below 0: without end."""
        until = None if timeout < 0 else time.monotonic() + timeout
        while not self.is_open:
            left = _TURN if until is None else min(_TURN, until - time.monotonic())
            if left <= 0:
                break
            # In turns, as an exception of a signal handler may keep one who has it from giving it back.
            if self._lock.acquire(timeout=left):
                self._lock.release()
        return self.is_open


# Seconds after which a latch is looked at again.
_TURN = 0.1
