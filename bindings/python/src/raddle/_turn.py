"""Whose turn it is to receive on a connection: one thread's at a time.

The turn is a lock. Ctrl-C can come behind the call that takes it as well as before the one that gives it back, and then a thread has
left and the lock stays. So whoever finds it taken looks whether the thread that has it is within one of the functions that take it:
where it is not, the lock is replaced by another.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable, Dict, TypeVar

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
    _MARKED[id(function.__code__)] = "receives"
    return function


def waits(function: F) -> F:
    """Marks one that has it for whoever receives later, and lets those who come have it."""
    _MARKED[id(function.__code__)] = "waits"
    return function


def await_turn(connection: Connection, what: str, timeout: float | None) -> tuple[Lock, float | None]:
    """Takes the turn from a thread that waits for the end, or that has left; gives it with what is left of the time. Another thread
    that receives is a ConcurrencyError."""
    until = None if timeout is None else time.monotonic() + _check.seconds(timeout, "timeout")
    me = threading.get_ident()
    try:
        while True:
            connection._awaiting.add(me)
            turn: Lock | None = connection._receiving
            doing = _doing(connection, turn)
            if doing == "receives":
                raise ConcurrencyError(f"cannot call {what} while another thread is already running recv or recv_streaming")
            wait = _LOOK if until is None else min(_LOOK, until - time.monotonic())
            turn = _replaced(connection, turn) if doing == "" else _acquired(turn, wait)
            if turn is not None:
                return turn, None if until is None else max(0.0, until - time.monotonic())
            if until is not None and time.monotonic() >= until:
                raise TimeoutError("timed out in recv()")
    finally:
        connection._awaiting.discard(me)


def try_turn(connection: Connection) -> Lock | None:
    """Takes the turn for a thread that waits for the end; ``None``: another has it, or comes for it."""
    # This thread itself may be among those that come: a signal handler closes amid its call.
    others = connection._awaiting - {threading.get_ident()}
    if others:
        if any(_about(connection, other) == "comes" for other in others):
            return None
        # They have left without a word.
        connection._awaiting.clear()
    turn = connection._receiving
    if turn.acquire(False):
        return turn
    if connection.state is not State.OPEN and _doing(connection, turn) == "":
        return _replaced(connection, turn)
    return None


def _acquired(turn: Lock, timeout: float) -> Lock | None:
    return turn if turn.acquire(timeout=max(0.0, timeout)) else None


def _replaced(connection: Connection, turn: Lock) -> Lock | None:
    """A new lock in the place of one that a thread has left taken, and taken for this one; ``None``: it is not left any more."""
    fresh = threading.RLock()
    fresh.acquire()
    with _REPLACING:
        if connection._receiving is not turn:
            return None
        connection._receiving = fresh
        if _doing(connection, turn) != "":
            # Its thread is back, for which it is as good as free, and may have found it before. The new one is never given back, so
            # that nobody who has found that meanwhile gets it.
            connection._receiving = turn
            return None
    return fresh


def _doing(connection: Connection, turn: Lock) -> str | None:
    """What the thread that has the turn is about with a connection; the empty string: nothing, it has left; ``None``: the turn is
    free, or changes hands."""
    owner = _owner(turn)
    if owner == 0:
        return None
    # In this order: who has not been at it can no more give it back, and who is at it now has not had it before.
    return _about(connection, owner) or ("" if _owner(turn) == owner else None)


def _owner(turn: Lock) -> int:
    """The thread that has a lock, from the very moment on in which it takes it; 0: none. What a lock is shown as is the one thing
    that tells, with CPython as with PyPy."""
    owner = _OWNER.search(repr(turn))
    return 0 if owner is None else int(owner.group(1))


def _about(connection: Connection, thread: int) -> str:
    """What another thread is about with a connection; the empty string: nothing."""
    frame: FrameType | None = sys._current_frames().get(thread)
    while frame is not None:
        # Not by the code itself: it is hashed with all that is in it, each time.
        mark = _MARKED.get(id(frame.f_code))
        if mark is not None and frame.f_locals.get(frame.f_code.co_varnames[0]) is connection:
            # What has called it has not got the turn yet, or has none of its own.
            return mark
        frame = frame.f_back
    return ""


# By the identities of the functions' code.
_MARKED: Dict[int, str] = {id(await_turn.__code__): "comes"}
_REPLACING = threading.RLock()
_OWNER = re.compile(r" owner=(\d+) ")

# Seconds after which who waits for its turn looks whether it was left behind.
_LOOK = 0.05
