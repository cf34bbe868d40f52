"""The server: a function that handles one connection runs on a thread for each."""

from __future__ import annotations

import ctypes
import logging
import os
import socket
import threading
import weakref
from types import TracebackType
from typing import Any, Callable, Mapping, Optional, Sequence, Set, Type

from . import _check, _settings
from . import _constants as c
from ._errors import check, last_error
from ._handle import Handle
from ._native import abi
from ._opening import Opening, OriginLike, ProcessRequest, ProcessResponse, SelectSubprotocol
from ._text import text_in
from ._wait import Latch, sliced
from .auth import basic_auth
from .broadcasting import broadcast
from .connection import Connection
from .deflate import Deflate
from .exceptions import ConnectionClosed, ProtocolError
from .frames import CloseCode, State, may_be_sent
from .http11 import SERVER, Response
from .ssl import SSLContext
from .typing import LoggerLike, PathLike

__all__ = ["Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]


class ServerConnection(Connection):
    """A connection of a server, which :func:`serve` hands to the handler."""

    #: Who the client is, where :func:`basic_auth` has asked.
    username: str
    #: What :func:`raddle.route` has found for its path, and what it is called with beside the connection.
    handler: Handler
    handler_kwargs: Mapping[str, Any]

    def __init__(self, server: Server) -> None:
        super().__init__()
        #: The server that it is of.
        self.server = server
        self._logger = server.logger
        self._close_timeout = server._close_timeout

    def respond(self, status: int, text: str) -> Response:
        """Makes an HTTP response with a plain text, for ``process_request`` and ``process_response`` to return."""
        return Response._text(int(status), text)


Handler = Callable[[ServerConnection], Any]


class Server:
    """A server that :func:`serve` has made. It listens; :meth:`serve_forever` serves.

    As a context manager it is shut down at the end of the block.
    """

    def __init__(
        self,
        handler: Handler,
        config: Handle,
        opening: Opening,
        listening: socket.socket | None,
        logger: LoggerLike,
        close_timeout: float | None,
        create_connection: Callable[[Server], ServerConnection],
    ) -> None:
        #: The socket that it listens on; ``None`` for one that has a path.
        self.socket = listening
        # For the log, also where another thread has closed the socket.
        self._place = _name_of(listening)
        self.handler = handler
        self.logger = logger
        self._opening = opening
        self._close_timeout = close_timeout
        self._create = create_connection
        place = ctypes.c_void_p()
        check(abi.raddle_server_new(config.value, ctypes.byref(place)))
        self._handle = place.value or 0
        self._free = weakref.finalize(self, abi.raddle_server_free, self._handle)
        # Guards what follows.
        # A signal handler may shut the server down, on a thread that holds it.
        self._lock = threading.RLock()
        self._connections: Set[ServerConnection] = set()
        self._threads: Set[threading.Thread] = set()
        self._is_started = False
        self._is_stopped = False
        # The threads that wait in `shutdown`, which is not to wait for them.
        self._stopping: Set[threading.Thread] = set()
        # No further connection is taken, and all threads of those that were have been entered.
        self._ended = Latch()

    @property
    def connections(self) -> Set[ServerConnection]:
        """The open connections, for :func:`broadcast` for one."""
        with self._lock:
            there = list(self._connections)
        return {connection for connection in there if connection.state is State.OPEN}

    def serve_forever(self) -> None:
        """Serves until :meth:`shutdown` is called, on another thread; returns where it was called before.

        :raises RuntimeError: it serves already
        """
        with self._lock:
            if self._is_stopped:
                return
            if self._is_started:
                raise RuntimeError("the server serves already")
            self._is_started = True
        try:
            check(abi.raddle_server_start(self._handle))
            self.logger.info("server listening on %s", self._place)
            # Not on this thread, which may be the main one, where it would keep Ctrl-C waiting.
            threading.Thread(target=self._take_requests, name="raddle-accept", daemon=True).start()
        except BaseException:
            self._ended.open()
            raise
        self._ended.wait()

    def shutdown(self, close_connections: bool = True, code: int = CloseCode.GOING_AWAY, reason: str = "") -> None:
        """Takes no more connections, closes those that are open, and waits until all handlers have returned.

        May be called again, and from handlers, which it does not wait for.

        :param close_connections: ``False`` waits until they end by themselves
        :param code: and ``reason``: what the connections are closed with
        :raises ProtocolError: the code may not be sent (RFC 6455, section 7.4), or the reason is too long
        """
        number, encoded = _check.integer(code, "code", 0, 65535), text_in(reason, "reason")
        if not may_be_sent(number):
            raise ProtocolError(f"code may not be sent: {number}")
        if len(encoded) > 123:
            raise ProtocolError(f"reason has {len(encoded)} bytes, and a Close has space for 123")
        self.logger.info("server closing")
        me = threading.current_thread()
        with self._lock:
            self._is_stopped = True
            self._stopping.add(me)
        try:
            self._shut_down(close_connections, number, reason)
        finally:
            with self._lock:
                self._stopping.discard(me)
        self.logger.info("server closed")

    def _shut_down(self, close_connections: bool, code: int, reason: str) -> None:
        with self._lock:
            if not self._is_started:
                self._is_started = True
                self._ended.open()
        if close_connections:
            self._close_all(code, reason)
            grace = 2**40 if self._close_timeout is None else int(self._close_timeout * 1000)
            abi.raddle_server_stop(self._handle, grace)
        else:
            abi.raddle_server_drain(self._handle)
        if self.socket is not None:
            self.socket.close()
        self._ended.wait()
        if not self._wait_for_handlers():
            # The library's own thread lets go of what it listens on.
            sliced(lambda ms: abi.raddle_server_join(self._handle, ms), _PATIENCE)
        self._free()

    def fileno(self) -> int:
        """The descriptor of the socket that it listens on; -1 for one that has a path, and after the shutdown."""
        return -1 if self.socket is None else self.socket.fileno()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.shutdown()

    def _take_requests(self) -> None:
        """Starts a thread for each request, until the server has ended."""
        try:
            place = ctypes.c_void_p()
            while True:
                status = abi.raddle_server_next_request(self._handle, -1, ctypes.byref(place))
                if status == c.OK:
                    self._start(place.value or 0)
                elif status not in (c.ERR_TIMEOUT, c.ERR_INTERRUPTED):
                    if status != c.ERR_CLOSED:
                        self.logger.error("server failed: %s", last_error())
                    return
        finally:
            self._ended.open()

    def _start(self, request: int) -> None:
        thread = threading.Thread(target=self._serve, args=(request,), name="raddle-connection", daemon=True)
        with self._lock:
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            with self._lock:
                self._threads.discard(thread)
            self.logger.warning("connection refused: %s", error)
            abi.raddle_request_refuse(request, 503)

    def _serve(self, request: int) -> None:
        """The life of one connection, on its thread."""
        try:
            connection = self._create(self)
            if self._opening.decide(connection, request):
                self._handle_one(connection)
        except BaseException:
            # Of another kind too: it ends this thread, and nobody else would tell.
            self.logger.error("opening handshake failed", exc_info=True)
        finally:
            abi.raddle_request_free(request)
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _handle_one(self, connection: ServerConnection) -> None:
        with self._lock:
            self._connections.add(connection)
        code = CloseCode.NORMAL_CLOSURE
        try:
            self.handler(connection)
        except ConnectionClosed as closed:
            # A handler need not know that its client has gone; who asks for the log gets it.
            if connection._closed is None or connection._closed.args != closed.args:
                connection.logger.error("connection handler failed", exc_info=True)
                code = CloseCode.INTERNAL_ERROR
            else:
                connection.logger.info("connection closed: %s", closed)
        except BaseException:
            connection.logger.error("connection handler failed", exc_info=True)
            code = CloseCode.INTERNAL_ERROR
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close(code)

    def _close_all(self, code: int, reason: str) -> None:
        with self._lock:
            there = list(self._connections)
        for connection in there:
            if abi.raddle_close(connection._conn, code, reason.encode()) == c.OK:
                connection._reason = reason

    def _wait_for_handlers(self) -> bool:
        """Waits for all handlers but those that call this; whether there is such a one."""
        while True:
            with self._lock:
                threads = self._threads - self._stopping
                is_in_one = len(threads) < len(self._threads)
            if not threads:
                return is_in_one
            for thread in threads:
                thread.join(_TURN)

    def __repr__(self) -> str:
        return f"<raddle.Server on {self._place if self.fileno() >= 0 else 'nothing'}>"


def serve(
    handler: Handler,
    host: str | None = None,
    port: int | None = None,
    *,
    sock: socket.socket | None = None,
    ssl: SSLContext | None = None,
    origins: Sequence[OriginLike] | None = None,
    hosts: Sequence[str] | None = None,
    extensions: None = None,
    subprotocols: Sequence[str] | None = None,
    select_subprotocol: SelectSubprotocol | None = None,
    compression: str | Deflate | None = "deflate",
    process_request: ProcessRequest | None = None,
    process_response: ProcessResponse | None = None,
    server_header: str | None = SERVER,
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float | None = 10,
    message_timeout: float | None = None,
    write_timeout: float | None = 30,
    min_rate: int = 16 * 1024,
    max_size: int | tuple[int | None, int | None] | None = 2**20,
    max_queue: int | tuple[int | None, int | None] | None = 16,
    max_fragments: int | None = None,
    max_buffered: int | None = 512 * 2**20,
    max_connections: int | None = None,
    max_connections_per_ip: int | None = None,
    logger: LoggerLike | None = None,
    create_connection: Type[ServerConnection] | None = None,
    path: PathLike | None = None,
    **kwargs: Any,
) -> Server:
    """Makes a server, which listens when this returns. ``handler(connection)`` is called for each connection, on a thread of
    its own; when it returns the connection is closed with 1000, when it raises with 1011.

    ::

        def echo(websocket):
            for message in websocket:
                websocket.send(message)

        with raddle.serve(echo, "127.0.0.1", 9001) as server:
            server.serve_forever()

    Times are seconds, sizes bytes; ``None``: no limit.

    :param host: and ``port``: where it listens; ``None``: everywhere, on a port that the system chooses
    :param sock: a socket that listens already, instead
    :param ssl: a :class:`raddle.ssl.SSLContext` with a certificate, for wss
    :param origins: pages that may connect, by their Origin: ``str``, compiled patterns, and ``None`` for clients that send
        none; ``None``: any
    :param hosts: names under which the server may be addressed, against pages of a foreign name that leads to its address;
        ``None``: any
    :param subprotocols: those that are supported, the one that is liked best first; a client that offers none of them is
        refused with 400
    :param select_subprotocol: ``(connection, offered)``: chooses one, or ``None``, instead; :exc:`NegotiationError` refuses
    :param compression: ``"deflate"``: permessage-deflate where the client offers it, or a :class:`raddle.Deflate`; ``None``:
        none
    :param process_request: ``(connection, request)``: a :class:`Response` answers the request, ``None`` goes on
    :param process_response: ``(connection, request, response)``: may change the response, or return another
    :param server_header: the header ``Server``; ``None``: none
    :param open_timeout: for the opening handshake, from the connection to the decision
    :param ping_interval: after such a silence a Ping is sent; ``None``: never
    :param ping_timeout: without an answer to it for so long the connection ends
    :param close_timeout: for the closing handshake
    :param message_timeout: for a message, from its first byte to its last, above what its size takes at ``min_rate``; a peer that
        takes longer is closed with 1008
    :param write_timeout: for a peer to take a message that is sent, above what its size takes at ``min_rate``
    :param min_rate: bytes a second of the slowest peer that is served
    :param max_size: of a message; above it the connection fails with 1009. A pair limits messages and frames
    :param max_queue: checked, and of no effect: the library reads a bounded amount ahead
    :param max_fragments: of a message: 16,384 by default
    :param max_buffered: by all connections together: of messages that are not complete or not received, and of what waits to be
        sent. Above it those that have the most are closed with 1013, whatever ``max_size`` allows
    :param max_connections: at a time, opening handshakes included: 4,096 by default
    :param max_connections_per_ip: at a time
    :param logger: ``logging.getLogger("raddle.server")`` by default
    :param create_connection: a subclass of :class:`ServerConnection`
    :param kwargs: of ``socket.create_server``
    :raises OSError: the address cannot be bound
    :raises TypeError: and :exc:`ValueError`: an argument is not in order; the message names it
    """
    if not callable(handler):
        raise TypeError(f"handler must be callable, not {type(handler).__name__}")
    _check.no_extensions(extensions)
    _check.queue(max_queue)
    _check.logger(logger)
    _check.function(create_connection, "create_connection")
    opening = Opening(
        origins, _check.texts(subprotocols, "subprotocols"), select_subprotocol, process_request, process_response,
        server_header,
    )  # fmt: skip
    listening, path = _listen(host, port, sock, path, kwargs)
    try:
        config = _settings.server_config(
            c.ENGINE_ACCEPT, path=path, sock=listening, ssl=ssl, hosts=hosts, subprotocols=subprotocols,
            compression=compression, open_timeout=open_timeout, ping_interval=ping_interval, ping_timeout=ping_timeout,
            close_timeout=close_timeout, message_timeout=message_timeout, write_timeout=write_timeout, min_rate=min_rate,
            max_size=max_size, max_fragments=max_fragments, max_buffered=max_buffered,
            max_connections=max_connections, max_connections_per_ip=max_connections_per_ip,
        )  # fmt: skip
        log = logging.getLogger("raddle.server") if logger is None else logger
        return Server(handler, config, opening, listening, log, close_timeout, create_connection or ServerConnection)
    except BaseException:
        if listening is not None and sock is None:
            listening.close()
        raise


def unix_serve(handler: Handler, path: PathLike | None = None, **kwargs: Any) -> Server:
    """As :func:`serve`, on a Unix socket. One that nobody listens to any more is replaced; it is removed in the end."""
    if path is None and kwargs.get("sock") is None:
        raise ValueError("path is missing")
    return serve(handler, path=path, **kwargs)


def _name_of(listening: socket.socket | None) -> str:
    if listening is None:
        return "a Unix socket"
    name = listening.getsockname()
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name)


def _listen(
    host: Any, port: Any, sock: socket.socket | None, path: Any, kwargs: dict[str, Any]
) -> tuple[socket.socket | None, Any]:
    """Makes the socket that is listened on; a path is left to the library."""
    given = [name for name, value in (("host", host), ("port", port), ("path", path)) if value is not None]
    if sock is not None:
        if given:
            raise ValueError(f"{given[0]} is incompatible with sock")
        return sock, None
    if path is not None:
        if kwargs:
            raise TypeError(f"serve() got an unexpected keyword argument {next(iter(kwargs))!r}")
        return None, os.fspath(path)
    if host is not None and not isinstance(host, str):
        raise TypeError(f"host must be a str or None, not {type(host).__name__}")
    number = 0 if port is None else _check.integer(port, "port", 0, 65535)
    kwargs.setdefault("backlog", 1024)
    if host is not None and ":" in host:
        kwargs.setdefault("family", socket.AF_INET6)
    return socket.create_server((host or "", number), **kwargs), None


# Seconds that the library's thread gets to end.
_PATIENCE = 5.0

# Seconds after which a thread that waits for handlers looks for Ctrl-C, and for handlers that are new.
_TURN = 0.1
