"""Receiving by the batch: one call takes all messages that have come together, into memory that Python owns.

Each thread has one region, so that a thousand idle connections need none.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import threading
from typing import List, Tuple

from . import _constants as c
from ._native import abi, plain
from ._prototypes import Message
from ._text import bytes_at

#: A message as it was received: ``TEXT`` or ``BINARY``, and its payload.
Received = Tuple[int, bytes]


class Region:
    """Where a thread receives to."""

    __slots__ = ("_bytes", "_views", "_count", "_arguments")

    def __init__(self) -> None:
        # Pages take memory once they are used, and slices are `bytes`.
        self._bytes = mmap.mmap(-1, SIZE)
        self._views = (Message * MOST)()
        self._count = ctypes.c_size_t()
        first = ctypes.c_char.from_buffer(self._bytes)
        self._arguments = (
            ctypes.byref(first), ctypes.c_size_t(SIZE), ctypes.byref(self._views), ctypes.c_size_t(MOST),
            ctypes.byref(self._count),
        )  # fmt: skip

    def receive(self, conn: ctypes.c_uint64, timeout_ms: ctypes.c_int64) -> int:
        """Waits for the next message, and takes those with it that have come already; then see :meth:`messages`.

        :returns: a status; ``ERR_BUFFER``: the message is too large for the region, and :func:`receive_large` gets it
        """
        return _receive(conn, timeout_ms, *self._arguments)

    def first(self) -> Received:
        """The first of the messages that were received."""
        _, _, length, kind, _ = _VIEW.unpack_from(self._views)
        return kind, self._bytes[:length]

    def rest(self) -> List[Received]:
        """Those behind the first."""
        count = self._count.value
        if count == 1:
            return []
        messages = []
        start = 0
        for place in range(count):
            _, _, length, kind, _ = _VIEW.unpack_from(self._views, place * _VIEW.size)
            if place:
                messages.append((kind, self._bytes[start : start + length]))
            start += length
        return messages


def region() -> Region:
    """The region of this thread."""
    try:
        return _OF_THREAD.region  # type: ignore[no-any-return]
    except AttributeError:
        _OF_THREAD.region = made = Region()
        return made


def receive_large(conn: int) -> Tuple[int, Received | None]:
    """Takes the message that was too large for the region: a status, and the message with ``OK``.

    Nobody may free the connection meanwhile.
    """
    view = Message()
    status: int = abi.raddle_recv(conn, 0, ctypes.byref(view))
    return status, copied(view) if status == c.OK else None


def copied(view: Message) -> Received:
    """A message that the library lends, as Python's own."""
    return view.kind, bytes_at(view.data, view.length)


_receive = plain("raddle_recv_batch")
_OF_THREAD = threading.local()
_VIEW = struct.Struct("=QQQII")

#: Bytes that one call takes at most, but for larger messages, which come alone.
SIZE = 65536
#: Messages that one call takes at most.
MOST = 64
