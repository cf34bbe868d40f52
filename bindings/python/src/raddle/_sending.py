"""Sending what does not leave by one call: messages that have to wait, and messages in fragments."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable

from . import _constants as c
from ._native import abi
from ._text import payload_in
from ._wait import slice_ms
from .exceptions import ConcurrencyError

if TYPE_CHECKING:
    from .connection import Connection


def wait_and_send(conn: int, kind: int, payload: Any) -> int:
    """Sends a message as soon as the peer has taken enough of what was sent before; a status.

    The main thread does not wait inside the library, where Ctrl-C would not end it.
    """
    return _wait(lambda how: abi.raddle_send(conn, kind | how, payload, len(payload)))


def _wait(send: Callable[[int], int]) -> int:
    """Calls ``send`` until it need not wait, or has waited; its argument is ``DONT_WAIT`` or 0."""
    if slice_ms() < 0:
        return send(0)
    pause = 0.0005
    while True:
        time.sleep(pause)
        status = send(c.DONT_WAIT)
        if status != c.ERR_WOULD_BLOCK:
            return status
        pause = min(pause * 2, 0.02)


def send_fragments(connection: Connection, message: object, text: bool | None) -> None:
    """Sends what an iterable gives as the fragments of one message, each as it comes. Those of another thread wait meanwhile.

    Where it raises, or gives something else, the message cannot be finished, and the connection is closed with 1011.
    """
    if isinstance(message, Mapping):
        raise TypeError("message must not be a mapping: send its keys() if you mean these")
    if not isinstance(message, Iterable):
        raise TypeError(f"message must be str, bytes-like or an iterable of these, not {type(message).__name__}")
    fragments = iter(message)
    try:
        first = next(fragments)
    except StopIteration:
        return
    if not isinstance(first, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"message must be an iterable of str or bytes-like, with {type(first).__name__} in it")
    if connection._fragmenter == threading.get_ident():
        # An iterable of this thread's asks for it, amid its own message.
        raise ConcurrencyError("cannot call send while a message of fragments is being sent")
    me = threading.get_ident()
    with connection._fragmenting:
        connection._fragmenter = me
        try:
            _send_all(connection, first, fragments, text)
        finally:
            connection._fragmenter = 0


def _send_all(connection: Connection, first: Any, others: Iterable[Any], text: bool | None) -> None:
    of_text = isinstance(first, str)
    kind = c.TEXT if (of_text if text is None else text) else c.BINARY
    payload = _encoded(first)
    # Where a signal handler raises nobody knows whether it has.
    has_begun = True
    try:
        status = _send(connection, kind, payload, c.MORE)
        if status != c.OK:
            has_begun = False
            connection._raise_for(status)
        for fragment in others:
            if isinstance(fragment, str) is not of_text:
                raise TypeError("message must be an iterable of one type")
            _check(connection, _send(connection, kind, _encoded(fragment), c.MORE))
        _check(connection, _send(connection, kind, b"", 0))
    except BaseException:
        if has_begun:
            if abi.raddle_close(connection._conn, 1011, _REASON.encode()) == c.OK:
                connection._reason = _REASON
        raise


def _encoded(fragment: Any) -> Any:
    return str.encode(fragment) if isinstance(fragment, str) else payload_in(fragment, "message")[0]


def _check(connection: Connection, status: int) -> None:
    if status != c.OK:
        connection._raise_for(status)


def _send(connection: Connection, kind: int, payload: Any, more: int) -> int:
    """Sends a fragment; a status."""
    conn, size = connection._conn, len(payload)
    status: int = abi.raddle_send_fragment(conn, kind | c.DONT_WAIT, payload, size, more)
    if status == c.ERR_WOULD_BLOCK:
        status = _wait(lambda how: abi.raddle_send_fragment(conn, kind | how, payload, size, more))
    return status


_REASON = "error in fragmented message"
