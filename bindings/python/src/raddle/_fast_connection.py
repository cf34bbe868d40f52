"""Connections of :class:`raddle.Server`."""

from __future__ import annotations

import ctypes
from threading import get_ident
from typing import TYPE_CHECKING, Any, Optional, Tuple, Union

from . import _constants as c
from ._errors import check
from ._native import abi
from ._outbox import BINARY, LARGE, MOST, TEXT, Outbox, pack_header
from ._text import payload_in, text_in, text_out
from .events import Closed
from .exceptions import ConnectionClosedError

if TYPE_CHECKING:
    from .fast import Server


class Connection:
    """A client of :class:`raddle.Server`. Any thread may use it.

    ``data`` is the program's. ``closed`` is its last event, once it has come. Sending never waits, and a message that could not
    be sent is an :class:`Unsent <raddle.events.Unsent>` event. Where this says that something is raised for a connection that
    has ended, it is once its last event and the others of the same turn were given; until then what is sent is passed over.
    """

    __slots__ = ("number", "data", "closed", "_server", "_outbox", "_parts", "__weakref__")

    def __init__(self, number: int, server: Server, outbox: Outbox) -> None:
        # The library's id; 0: it has ended.
        self.number = number
        self.data: Any = None
        self.closed: Closed | None = None
        self._server = server
        self._outbox = outbox
        self._parts = outbox.parts

    def send(self, message: Union[str, bytes, bytearray, memoryview]) -> None:
        """Sends a message: a text for a ``str``, which has to be encodable, else a binary one.

        On the thread that polls it leaves with the next poll or :meth:`Server.flush <raddle.Server.flush>`, on another at once.

        :raises ConnectionClosed: the connection has ended
        :raises TypeError: it is neither ``str`` nor bytes-like
        :raises UnicodeEncodeError: the text has lone surrogates
        """
        if type(message) is bytes:
            payload, kind = message, BINARY
        elif type(message) is str:
            payload, kind = message.encode(), TEXT
        else:
            payload, kind = payload_of(message)
            kind |= c.DONT_WAIT
        number = self.number
        if not number:
            raise self._gone()
        length = len(payload)
        if length > LARGE:
            return self._outbox.send_large(number, kind, payload)
        parts = self._parts
        parts.extend((pack_header(number, kind, length), payload))
        if get_ident() != self._outbox.thread or len(parts) > 2 * MOST:
            self._outbox.flush()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begins the closing handshake, behind what was sent. Messages that are on their way still come; then the connection's
        last event does. Does nothing where it was begun.

        :raises ValueError: ``code`` may not be sent (RFC 6455, section 7.4), or ``reason`` has more than 123 bytes
        """
        if type(code) is not int:
            raise TypeError(f"code must be an int, not {type(code).__name__}")
        if not 1000 <= code < 5000:
            raise ValueError(f"code must be 1000 to 4999, not {code}")
        text = text_in(reason, "reason")
        if len(text) > 123:
            raise ValueError(f"reason has {len(text)} bytes, and a Close has space for 123")
        number = self.number
        if number:
            self._outbox.flush()
            status = abi.raddle_close(number, code, text)
            if status != c.ERR_CLOSED:
                check(status)

    def cut(self) -> None:
        """Ends the connection at once, without a closing handshake. What was not sent is dropped."""
        if self.number:
            abi.raddle_cut(self.number)

    def pause(self) -> None:
        """Has nothing more read of the peer until :meth:`resume`: what it sends stays in the socket, and it feels that. Its events
        of the current turn still come. Neither is its Close read, until this side closes."""
        self._check(abi.raddle_pause(self._id()))

    def resume(self) -> None:
        """Has the peer read again. Does nothing where the connection has ended."""
        if self.number:
            abi.raddle_resume(self.number)

    def subscribe(self, topic: str) -> None:
        """Has it get what is published to a topic, until it ends.

        :raises ConnectionClosed: the connection has ended
        :raises ValueError: the topic is empty, or has a NUL in it; or the connection has as many topics as ``max_topics`` of the
            server allows, and keeps those
        """
        self._check(abi.raddle_server_subscribe(self._server.handle, self._id(), text_in(topic, "topic")))

    def unsubscribe(self, topic: str) -> None:
        """Ends a subscription; does nothing where there is none.

        :raises ConnectionClosed: the connection has ended
        """
        status = abi.raddle_server_unsubscribe(self._server.handle, self._id(), text_in(topic, "topic"))
        if status != c.ERR_NOT_FOUND:
            self._check(status)

    @property
    def target(self) -> str:
        """Path and query that the client has asked for."""
        return self._text("raddle_conn_target") or ""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed."""
        return self._text("raddle_conn_subprotocol")

    @property
    def identity(self) -> str | None:
        """Who the client is, as was said when its request was accepted."""
        return self._text("raddle_conn_identity")

    @property
    def remote_address(self) -> Tuple[str, int] | None:
        """The peer's address and port; ``None`` for a Unix socket."""
        text = self._text("raddle_conn_peer")
        if text is None:
            return None
        host, _, port = text.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def local_address(self) -> Tuple[str, int] | None:
        """The address and port of this side; ``None`` for a Unix socket."""
        text = self._text("raddle_conn_local_address")
        if text is None:
            return None
        host, _, port = text.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def queued(self) -> int:
        """Bytes that wait to be written, without those that the next poll hands over."""
        size = ctypes.c_size_t()
        self._check(abi.raddle_conn_queued(self._id(), ctypes.byref(size)))
        return size.value

    @property
    def latency(self) -> float | None:
        """The last round-trip time that keepalive has measured, in seconds; ``None`` before."""
        microseconds = ctypes.c_uint64()
        status = abi.raddle_conn_round_trip(self._id(), ctypes.byref(microseconds))
        if status == c.ERR_NOT_FOUND:
            return None
        self._check(status)
        return microseconds.value / 1e6

    def __repr__(self) -> str:
        return f"<raddle.fast.Connection {self.number or self.closed!r}>"

    def _id(self) -> int:
        if not self.number:
            raise self._gone()
        return self.number

    def _text(self, name: str) -> str | None:
        return text_out(getattr(abi, name), self._id())

    def _check(self, status: int) -> None:
        if status == c.ERR_CLOSED:
            raise self._gone()
        check(status)

    def _gone(self) -> Exception:
        return self.closed.error.again() if self.closed else ConnectionClosedError(None, None)


def payload_of(message: object) -> Tuple[bytes, int]:
    """Gives the bytes of a message, a copy where they could change, and its kind."""
    if isinstance(message, str):
        return str.encode(message), c.TEXT
    if isinstance(message, (bytes, bytearray, memoryview)):
        return payload_in(message, "message")[0], c.BINARY
    raise TypeError(f"message must be a str or bytes-like, not {type(message).__name__}")
