"""A message that is being received in parts, between which the program does whatever it likes."""

from __future__ import annotations

import codecs
import ctypes
import threading
import time
import weakref
from typing import TYPE_CHECKING

from . import _constants as c
from ._native import abi
from ._prototypes import Message
from ._taking import Received, copied
from ._turn import await_turn, receives
from ._wait import sliced
from .exceptions import ConcurrencyError
from .typing import Data

if TYPE_CHECKING:
    from .connection import Connection


class Parts:
    """Who receives a message in parts, while a part is received as well as while it lies with the program."""

    __slots__ = ("is_over", "_thread", "_decode", "_decoder", "_ended", "__weakref__")

    def __init__(self, decode: bool | None) -> None:
        #: Nobody asks for the rest.
        self.is_over = False
        self._thread = threading.get_ident()
        self._decode = decode
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        # When it was found that the connection has ended.
        self._ended: float | None = None

    def may_be_passed_over(self, has_ended: bool) -> bool:
        """Whether the rest of the message is left to who waits for the end: the program asks for it on this very thread, or has not
        asked for long after the connection has ended."""
        if self._thread == threading.get_ident():
            return True
        if has_ended and self._ended is None:
            self._ended = time.monotonic()
        return self._ended is not None and time.monotonic() - self._ended > _PATIENCE

    def decoded(self, is_text: bool, part: bytes, is_last: bool) -> Data:
        """A part as the program wants it. The library cuts a text between characters, and bytes anywhere."""
        if is_text if self._decode is None else self._decode:
            return self._decoder.decode(part, is_last)
        return part


def under_way(connection: Connection) -> Parts | None:
    """The message that is being received in parts; ``None``: there is none. Only with the turn."""
    # Whoever was interrupted may not have said that it is over, and has gone all the same.
    parts = None if connection._parts is None else connection._parts()
    return None if parts is None or parts.is_over else parts


@receives
def enter(connection: Connection, parts: Parts) -> None:
    """Notes that the next message is received in parts."""
    turn = connection._receiving
    if not turn.acquire(False):
        turn, _ = await_turn(connection, "recv_streaming", None)
    try:
        if under_way(connection) is not None:
            raise ConcurrencyError("cannot call recv_streaming before the message before has come to its end")
        connection._parts = weakref.ref(parts)
    finally:
        turn.release()


@receives
def next_part(connection: Connection, parts: Parts) -> tuple[Received, bool]:
    """Waits for the next part of a message, which lies with the program between two; whether more of it follows."""
    turn = connection._receiving
    if not turn.acquire(False):
        turn, _ = await_turn(connection, "recv_streaming", None)
    try:
        if under_way(connection) is not parts:
            if connection._closed is not None:
                raise connection._closed.again()
            raise ConcurrencyError(_PASSED_OVER)
        if not connection._inbox:
            part = _receive(connection)
            if under_way(connection) is parts:
                return part
            # A signal handler has closed the connection meanwhile, and read on: what has come is of another message.
            raise ConcurrencyError(_PASSED_OVER)
        message = connection._inbox.popleft()
        return (c.TEXT, message.encode()) if isinstance(message, str) else (c.BINARY, message), False
    finally:
        turn.release()


def _receive(connection: Connection) -> tuple[Received, bool]:
    """Waits for the next part; whether more follows. Only with the turn."""
    view = Message()
    status = sliced(lambda ms: abi.raddle_recv_part(connection._conn, ms, ctypes.byref(view)), None)
    if status == c.OK:
        return copied(view), view.detail == c.MORE
    connection._raise_end(status)


_PASSED_OVER = "the rest of the message was passed over by close or wait_closed"

# Seconds.
_PATIENCE = 1.0
