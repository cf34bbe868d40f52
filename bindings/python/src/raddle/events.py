"""What happens on the connections of :class:`raddle.Server`, beside messages, which are ``str`` or ``bytes``."""

from __future__ import annotations

from typing import Union

from .exceptions import ConnectionClosed


class Opened:
    """A connection was opened: its first event."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Opened()"


class Drained:
    """All that waited to be written to a peer has left, after some of it had to wait."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Drained()"


class Closed:
    """A connection has ended: its last event.

    ``code`` and ``reason`` are the peer's (RFC 6455, section 7.1.5): 1005 where its Close had no code, 1006 where there was no
    Close. ``error`` says all of it: a ``ConnectionClosedOK`` or ``ConnectionClosedError``, which using the connection raises from
    then on.
    """

    __slots__ = ("code", "reason", "error")

    def __init__(self, error: ConnectionClosed) -> None:
        self.code = error.code
        self.reason = error.reason
        self.error = error

    def __repr__(self) -> str:
        return f"Closed({self.code}, {self.reason!r}, {self.error})"


class Unsent:
    """A message was not sent, as ``error`` says: as a rule because its peer does not take what was sent before, and the
    outgoing limit is reached."""

    __slots__ = ("message", "error")

    def __init__(self, message: Union[str, bytes], error: Exception) -> None:
        self.message = message
        self.error = error

    def __repr__(self) -> str:
        return f"Unsent({len(self.message)} of {type(self.message).__name__}, {self.error!r})"


Event = Union[str, bytes, Opened, Drained, Closed, Unsent]

OPENED = Opened()
DRAINED = Drained()


