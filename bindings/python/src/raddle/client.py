"""The client: connects, and gives a connection."""

from __future__ import annotations

import ctypes
import logging
import socket
from typing import Any, Literal, Sequence, Type, TypeVar, overload

from . import _check, _settings
from . import _constants as c
from ._errors import failure, last_error
from ._handle import Handle
from ._native import abi
from ._proxies import proxy_for
from ._refusals import NO_RESPONSE, headers_of, refusal, refused
from ._text import text_in, text_out
from ._wait import slice_ms
from .connection import Connection
from .datastructures import Headers, HeadersLike
from .deflate import Deflate
from .exceptions import InvalidURI
from .http11 import USER_AGENT, Request, Response
from .ssl import SSLContext
from .typing import LoggerLike, PathLike

__all__ = ["ClientConnection", "connect", "reconnect", "unix_connect", "unix_reconnect"]

C = TypeVar("C", bound="ClientConnection")


class ClientConnection(Connection):
    """A connection that :func:`connect` has made."""

    # What it is one of several of, and would close it when it is collected.
    _of_several: object = None

    @classmethod
    def _of(
        cls: Type[C],
        conn: int,
        logger: LoggerLike | None = None,
        close_timeout: float | None = 10,
        additional_headers: HeadersLike | None = None,
    ) -> C:
        """Takes an open connection of the library; ``additional_headers`` are those that it was asked for with."""
        connection = cls()
        connection._logger = logging.getLogger("raddle.client") if logger is None else logger
        connection._close_timeout = close_timeout
        connection._attach(conn)
        target = text_out(abi.raddle_conn_target, conn) or "/"
        connection.request = Request(target, Headers(() if additional_headers is None else additional_headers))
        headers = headers_of(abi.raddle_conn_response_header_at, conn)
        connection.response = Response(101, "Switching Protocols", headers)
        return connection


# Whether another class makes the connections, and whether it is one or several.
@overload
def connect(
    uri: str,
    *,
    sock: socket.socket | None = None,
    ssl: SSLContext | None = None,
    server_hostname: str | None = None,
    origin: str | None = None,
    extensions: None = None,
    subprotocols: Sequence[str] | None = None,
    compression: str | Deflate | None = "deflate",
    additional_headers: HeadersLike | None = None,
    user_agent_header: str | None = USER_AGENT,
    proxy: str | Literal[True] | None = True,
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
    logger: LoggerLike | None = None,
    create_connection: None = None,
    legacy: Literal[True] | None = None,
    source_address: tuple[str, int] | None = None,
    path: PathLike | None = None,
) -> ClientConnection: ...
@overload
def connect(uri: str, *, create_connection: Type[C], legacy: Literal[True] | None = None, **options: Any) -> C: ...
@overload
def connect(uri: str, *, legacy: Literal[False], **options: Any) -> reconnect: ...
def connect(  # type: ignore[misc]
    uri: str,
    *,
    sock: socket.socket | None = None,
    ssl: SSLContext | None = None,
    server_hostname: str | None = None,
    origin: str | None = None,
    extensions: None = None,
    subprotocols: Sequence[str] | None = None,
    compression: str | Deflate | None = "deflate",
    additional_headers: HeadersLike | None = None,
    user_agent_header: str | None = USER_AGENT,
    proxy: str | Literal[True] | None = True,
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
    logger: LoggerLike | None = None,
    create_connection: Type[ClientConnection] | None = None,
    legacy: bool | None = None,
    source_address: tuple[str, int] | None = None,
    path: PathLike | None = None,
) -> Any:
    """Connects to a server, and carries out the opening handshake.

    ::

        with raddle.connect("ws://127.0.0.1:9001/") as websocket:
            websocket.send("Hello")
            print(websocket.recv())

    Times are seconds, sizes bytes; ``None``: no limit.

    :param uri: as ``ws://example.com/chat`` or ``wss://…``; with ``user:password@`` it says who the client is
    :param sock: a socket that is connected already, wherever the URI leads; it is the connection's from then on, and closed here
    :param ssl: a :class:`raddle.ssl.SSLContext`; ``None``: wss is verified by the roots of the system
    :param server_hostname: whose certificate the server has to show, where it is not the URI's
    :param origin: the header ``Origin``
    :param subprotocols: those that are offered, the one that is liked best first
    :param compression: ``"deflate"`` offers permessage-deflate, as does a :class:`raddle.Deflate`; ``None``: not
    :param additional_headers: of the request
    :param user_agent_header: the header ``User-Agent``; ``None``: none
    :param proxy: ``True``: that of the environment; ``None``: none; or its URL: http, socks5, socks5h
    :param open_timeout: for all of connecting: name, TCP, proxy, TLS, opening handshake, redirects
    :param ping_interval: and those behind it: as for :func:`raddle.serve`
    :param create_connection: a subclass of :class:`ClientConnection`
    :param legacy: ``False``: gives a :class:`raddle.reconnect.reconnect` instead, to be iterated over
    :param source_address: the address that is connected from
    :param path: of a Unix socket, to which the connection goes, whatever host the URI names
    :returns: a :class:`ClientConnection`
    :raises InvalidURI: the URI names no WebSocket server
    :raises OSError: no address was found (``socket.gaierror``), or none has answered
    :raises ssl.SSLError: TLS has failed, or the server's certificate is not in order (``ssl.SSLCertVerificationError``)
    :raises InvalidHandshake: the server, or a proxy, has refused: :exc:`InvalidStatus` has the response
    :raises TimeoutError: the time was up
    :raises TypeError: and :exc:`ValueError`: an argument is not in order; the message names it
    """
    options = dict(locals())
    for name in ("uri", "logger", "create_connection", "legacy"):
        del options[name]
    _check.logger(logger)
    _check.function(create_connection, "create_connection")
    if legacy is False:
        return reconnect(uri, logger=logger, create_connection=create_connection, **options)
    client = settings_for(uri, **options)
    if sock is not None:
        # The library has a descriptor of its own for it.
        sock.close()
    conn = _attempt(client, uri, text_in(uri, "uri"))
    try:
        return (create_connection or ClientConnection)._of(conn, logger, close_timeout, additional_headers)
    except BaseException:
        abi.raddle_conn_free(conn)
        raise


def unix_connect(
    path: PathLike | None = None, uri: str | None = None, *, legacy: Any = None, **kwargs: Any
) -> Any:
    """As :func:`connect`, to a Unix socket.

    :param uri: for the request; ``ws://localhost/`` by default, with ``ssl`` ``wss://localhost/``
    """
    if path is None and kwargs.get("sock") is None:
        raise ValueError("path is missing")
    return connect(unix_uri(uri, kwargs.get("ssl")), path=path, legacy=legacy, **kwargs)


def unix_uri(uri: str | None, ssl: object) -> str:
    """What a request to a Unix socket asks for where nobody has said it."""
    if uri is not None:
        return uri
    return "ws://localhost/" if ssl is None else "wss://localhost/"


def settings_for(
    uri: str,
    *,
    extensions: None = None,
    max_queue: Any = 16,
    proxy: str | Literal[True] | None = True,
    user_agent_header: str | None = USER_AGENT,
    **settings: Any,
) -> Handle:
    """Makes the settings that :func:`connect` connects to a URI with."""
    _check.no_extensions(extensions)
    _check.queue(max_queue)
    text_in(uri, "uri")
    if settings.get("ssl") is not None and not uri.lower().startswith("wss:"):
        raise ValueError("ssl argument is incompatible with a ws:// URI")
    is_given = settings.get("path") is not None or settings.get("sock") is not None
    found = None if is_given else proxy_for(uri, proxy)
    return _settings.client_settings(proxy=found, user_agent_header=user_agent_header, **settings)


def _attempt(client: Handle, uri: str, encoded: bytes) -> int:
    """Connects; the id of the connection."""
    try:
        attempt = Handle(abi.raddle_attempt_start, abi.raddle_attempt_free, client.value, encoded)
    except ValueError as error:
        raise InvalidURI(uri, str(error)) from None
    conn = ctypes.c_uint64()
    try:
        status = c.ERR_WOULD_BLOCK
        while status == c.ERR_WOULD_BLOCK:
            status = abi.raddle_attempt_wait(attempt.value, slice_ms(), ctypes.byref(conn))
        if status != c.OK:
            raise _refusal(status, attempt.value, uri)
        return conn.value
    except BaseException:
        # A signal handler can raise when the library has connected, and before this function knows it.
        if conn.value:
            abi.raddle_conn_free(conn.value)
        raise
    finally:
        attempt.free()


def _refusal(status: int, attempt: int, uri: str) -> Exception:
    what = last_error()
    if status == c.ERR_TIMEOUT:
        return TimeoutError(f"timed out during opening handshake: {what}")
    if status == c.ERR_ARGUMENT:
        return InvalidURI(uri, what) if _is_wrong(uri) else ValueError(f"origin, subprotocols or additional_headers: {what}")
    if status == c.ERR_IO and what == NO_RESPONSE:
        return refusal(what)
    return refused("attempt", attempt, what) if status == c.ERR_HANDSHAKE else failure(status, what)


def _is_wrong(uri: str) -> bool:
    """Whether a URI is refused for itself, whatever the settings."""
    place = ctypes.c_void_p()
    status = abi.raddle_reconnect_new(None, uri.encode(), 0, 0, 0, ctypes.byref(place))
    abi.raddle_reconnect_free(place)
    return status == c.ERR_ARGUMENT  # type: ignore[no-any-return]


# Behind what it is made of.
from .reconnect import reconnect, unix_reconnect  # noqa: E402
