"""Whose turn it is to receive on a connection: one thread's at a time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from . import _check
from .exceptions import ConcurrencyError

if TYPE_CHECKING:
    from .connection import Connection


def await_turn(connection: Connection, what: str, timeout: float | None) -> float | None:
    """Takes the lock from a thread that waits for the end, and gives what is left of the time; another that receives is a
    ConcurrencyError."""
    if not connection._awaiting:
        raise ConcurrencyError(f"cannot call {what} while another thread is already running recv or recv_streaming")
    until = None if timeout is None else time.monotonic() + _check.seconds(timeout, "timeout")
    me = threading.get_ident()
    connection._waiting.add(me)
    try:
        left = -1.0 if until is None else max(0.0, until - time.monotonic())
        if not connection._receiving.acquire(timeout=min(left, threading.TIMEOUT_MAX)):
            raise TimeoutError("timed out in recv()")
    finally:
        connection._waiting.discard(me)
    return None if until is None else max(0.0, until - time.monotonic())
