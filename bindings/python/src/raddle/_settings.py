"""Settings of servers and clients: keyword arguments in, handles of the library out; each value is checked."""

from __future__ import annotations

import os
import socket
from typing import Any

from . import _check
from . import _constants as c
from ._errors import check
from ._handle import Handle
from ._native import abi
from ._text import text_in
from .datastructures import Headers, HeadersLike
from .deflate import Deflate
from .ssl import SSLContext, client_tls, server_tls

MEBIBYTE = 2**20


def server_config(
    engine: int,
    *,
    host: str | None = None,
    port: int | None = None,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | None = None,
    ssl: SSLContext | None = None,
    subprotocols: Any = None,
    compression: str | Deflate | None = "deflate",
    any_origin: bool = True,
    origins: Any = None,
    hosts: Any = None,
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float | None = 10,
    message_timeout: float | None = 60,
    write_timeout: float | None = 30,
    min_rate: int = 16 * 1024,
    max_size: int | tuple[int | None, int | None] | None = MEBIBYTE,
    max_fragments: int | None = None,
    max_buffered: int | None = 512 * MEBIBYTE,
    max_topics: int | None = 1024,
    max_connections: int | None = None,
    max_connections_per_ip: int | None = None,
) -> Handle:
    """Makes the settings of a server that listens on one of: ``host`` and ``port``, the Unix socket ``path``, ``sock``.

    ``any_origin``: pages of any origin may connect; otherwise those of ``origins``, or of the same host. ``hosts``: the names
    under which the server may be addressed; ``None``: any. Times are seconds, sizes bytes; ``None``: no limit.

    :raises TypeError: an argument is of another type than it has to be; the message names it
    :raises ValueError: an argument is out of its range; the message names it
    """
    tls = server_tls(ssl)
    config = Handle(abi.raddle_server_config_new, abi.raddle_server_config_free)
    at = config.value
    check(abi.raddle_server_config_engine(at, engine))
    if sock is not None:
        _named("sock", abi.raddle_server_config_listen_fd(at, _check.stream(sock, "sock").fileno(), tls and tls.value))
    elif path is not None:
        if tls is not None:
            raise ValueError("ssl cannot be had on a Unix socket")
        check(abi.raddle_server_config_listen_unix(at, text_in(os.fspath(path), "path")))
    else:
        number = _check.integer(0 if port is None else port, "port", 0, 65535)
        check(abi.raddle_server_config_listen(at, text_in(host or "0.0.0.0", "host"), number, tls and tls.value))
    for name in _check.texts(subprotocols, "subprotocols"):
        _named("subprotocols", abi.raddle_server_config_subprotocol(at, text_in(name, "subprotocols")))
    deflate = _check.deflate(compression)
    if deflate is not None:
        check(abi.raddle_server_config_deflate(at, *deflate._arguments()))
    if any_origin:
        check(abi.raddle_server_config_allow_any_origin(at))
    for origin in _check.texts(origins, "origins"):
        check(abi.raddle_server_config_allow_origin(at, text_in(origin, "origins")))
    if hosts is None:
        check(abi.raddle_server_config_allow_any_host(at))
    for name in _check.texts(hosts, "hosts"):
        check(abi.raddle_server_config_allow_host(at, text_in(name, "hosts")))
    handshake = _check.milliseconds(open_timeout, "open_timeout")
    check(abi.raddle_server_config_handshake_timeout(at, handshake))
    _timeouts("raddle_server_config", at, ping_interval, ping_timeout, close_timeout)
    _pace("raddle_server_config", at, message_timeout, write_timeout, min_rate)
    _sizes("raddle_server_config", at, max_size, max_fragments)
    buffered = c.NO_LIMIT if max_buffered is None else _check.integer(max_buffered, "max_buffered", 65536)
    check(abi.raddle_server_config_max_buffered(at, buffered))
    topics = c.NO_LIMIT if max_topics is None else _check.integer(max_topics, "max_topics")
    check(abi.raddle_server_config_max_topics(at, topics))
    if max_connections is not None:
        count = _check.integer(max_connections, "max_connections", 1)
        check(abi.raddle_server_config_max_connections(at, count))
    if max_connections_per_ip is not None:
        count = _check.integer(max_connections_per_ip, "max_connections_per_ip", 1)
        check(abi.raddle_server_config_max_connections_per_ip(at, count))
    return config


def client_settings(
    *,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | None = None,
    ssl: SSLContext | None = None,
    server_hostname: str | None = None,
    origin: str | None = None,
    subprotocols: Any = None,
    compression: str | Deflate | None = "deflate",
    additional_headers: HeadersLike | None = None,
    user_agent_header: str | None = None,
    proxy: str | None = None,
    source_address: tuple[str, int] | None = None,
    redirects: int = 10,
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float | None = 10,
    message_timeout: float | None = None,
    write_timeout: float | None = 30,
    min_rate: int = 16 * 1024,
    max_size: int | tuple[int | None, int | None] | None = MEBIBYTE,
    max_fragments: int | None = None,
) -> Handle:
    """Makes the settings of a client, as :func:`raddle.connect` takes them.

    :raises TypeError: an argument is of another type than it has to be; the message names it
    :raises ValueError: an argument is out of its range; the message names it
    """
    client = Handle(abi.raddle_client_new, abi.raddle_client_free)
    at = client.value
    client_tls(ssl, at)
    if sock is not None:
        _named("sock", abi.raddle_client_socket(at, _check.stream(sock, "sock").fileno()))
    if path is not None:
        if sock is not None:
            raise ValueError("path is incompatible with sock")
        check(abi.raddle_client_unix(at, text_in(os.fspath(path), "path")))
    if server_hostname is not None:
        check(abi.raddle_client_server_name(at, text_in(server_hostname, "server_hostname")))
    if origin is not None:
        check(abi.raddle_client_origin(at, text_in(origin, "origin")))
    for name in _check.texts(subprotocols, "subprotocols"):
        check(abi.raddle_client_subprotocol(at, text_in(name, "subprotocols")))
    deflate = _check.deflate(compression)
    if deflate is not None:
        check(abi.raddle_client_deflate(at, *deflate._arguments()))
    try:
        headers = Headers() if additional_headers is None else Headers(additional_headers)
    except ValueError as error:
        raise ValueError(f"additional_headers: {error}") from None
    if user_agent_header is not None and "User-Agent" not in headers:
        headers["User-Agent"] = user_agent_header
    for name, value in headers.raw_items():
        _header(at, name, value)
    if proxy is not None:
        check(abi.raddle_client_proxy(at, text_in(proxy, "proxy")))
    if source_address is not None:
        if not isinstance(source_address, tuple) or len(source_address) != 2:
            raise TypeError("source_address must be a pair of a str and an int")
        text_in(source_address[0], "source_address")
        from_host, from_port = source_address[0], _check.integer(source_address[1], "source_address", 0, 65535)
        address = f"[{from_host}]:{from_port}" if ":" in from_host else f"{from_host}:{from_port}"
        check(abi.raddle_client_local_address(at, text_in(address, "source_address")))
    check(abi.raddle_client_redirects(at, redirects))
    check(abi.raddle_client_connect_timeout(at, _check.milliseconds(open_timeout, "open_timeout")))
    _timeouts("raddle_client", at, ping_interval, ping_timeout, close_timeout)
    _pace("raddle_client", at, message_timeout, write_timeout, min_rate)
    _sizes("raddle_client", at, max_size, max_fragments)
    return client


def _header(at: int, name: str, value: str) -> None:
    lower = name.lower()
    # What the library has a place of its own for.
    if lower == "host":
        check(abi.raddle_client_host(at, text_in(value, "additional_headers")))
    elif lower == "origin":
        check(abi.raddle_client_origin(at, text_in(value, "additional_headers")))
    else:
        status = abi.raddle_client_header(at, text_in(name, "additional_headers"), text_in(value, "additional_headers"))
        _named("additional_headers", status)


def _timeouts(prefix: str, at: int, interval: Any, timeout: Any, close: Any) -> None:
    every = 0 if interval is None else _check.milliseconds(interval, "ping_interval")
    check(getattr(abi, f"{prefix}_ping_interval")(at, every))
    check(getattr(abi, f"{prefix}_ping_timeout")(at, _check.milliseconds(timeout, "ping_timeout")))
    check(getattr(abi, f"{prefix}_close_timeout")(at, _check.milliseconds(close, "close_timeout")))


def _pace(prefix: str, at: int, message: Any, write: Any, rate: Any) -> None:
    check(getattr(abi, f"{prefix}_message_timeout")(at, _check.milliseconds(message, "message_timeout")))
    check(getattr(abi, f"{prefix}_write_timeout")(at, _check.milliseconds(write, "write_timeout")))
    check(getattr(abi, f"{prefix}_min_rate")(at, _check.integer(rate, "min_rate", 1)))


def _sizes(prefix: str, at: int, max_size: Any, max_fragments: Any) -> None:
    message, frame = _check.sizes(max_size, "max_size")
    check(getattr(abi, f"{prefix}_max_message")(at, message))
    check(getattr(abi, f"{prefix}_max_frame")(at, frame))
    if max_fragments is not None:
        count = _check.integer(max_fragments, "max_fragments", 1, 2**32 - 1)
        check(getattr(abi, f"{prefix}_max_fragments")(at, count))


def _named(argument: str, status: int) -> None:
    try:
        check(status)
    except ValueError as error:
        raise ValueError(f"{argument}: {error}") from None
