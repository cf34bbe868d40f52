"""Whose turn it is to receive on a connection: one thread's at a time.

The turn is a lock. Ctrl-C can come behind the call that takes it as well as before the one that gives it back, and then a thread has
left and the lock stays. So whoever finds it taken looks which threads are within the functions that take it: where none is, the lock
is replaced by another.
"""

from __future__ import annotations

import sys
import threading
import time
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Callable, Dict, Set, TypeVar

from . import _check
from .exceptions import ConcurrencyError
from .frames import State

if TYPE_CHECKING:
    from .connection import Connection

F = TypeVar("F", bound=Callable[..., Any])
#: A ``threading.RLock``: a signal handler may receive on the thread that it has interrupted amid that.
Lock = Any


def receives(function: F) -> F:
    """Marks a function that has the turn of the connection which is its first argument, at no other time than while it runs."""
    _MARKED[function.__code__] = "receives"
    return function


def waits(function: F) -> F:
    """Marks one that has it for whoever receives later, and lets those who come have it."""
    _MARKED[function.__code__] = "waits"
    return function


def await_turn(connection: Connection, what: str, timeout: float | None) -> tuple[Lock, float | None]:
    """Takes the turn from a thread that waits for the end, or that has left; gives it with what is left of the time. Another thread
    that receives is a ConcurrencyError."""
    until = None if timeout is None else time.monotonic() + _check.seconds(timeout, "timeout")
    me = threading.get_ident()
    try:
        while True:
            connection._awaiting.add(me)
            turn = _left_behind(connection, connection._receiving)
            if turn is None:
                if "receives" in _others(connection):
                    raise ConcurrencyError(f"cannot call {what} while another thread is already running recv or recv_streaming")
                turn = _acquired(connection._receiving, _LOOK if until is None else min(_LOOK, until - time.monotonic()))
            if turn is not None:
                return turn, None if until is None else max(0.0, until - time.monotonic())
            if until is not None and time.monotonic() >= until:
                raise TimeoutError("timed out in recv()")
    finally:
        connection._awaiting.discard(me)


def try_turn(connection: Connection) -> Lock | None:
    """Takes the turn for a thread that waits for the end; ``None``: another has it, or comes for it."""
    # This thread itself may be among those that come: a signal handler closes amid its call.
    if connection._awaiting - {threading.get_ident()}:
        if "comes" in _others(connection):
            return None
        # They have left without a word.
        connection._awaiting.clear()
    turn = _acquired(connection._receiving, 0)
    return _left_behind(connection, connection._receiving) if turn is None and connection.state is not State.OPEN else turn


def _acquired(turn: Lock, timeout: float) -> Lock | None:
    return turn if turn.acquire(timeout=max(0.0, timeout)) else None


def _left_behind(connection: Connection, turn: Lock) -> Lock | None:
    """A new lock in the place of one that a thread has left taken, and taken for this one; ``None``: somebody is at it."""
    if _others(connection) - {"comes"}:
        return None
    fresh = threading.RLock()
    fresh.acquire()
    with _REPLACING:
        if connection._receiving is not turn:
            return None
        connection._receiving = fresh
    if _others(connection) - {"comes"}:
        # One has come meanwhile, and may have the old one.
        fresh.release()
        return None
    return fresh


def _others(connection: Connection) -> Set[str]:
    """What other threads are about with a connection."""
    me = threading.get_ident()
    found: Set[str] = set()
    for thread, top in sys._current_frames().items():
        frame: FrameType | None = None if thread == me else top
        while frame is not None:
            mark = _MARKED.get(frame.f_code)
            if mark is not None and frame.f_locals.get(frame.f_code.co_varnames[0]) is connection:
                found.add(mark)
                # What has called it has not got the turn yet, or has none of its own.
                break
            frame = frame.f_back
    return found


_MARKED: Dict[CodeType, str] = {await_turn.__code__: "comes"}
_REPLACING = threading.RLock()

# Seconds after which who waits for its turn looks whether it was left behind.
_LOOK = 0.05
