"""A message that is being received in parts, between which the program does whatever it likes."""

from __future__ import annotations

import codecs
import threading
import time

from .typing import Data


class Parts:
    """Who receives a message in parts, while a part is received as well as while it lies with the program."""

    __slots__ = ("_thread", "_decode", "_decoder", "_ended")

    def __init__(self, decode: bool | None) -> None:
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


# Seconds.
_PATIENCE = 1.0
