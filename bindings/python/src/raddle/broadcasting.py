"""One message to many connections."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterable
from typing import Any, List

from . import _constants as c
from ._errors import meaning
from ._native import abi
from ._prototypes import Message
from ._text import payload_in
from .connection import Connection
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
    :param kwargs: of a ``ThreadPoolExecutor``, as programs give them; of no effect, as no thread is needed
    :raises TypeError: the message is neither ``str`` nor bytes-like, or something is no connection
    :raises ValueError: the message is to be a text, and is no UTF-8
    """
    if isinstance(message, str):
        payload, kind = str.encode(message), c.BINARY if text is False else c.TEXT
    else:
        payload, kind = payload_in(message, "message")[0], c.TEXT if text else c.BINARY
    unknown = sorted(set(kwargs) - {"max_workers", "thread_name_prefix", "initializer", "initargs"})
    if unknown:
        raise TypeError(f"broadcast() got an unexpected keyword argument {unknown[0]!r}")
    if not isinstance(connections, Iterable):
        raise TypeError(f"connections must be an iterable of Connection, not {type(connections).__name__}")
    waiting = list(connections)
    for receiver in waiting:
        if not isinstance(receiver, Connection):
            raise TypeError(f"connections must be an iterable of Connection, with {type(receiver).__name__} in it")
    failures: List[Exception] = []
    pause = 0.0005
    while waiting:
        statuses = _send_many(waiting, kind | c.DONT_WAIT, payload)
        if c.ERR_UTF8 in statuses:
            # That is so for all, and nobody got it.
            raise ValueError("message is not UTF-8, and cannot be sent as a text")
        for receiver, status in zip(waiting, statuses):
            if status not in (c.OK, c.ERR_WOULD_BLOCK, c.ERR_CLOSED, c.ERR_HANDLE):
                failure = RuntimeError(f"failed to write message: {meaning(status)}")
                if raise_exceptions:
                    failures.append(failure)
                else:
                    receiver.logger.warning("skipped broadcast: %s", failure)
        # Whoever takes nothing at all reaches its write deadline, and is closed then.
        waiting = [receiver for receiver, status in zip(waiting, statuses) if status == c.ERR_WOULD_BLOCK]
        if waiting:
            # Not inside the library, where Ctrl-C would not end it.
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
    if failures:
        _raise(failures)


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


def _raise(failures: List[Exception]) -> None:
    if sys.version_info >= (3, 11):
        raise ExceptionGroup("skipped broadcast", failures)
    raise failures[0]
