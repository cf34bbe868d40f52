"""One message to many connections."""

from __future__ import annotations

import concurrent.futures
import ctypes
import sys
from typing import Any, Iterable, List

from . import _constants as c
from ._errors import meaning
from ._native import abi
from ._prototypes import Message
from ._text import payload_in
from .connection import Connection
from .exceptions import ConnectionClosed
from .typing import DataLike


def broadcast(
    connections: Iterable[Connection],
    message: DataLike,
    raise_exceptions: bool = False,
    *,
    text: bool | None = None,
    **kwargs: Any,
) -> None:
    """Sends a message to many connections. Those that are not open are passed over; those that do not take it at once are
    waited for, all at the same time.

    :param raise_exceptions: raise what has failed, instead of logging it
    :param text: as for :meth:`Connection.send`
    :param kwargs: of the ``ThreadPoolExecutor`` that waits for slow connections
    :raises TypeError: the message is neither ``str`` nor bytes-like
    """
    if isinstance(message, str):
        payload, kind = str.encode(message), c.BINARY if text is False else c.TEXT
    else:
        payload, kind = payload_in(message, "message")[0], c.TEXT if text else c.BINARY
    receivers = list(connections)
    statuses = _send_many(receivers, kind | c.DONT_WAIT, payload)
    slow = [receiver for receiver, status in zip(receivers, statuses) if status == c.ERR_WOULD_BLOCK]
    failures: List[Exception] = [
        RuntimeError(f"failed to write message: {meaning(status)}")
        for status in statuses
        if status not in (c.OK, c.ERR_WOULD_BLOCK, c.ERR_CLOSED, c.ERR_HANDLE)
    ]
    if slow:
        failures += _wait_for(slow, message, text, kwargs)
    if failures and raise_exceptions:
        _raise(failures)
    for failure in failures:
        receivers[0].logger.warning("skipped broadcast: %s", failure)


def _send_many(receivers: List[Connection], kind: int, payload: bytes) -> List[int]:
    if not receivers:
        return []
    messages, statuses = (Message * len(receivers))(), (ctypes.c_int32 * len(receivers))()
    held = ctypes.c_char_p(payload)
    data = ctypes.cast(held, ctypes.c_void_p).value
    for message, receiver in zip(messages, receivers):
        message.conn, message.data, message.length, message.kind = receiver._conn, data, len(payload), kind
    abi.raddle_send_many(ctypes.byref(messages), len(receivers), ctypes.byref(statuses))
    return list(statuses)


def _wait_for(slow: List[Connection], message: DataLike, text: bool | None, options: Any) -> List[Exception]:
    def send(connection: Connection) -> Exception | None:
        try:
            connection.send(message, text=text)
        except ConnectionClosed:
            return None
        except Exception as error:
            return error
        return None

    with concurrent.futures.ThreadPoolExecutor(**options) as executor:
        return [error for error in executor.map(send, slow) if error is not None]


def _raise(failures: List[Exception]) -> None:
    if sys.version_info >= (3, 11):
        raise ExceptionGroup("skipped broadcast", failures)
    raise failures[0]
