"""What the fast face receives: one call of the library in, the events of a turn out.

The payloads of a turn are copied into one region of Python's, and made objects of from there: no view of memory of the library
gets out.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from typing import Callable, Dict, Iterator, List, Tuple

from . import _constants as c
from ._ending import ending
from ._errors import check
from ._fast_connection import Connection
from ._native import plain
from ._prototypes import Message
from ._text import bytes_at
from .events import DRAINED, OPENED, Closed, Event
from .exceptions import ConnectionClosedError

Happened = Tuple[Connection, Event]

#: The events of a turn, and the one iterator that gives them.
Turn = Tuple[List[Happened], Iterator[Happened]]


class Inbox:
    """The events of one server, for one thread at a time.

    ``connections`` are those whose last event was not given in a turn before this one, by their ids. ``turn`` is what was found
    until somebody takes it, by setting it to ``None``.
    """

    def __init__(self, server: ctypes.c_void_p, connect: Callable[[int], Connection]) -> None:
        self.connections: Dict[int, Connection] = {}
        self._server = server
        self._connect = connect
        self.turn: Turn | None = None
        self._departed: List[int] = []
        # Handles of requests to be decided on.
        self.requests: List[int] = []
        self.status = c.OK
        # Pages take memory once they are used, and what is read off them is `bytes`.
        self._bytes = mmap.mmap(-1, REGION, flags=mmap.MAP_PRIVATE)
        self._region = (ctypes.c_char * REGION).from_buffer(self._bytes)
        self._table = bytearray(MOST * ctypes.sizeof(Message))
        self._rows = (ctypes.c_char * len(self._table)).from_buffer(self._table)
        # Events that are in the table, and were not read off it.
        self._count = ctypes.c_size_t()

    def take(self, timeout_ms: int) -> Turn | None:
        """Waits for events and gives them, again where nobody has taken them, or ``None``, which ``status`` gives the cause of:
        ``ERR_TIMEOUT``, ``ERR_INTERRUPTED`` by a wake or a signal, or ``ERR_CLOSED`` where the server has ended.

        :raises RuntimeError: the server was freed
        """
        # Ctrl-C can come at any point, and each event is given once all the same: `turn` and `_count` say how far this has come.
        if self.turn is None:
            if not self._count.value and not self._poll(timeout_ms):
                return None
            happened = self._read()
            self.turn = (happened, iter(happened))
        self._count.value = 0
        return self.turn

    def _poll(self, timeout_ms: int) -> bool:
        self._let_go()
        wait, count = ctypes.c_int64(timeout_ms), ctypes.byref(self._count)
        self.status = _poll_batch(self._server, wait, self._region, _REGION, self._rows, _MOST, count)
        if self.status in (c.ERR_TIMEOUT, c.ERR_INTERRUPTED, c.ERR_CLOSED):
            return False
        check(self.status)
        return True

    def _read(self) -> List[Happened]:
        """Makes objects of the events in the table."""
        table, region, connections = self._table, self._bytes, self.connections
        happened: List[Happened] = []
        append = happened.append
        read: Callable[[int], bytes] = region.read
        count = self._count.value
        region.seek(0)
        if count == 1:
            _, address, length, _, _ = _ROW.unpack_from(table)
            if length > REGION:
                # Too large for the region, so it lies with the library until the next turn.
                read = _lent(address)
        for number, address, length, kind, _ in _ROW.iter_unpack(memoryview(table)[: count * _ROW.size]):
            if kind == _BINARY:
                append((connections[number], read(length)))
            elif kind == _TEXT:
                append((connections[number], read(length).decode()))
            elif kind == c.OPENED:
                connection = connections.get(number)
                if connection is None:
                    connection = connections[number] = self._connect(number)
                append((connection, OPENED))
            elif kind == c.DRAINED:
                append((connections[number], DRAINED))
            elif kind == c.CLOSED:
                connection = connections[number]
                connection.closed = closed = Closed(ending(number) or ConnectionClosedError(None, None))
                # Its reason.
                read(length)
                self._departed.append(number)
                append((connection, closed))
            elif kind == c.REQUEST:
                # Where this was interrupted before, it is there already.
                if address not in self.requests:
                    self.requests.append(address)
        return happened

    def _let_go(self) -> None:
        """Forgets the connections whose last event was given."""
        while self._departed:
            connection = self.connections.pop(self._departed.pop(), None)
            if connection is not None:
                connection.number = 0


def _lent(address: int) -> Callable[[int], bytes]:
    def read(length: int) -> bytes:
        return bytes_at(address, length)

    return read


_ROW = struct.Struct("=QQQII")

# Bytes of the payloads of one turn, beside a larger one, which comes alone. As much as a turn of the library receives.
REGION = 256 * 1024
# Events of one turn.
MOST = 1024

# Looked up for each message.
_TEXT, _BINARY = c.TEXT, c.BINARY

_REGION = ctypes.c_size_t(REGION)
_MOST = ctypes.c_size_t(MOST)
_poll_batch = plain("raddle_server_poll_batch")
