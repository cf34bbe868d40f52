"""A connection: messages in, messages out, on any thread; what servers' and clients' connections have in common."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
import uuid
import warnings
import weakref
from collections import deque
from threading import get_ident
from types import TracebackType
from typing import Any, Deque, Iterable, Iterator, Literal, NoReturn, Optional, Set, Type, TypeVar, Union, overload

from . import _check, _parts, _sending, _waiting
from . import _constants as c
from ._ending import ending
from ._errors import check, failure
from ._native import abi, held, plain
from ._parts import Parts
from ._taking import INTERPRETER, take
from ._text import payload_in, text_in, text_out
from ._turn import Lock, await_turn, receives
from ._wait import MAIN, SLICE_MS, Latch, slice_ms, sliced
from .exceptions import ConcurrencyError, ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, InvalidState, ProtocolError
from .frames import CloseCode, State
from .http11 import Request, Response
from .ping import Ping
from .typing import Data, DataLike, LoggerLike

__all__ = ["Connection"]

Self = TypeVar("Self", bound="Connection")


class Connection:
    """A WebSocket connection. :func:`raddle.connect` and :func:`raddle.serve` make them.

    Any thread may send, any number of them at a time; one thread receives at a time. While nobody receives, Pings are
    answered all the same. As a context manager it is closed at the end of the block: with 1000, or with 1011 where the
    block has raised an exception.
    """

    def __init__(self) -> None:
        #: The client's request; for a client, what it has asked for.
        self.request: Request | None = None
        #: The server's response; for a server, what it has answered.
        self.response: Response | None = None
        self._conn = 0
        # As an argument of the functions that are called for each message.
        self._at = _conn(0)
        # What was received and is not given yet.
        self._inbox: Deque[Data] = deque()
        # Held by the thread that receives, and by who frees: taken as `_turn` says. A signal handler of that thread may do either.
        self._receiving: Lock = threading.RLock()
        # A message that is being received in parts, while who does that is there.
        self._parts: weakref.ref[Parts] | None = None
        # The threads that come to receive, and have to wait for one that waits for the end.
        self._awaiting: Set[int] = set()
        # Held by the thread that sends a message in fragments, and which that is.
        self._fragmenting = threading.Lock()
        self._fragmenter = 0
        self._closed: Optional[ConnectionClosed] = None
        self._ended = Latch()
        self._reason = ""
        self._close_timeout: float | None = 10.0
        self._remote: Any = None
        self._subprotocol: str | None = None
        self._latency = 0.0
        self._id: uuid.UUID | None = None
        self._logger: LoggerLike | None = None

    # Receiving.

    @overload
    def recv(self, timeout: float | None = None, *, decode: Literal[True]) -> str: ...
    @overload
    def recv(self, timeout: float | None = None, *, decode: Literal[False]) -> bytes: ...
    @overload
    def recv(self, timeout: float | None = None, decode: bool | None = None) -> Data: ...
    @receives
    def recv(self, timeout: float | None = None, decode: bool | None = None) -> Data:
        """Waits for the next message.

        :param timeout: seconds; ``None``: without end; 0 or less: only a message that is there already
        :param decode: ``False`` gives a text as UTF-8 ``bytes``, ``True`` a binary message as ``str``; ``None``: each as it is
        :returns: ``str`` for a text, ``bytes`` for a binary message
        :raises TimeoutError: no message has come in time. Nothing is lost
        :raises ConnectionClosed: the connection has ended, and all messages before were received
        :raises ConcurrencyError: another thread receives
        :raises UnicodeDecodeError: ``decode=True`` and the binary message is no UTF-8
        """
        turn = self._receiving
        if not turn.acquire(False):
            turn, timeout = await_turn(self, "recv", timeout)
        try:
            if self._parts is not None and _parts.under_way(self) is not None:
                raise ConcurrencyError("cannot call recv before the message that recv_streaming gives has come to its end")
            if timeout is not None or self._inbox:
                message = self._inbox.popleft() if self._inbox else self._receive(timeout)
            else:
                found = take(self._at, _SLICE if get_ident() == MAIN else _FOREVER, INTERPRETER)
                message = self._receive(None, found) if isinstance(found, int) else found
        finally:
            turn.release()
        return message if decode is None else _decoded(message, decode)

    def __iter__(self) -> Iterator[Data]:
        """Gives message by message, until the connection has ended as it should.

        :raises ConnectionClosedError: it has ended otherwise
        """
        try:
            while True:
                yield self.recv()
        except ConnectionClosedOK:
            return

    @overload
    def recv_streaming(self, decode: Literal[True]) -> Iterator[str]: ...
    @overload
    def recv_streaming(self, decode: Literal[False]) -> Iterator[bytes]: ...
    @overload
    def recv_streaming(self, decode: bool | None = None) -> Iterator[Data]: ...
    def recv_streaming(self, decode: bool | None = None) -> Iterator[Data]:
        """Gives the next message in parts, as they come: for messages larger than memory. A text is cut between characters.

        :param decode: as for :meth:`recv`
        :raises ConnectionClosed: and :exc:`ConcurrencyError`, as :meth:`recv`
        """
        parts = Parts(decode)
        try:
            _parts.enter(self, parts)
            more = True
            while more:
                (kind, payload), more = _parts.next_part(self, parts)
                if payload or not more:
                    yield parts.decoded(kind == c.TEXT, payload, not more)
        finally:
            # Without a call, behind which Ctrl-C can come.
            parts.is_over = True

    # Sending.

    def send(self, message: Union[DataLike, Iterable[DataLike]], *, text: bool | None = None) -> None:
        """Sends a message: ``str`` as a text; ``bytes``, ``bytearray``, ``memoryview`` as a binary message; an iterable of these
        in fragments, each as it comes.

        It waits where the peer does not take what was sent before.

        :param text: ``True`` sends bytes, which have to be UTF-8, as a text; ``False`` a ``str`` as a binary message
        :raises ConnectionClosed: the connection has ended, or a Close was sent
        :raises ConcurrencyError: this thread is amid a message of fragments
        :raises TypeError: the message is of another type. Nothing was sent
        :raises ValueError: a text is not UTF-8, or has a lone surrogate. Nothing was sent
        :raises TimeoutError: the peer did not take the message in its time; the connection has ended
        """
        if type(message) is bytes:
            payload, kind = message, c.TEXT if text else c.BINARY
        elif isinstance(message, str):
            payload, kind = str.encode(message), c.BINARY if text is False else c.TEXT
        elif isinstance(message, (bytes, bytearray, memoryview)):
            payload, kind = payload_in(message, "message")[0], c.TEXT if text else c.BINARY
        else:
            _sending.send_fragments(self, message, text)
            return
        size = len(payload)
        if size < _SMALL:
            status = _send_held(self._at, _KINDS[kind], payload, _SIZES[size])
        else:
            # What does not leave at once is copied, where the call does not wait for it.
            kinds = _KINDS if size < _LARGE or slice_ms() >= 0 else _WAITING
            status = _send(self._at, kinds[kind], payload, _size(size))
        if status == c.ERR_WOULD_BLOCK:
            status = _sending.wait_and_send(self._conn, kind, payload)
        if status != c.OK:
            self._raise_for(status)

    def ping(self, data: DataLike | None = None, *, ack_on_close: bool = False) -> Ping:
        """Sends a Ping.

        :param data: a payload of at most 125 bytes; ``None``: one of the library's
        :param ack_on_close: the result also counts as come when the connection ends
        :returns: what waits for the Pong: ``ping().wait(timeout)``, and then ``.latency`` in seconds
        :raises ConnectionClosed: the connection has ended
        :raises ProtocolError: the payload is too long
        """
        if data is not None:
            payload = _control(data)
            self._check(abi.raddle_ping(self._conn, payload, len(payload)))
        place = ctypes.c_void_p()
        # Its Pong comes behind that of a Ping before, or in its place (RFC 6455, section 5.5.3).
        self._check(abi.raddle_ping_begin(self._conn, ctypes.byref(place)))
        return Ping(place.value or 0, ack_on_close)

    def pong(self, data: DataLike = b"") -> None:
        """Sends a Pong that answers no Ping. Pings are answered without it.

        :param data: a payload of at most 125 bytes
        :raises ConnectionClosed: the connection has ended
        :raises ProtocolError: the payload is too long
        """
        payload = _control(data)
        self._check(abi.raddle_pong(self._conn, payload, len(payload)))

    # The end.

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Carries out the closing handshake, and waits until the connection has ended: at most the close timeout. Messages that
        come meanwhile can be received, now by another thread or afterwards: 1,024 of them, or 16 MiB.

        Closing a connection that has ended does nothing. Amid a message of fragments, of another thread for example, the code is
        1011, for the message is torn.

        :raises ProtocolError: the code may not be sent (RFC 6455, section 7.4), or the reason is too long
        """
        number = _check.integer(code, "code", 0, 65535)
        encoded = text_in(reason, "reason")
        if self._closed is not None:
            return
        if self._fragmenter:
            number, reason = CloseCode.INTERNAL_ERROR, "close during fragmented message"
            encoded = reason.encode()
        status = abi.raddle_close(self._conn, number, encoded)
        if status == c.OK:
            self._reason = reason
        elif status in (c.ERR_ARGUMENT, c.ERR_UTF8):
            raise ProtocolError(str(failure(status)))
        elif status != c.ERR_CLOSED:
            self._raise_for(status)
        while not self.wait_closed(_GRACE):
            if self.state is State.CLOSED:
                # It has ended, and who receives has not seen that yet.
                return

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Waits until the connection has ended. Messages that come meanwhile can be received as with :meth:`close`.

        :param timeout: seconds; ``None``: without end
        :returns: whether it has ended
        """
        return _waiting.wait_closed(self, timeout)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close(CloseCode.NORMAL_CLOSURE if kind is None else CloseCode.INTERNAL_ERROR)

    # What is known.

    @property
    def id(self) -> uuid.UUID:
        """A name of the connection for logs: a random UUID."""
        if self._id is None:
            self._id = uuid.uuid4()
        return self._id

    @property
    def logger(self) -> LoggerLike:
        """A logger whose records have the connection as ``websocket``."""
        if not isinstance(self._logger, logging.LoggerAdapter):
            parent = self._logger or logging.getLogger("raddle")
            self._logger = logging.LoggerAdapter(parent, {"websocket": weakref.proxy(self)})
        return self._logger

    @property
    def remote_address(self) -> Any:
        """The peer's address: ``(host, port)``, or with two more numbers for IPv6; ``""`` on a Unix socket."""
        return self._remote

    @property
    def local_address(self) -> Any:
        """The address of this side, as :attr:`remote_address` is the peer's; ``None`` where the connection is not open yet, or has
        ended."""
        if self._closed is None:
            try:
                return address_of(text_out(abi.raddle_conn_local_address, self._conn))
            except RuntimeError:
                # It has ended meanwhile, or is not open yet.
                pass
        return None

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed on; ``None``: none was."""
        return self._subprotocol

    @property
    def latency(self) -> float:
        """The last round-trip time that keepalive has measured, in seconds; 0.0 before the first."""
        time_us = ctypes.c_uint64()
        if self._closed is None and abi.raddle_conn_round_trip(self._conn, ctypes.byref(time_us)) == c.OK:
            self._latency = time_us.value / 1e6
        return self._latency

    @property
    def state(self) -> State:
        """Where the connection stands."""
        if self._closed is not None:
            return State.CLOSED
        if self._conn == 0:
            return State.CONNECTING
        state = ctypes.c_uint32()
        if abi.raddle_conn_state(self._conn, ctypes.byref(state)) != c.OK:
            return State.CLOSED
        return State(state.value)

    @property
    def close_code(self) -> int | None:
        """The peer's close code, 1006 where no Close has come; ``None``: the end was not seen yet."""
        return None if self._closed is None else self._closed.code

    @property
    def close_reason(self) -> str | None:
        """The reason of the peer's Close; ``None``: the end was not seen yet."""
        return None if self._closed is None else self._closed.reason

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.name} {self._remote!r}>"

    # What is behind it.

    def _attach(self, conn: int) -> None:
        """Takes an open connection of the library, which is freed with this object."""
        self._conn = conn
        self._at = _conn(conn)
        self._free = weakref.finalize(self, _let_go, conn)
        self._subprotocol = text_out(abi.raddle_conn_subprotocol, conn)
        if self._remote is None:
            self._remote = address_of(text_out(abi.raddle_conn_peer, conn))

    def _receive(self, timeout: float | None, status: int = c.ERR_TIMEOUT) -> Data:
        """Waits for the next message. Only with the turn.

        :param status: what a call that was made before has come to
        """
        found: Union[Data, int] = status
        if timeout is not None or status in (c.ERR_TIMEOUT, c.ERR_INTERRUPTED):
            limit = None if timeout is None else _check.seconds(timeout, "timeout")
            found = sliced(lambda ms: take(self._at, _milliseconds(ms), INTERPRETER), limit)
        if not isinstance(found, int):
            return found
        if found == c.ERR_TIMEOUT:
            raise TimeoutError("timed out in recv()")
        self._raise_end(found)

    def _raise_end(self, status: int) -> NoReturn:
        """Raises what a status of a call that receives stands for. Only with the turn."""
        if self._closed is None and status == c.ERR_CLOSED:
            self._see_end()
        if self._closed is not None:
            raise self._closed.again()
        if status == c.ERR_BUSY:
            raise ConcurrencyError("another thread receives")
        if status == c.ERR_HANDLE:
            raise InvalidState("the opening handshake is not done")
        raise failure(status)

    def _see_end(self) -> None:
        """Keeps how the connection has ended, and frees it. Only with the turn: what it lends is not in use."""
        self._latency = self.latency
        self._closed = ending(self._conn, self._reason) or ConnectionClosedError(None, None)
        self._ended.open()
        self._free()

    def _raise_for(self, status: int) -> NoReturn:
        """Raises what a status of a call that sends stands for."""
        if status in (c.ERR_CLOSED, c.ERR_TIMEOUT):
            _waiting.look_for_end(self)
            if status == c.ERR_TIMEOUT:
                raise TimeoutError("the peer did not take the message in its time")
            raise self._closed.again() if self._closed else ConnectionClosedError(None, None, how="closing")
        if status == c.ERR_HANDLE:
            raise InvalidState("the opening handshake is not done")
        if status in (c.ERR_STATE, c.ERR_BUSY):
            raise ConcurrencyError("cannot call send while a message of fragments is being sent")
        raise failure(status)

    def _check(self, status: int) -> None:
        if status in (c.ERR_CLOSED, c.ERR_HANDLE):
            self._raise_for(status)
        if status == c.ERR_ARGUMENT:
            raise ProtocolError(str(failure(status)))
        check(status)


def address_of(text: str | None) -> Any:
    """Takes apart "192.0.2.1:5000" or "[2001:db8::1]:5000"; ``None``, for a Unix socket, gives the empty string."""
    if text is None:
        return ""
    host, _, port = text.rpartition(":")
    return (host[1:-1], int(port), 0, 0) if host.startswith("[") else (host, int(port))


def _decoded(message: Data, decode: bool) -> Data:
    """A message as ``str`` or as ``bytes``, whatever it is."""
    if isinstance(message, str):
        return message if decode else message.encode()
    return message.decode() if decode else message


def _control(data: object) -> bytes:
    payload = data.encode() if isinstance(data, str) else payload_in(data, "data")[0]
    if len(payload) > 125:
        raise ProtocolError(f"data has {len(payload)} bytes, and a control frame has 125 at most")
    return payload


def _let_go(conn: int) -> None:
    """Frees a connection whose object has gone, or whose end was seen."""
    state = ctypes.c_uint32()
    is_open = abi.raddle_conn_state(conn, ctypes.byref(state)) == c.OK and state.value == c.STATE_OPEN
    abi.raddle_conn_free(conn)
    # At the end of the interpreter, what is open then is let go silently.
    if is_open and threading.main_thread().is_alive():
        warnings.warn("a connection was left open: close it, or use `with`", ResourceWarning, stacklevel=2)


# What a function is called with that takes its arguments as they are: made once where it can be.
_conn, _milliseconds, _size = ctypes.c_uint64.from_param, ctypes.c_int64.from_param, ctypes.c_size_t.from_param
# Waiting on the main thread would keep Ctrl-C waiting.
_KINDS = tuple(ctypes.c_uint32.from_param(kind | c.DONT_WAIT) for kind in (0, c.TEXT, c.BINARY))
_WAITING = tuple(ctypes.c_uint32.from_param(kind) for kind in (0, c.TEXT, c.BINARY))
_SLICE, _FOREVER = _milliseconds(SLICE_MS), _milliseconds(-1)

# Bytes of a message that is compressed, copied and handed to the system sooner than other threads could make use of the time.
_SMALL = 2048
_SIZES = [_size(number) for number in range(_SMALL)]
# Bytes from which a message is not copied to wait, but for the main thread's.
_LARGE = 2**20
_send, _send_held = plain("raddle_send"), held("raddle_send", ctypes.c_int32)

# Seconds that whoever receives gets to see an end.
_GRACE = 1.0
