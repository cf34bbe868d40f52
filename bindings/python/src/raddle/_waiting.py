"""Waiting for the end of a connection, which comes behind all its messages: who waits receives them for whoever receives later."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from . import _check
from ._parts import under_way
from ._turn import try_turn, waits
from .exceptions import ConcurrencyError, ConnectionClosed
from .frames import State

if TYPE_CHECKING:
    from .connection import Connection


def wait_closed(connection: Connection, timeout: float | None) -> bool:
    """Waits until a connection has ended; whether it has. ``timeout``: seconds; ``None``: without end."""
    until = None if timeout is None else time.monotonic() + _check.seconds(timeout, "timeout")
    while connection._closed is None:
        turn = _TURN if until is None else max(0.0, min(_TURN, until - time.monotonic()))
        if not _read_for_end(connection, turn):
            # Who receives sees the end; who has stopped receiving leaves it to this thread.
            connection._ended.wait(turn)
        if until is not None and time.monotonic() >= until:
            break
    return connection._closed is not None


def look_for_end(connection: Connection) -> None:
    """Waits for the end of a connection that nothing can be sent on any more, without losing messages that still come."""
    timeout = connection._close_timeout
    until = math.inf if timeout is None else time.monotonic() + timeout + _TURN
    while connection._closed is None and time.monotonic() < until and len(connection._inbox) < _KEPT:
        if not _read_for_end(connection, _TURN):
            connection._ended.wait(_TURN)


@waits
def _read_for_end(connection: Connection, timeout: float) -> bool:
    """Receives for a while; ``False``: it is not for this thread to do that now."""
    turn = try_turn(connection)
    if turn is None:
        return False
    try:
        parts = under_way(connection)
        if parts is not None and (
            connection.state is State.OPEN or not parts.may_be_passed_over(connection.state is State.CLOSED)
        ):
            return False
        if connection.state is State.OPEN and _is_full(connection):
            # As good as not received: the peer feels that, and whoever receives gets them all.
            return False
        connection._parts = None
        if not _read_ahead(connection, timeout):
            return False
        if connection.state is not State.OPEN:
            _forget_surplus(connection)
    finally:
        turn.release()
    return True


def _read_ahead(connection: Connection, timeout: float) -> bool:
    """Receives what comes within a time, for whoever receives later. Only with the turn; ``False``: another thread receives all the
    same."""
    try:
        connection._inbox.append(connection._receive(timeout))
    except (TimeoutError, ConnectionClosed):
        pass
    except ConcurrencyError:
        # The library's own lock is the one that counts.
        return False
    return True


def _is_full(connection: Connection) -> bool:
    """Whether as many messages wait for whoever receives as are kept."""
    inbox = connection._inbox
    return len(inbox) >= _KEPT or sum(map(len, inbox)) >= _KEPT_BYTES


def _forget_surplus(connection: Connection) -> None:
    """Drops the newest messages where nobody receives and there are too many. Only with the turn."""
    inbox = connection._inbox
    size = sum(map(len, inbox))
    while inbox and (len(inbox) > _KEPT or size > _KEPT_BYTES):
        size -= len(inbox.pop())


# Seconds after which a thread that waits for the end looks whether it can see it itself.
_TURN = 0.05

# Messages that come while nobody receives any more are kept up to this number, and this number of bytes.
_KEPT = 1024
_KEPT_BYTES = 2**24
