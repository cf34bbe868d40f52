"""How a connection has ended, as the exception that says so."""

from __future__ import annotations

import ctypes

from . import _constants as c
from ._native import abi
from ._text import text_out
from .exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from .frames import Close


def ending(conn: int, our_reason: str = "") -> ConnectionClosed | None:
    """Makes the exception for a connection that has ended; ``None``: its end was not seen yet.

    :param our_reason: the reason of our Close, which the library does not keep
    """
    cause, code = ctypes.c_uint32(), ctypes.c_uint16()
    status = abi.raddle_conn_end(conn, ctypes.byref(cause), ctypes.byref(code), None, None, 0, None)
    if status != c.OK:
        return None
    reason = text_out(abi.raddle_conn_close_reason, conn)
    received = None if reason is None else Close(code.value, reason)
    sent_code = ctypes.c_uint16()
    sent = None
    if abi.raddle_conn_sent_code(conn, ctypes.byref(sent_code)) == c.OK:
        sent = Close(sent_code.value, our_reason if cause.value == c.CAUSE_LOCAL_CLOSE else "")
    first = cause.value == c.CAUSE_PEER_CLOSE if received and sent else None
    how = _in_words(conn)
    is_ok = received is not None and sent is not None and received.code in _OK and sent.code in _OK
    return (ConnectionClosedOK if is_ok else ConnectionClosedError)(received, sent, first, how)


def _in_words(conn: int) -> str:
    place, length = ctypes.create_string_buffer(512), ctypes.c_size_t()
    cause = ctypes.c_uint32()
    status = abi.raddle_conn_end(conn, ctypes.byref(cause), None, None, place, len(place), ctypes.byref(length))
    return place.raw[: length.value].decode(errors="replace") if status == c.OK else ""


# RFC 6455, section 7.4.1; 1005 is a Close without a code.
_OK = (1000, 1001, 1005)
