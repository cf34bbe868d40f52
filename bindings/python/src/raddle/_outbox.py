"""What the fast face sends: messages in, few calls of the library out."""

from __future__ import annotations

import ctypes
import struct
import threading
from typing import Callable, List, Tuple

from . import _constants as c
from ._errors import failure
from ._native import abi, plain


class Outbox:
    """Messages of one server that have not been handed to the library yet.

    The thread that polls packs what it sends until its next poll; what others send leaves at once, and takes along what is
    there. ``thread`` is the one that polls, by ``threading.get_ident``.
    """

    __slots__ = ("parts", "thread", "unsent", "_lock", "_is_busy", "_statuses", "_on_unsent")

    def __init__(self, on_unsent: Callable[[], object]) -> None:
        # Of each message its header and its payload. One list for good, and changed in single steps: any thread may.
        self.parts: List[bytes] = []
        self.thread = 0
        # Messages that the library has not taken: connection, whether it is a text, payload, status.
        self.unsent: List[Tuple[int, bool, bytes, int]] = []
        self._on_unsent = on_unsent
        # Held while messages are handed over, so that they keep their order. A signal handler may send amid that.
        self._lock = threading.RLock()
        self._is_busy = False
        self._statuses = (ctypes.c_int32 * MOST)()

    def flush(self) -> None:
        """Hands over what is there. Does not wait.

        :raises RuntimeError: the process was forked from one that uses the library
        """
        if not self.parts:
            return
        with self._lock:
            # Otherwise a signal handler calls amid this, and the messages it has sent are seen when it returns.
            if not self._is_busy:
                self._is_busy = True
                try:
                    while self.parts:
                        self._hand_over()
                finally:
                    self._is_busy = False

    def send_large(self, number: int, kind: int, payload: bytes) -> None:
        """Hands over a message that is not worth packing, behind those that are there."""
        with self._lock:
            if self._is_busy:
                self.parts.extend((pack_header(number, kind, len(payload)), payload))
                return
            self.flush()
            status = abi.raddle_send(number, kind, payload, len(payload))
            if status not in (c.OK, c.ERR_CLOSED):
                self.unsent.append((number, kind == TEXT, payload, status))
                self._on_unsent()

    def _hand_over(self) -> None:
        parts, statuses = self.parts, self._statuses
        taken = parts[: 2 * MOST]
        packed = b"".join(taken)
        size = ctypes.c_size_t(len(packed))
        # Ctrl-C can come at any point, and each message leaves once all the same.
        statuses[0] = NOT_TRIED
        try:
            status = _send_packed(packed, size, statuses, _MOST)
        finally:
            if statuses[0] != NOT_TRIED:
                del parts[: len(taken)]
        if statuses[0] == NOT_TRIED:
            raise failure(status)
        if status != c.OK:
            self._note(taken)

    def _note(self, taken: List[bytes]) -> None:
        """Keeps what was not sent. What a peer that has gone did not get is told by the end of its connection."""
        count = len(taken) // 2
        refused = [place for place in range(count) if self._statuses[place] not in (c.OK, c.ERR_CLOSED)]
        for place in refused:
            number, kind, _ = unpack_header(taken[2 * place])
            self.unsent.append((number, kind == TEXT, taken[2 * place + 1], self._statuses[place]))
        if refused:
            self._on_unsent()


_HEADER = struct.Struct("=QII")
pack_header = _HEADER.pack
unpack_header = _HEADER.unpack

# The kinds of messages, with headers as without: whoever sends does not wait, for nobody is to wait for the one that does.
TEXT, BINARY = c.TEXT | c.DONT_WAIT, c.BINARY | c.DONT_WAIT

# Messages that one call takes; more than so many do not wait for the next poll.
MOST = 512
# Bytes from which a message is handed over by itself: what is packed is copied.
LARGE = 16 * 1024

_MOST = ctypes.c_size_t(MOST)
# No status of the library.
NOT_TRIED = 1
_send_packed = plain("raddle_send_packed")
