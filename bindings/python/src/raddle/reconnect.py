"""A client that connects again and again."""

from __future__ import annotations

import ctypes
import logging
from types import TracebackType
from typing import Any, Iterator, Optional, Type

from . import _check
from . import _constants as c
from ._errors import failure, last_error
from ._handle import Handle
from ._native import abi
from ._refusals import refused
from ._text import text_in
from ._wait import sliced
from .client import ClientConnection, connect, settings_for, unix_uri
from .exceptions import InvalidURI, ProtocolError
from .typing import PathLike

__all__ = ["reconnect", "unix_reconnect"]


class reconnect:
    """One connection after the other to the same server::

        for websocket in raddle.reconnect("ws://127.0.0.1:9001/"):
            try:
                for message in websocket:
                    print(message)
            except raddle.ConnectionClosed:
                continue

    Whoever asks for the next connection waits until it is open. The first attempt is made at once, each further one after a
    random time that grows from ``first_wait`` to ``longest_wait``, and begins anew after a connection that was open for
    ``settled``; or after the time that a refusal asks for. The connection before is closed with 1001, unless it has ended.

    The loop ends when the last connection was closed with 1000, or by this side, or when :meth:`stop` was called. Where the next
    attempt would end as the last one did, as the certificate is of another name, or the server has refused with 401, the error is
    raised. A certificate that has expired or is not valid yet, and an alert of TLS that is not about this side's certificate, may be
    about to pass, and are waited out: only :meth:`next` with a timeout tells of them, by ``TimeoutError``.

    :param first_wait: seconds
    :param longest_wait: seconds
    :param settled: seconds
    :param options: as for :func:`raddle.connect`
    """

    def __init__(
        self, uri: str, *, first_wait: float = 5.0, longest_wait: float = 60.0, settled: float = 60.0, **options: Any
    ) -> None:
        self._uri = uri
        times = {"first_wait": first_wait, "longest_wait": longest_wait, "settled": settled}
        waits = [_check.milliseconds(time, name) for name, time in times.items()]
        self._logger = options.pop("logger", None) or logging.getLogger("raddle.client")
        self._close_timeout = options.get("close_timeout", 10)
        self._create: Type[ClientConnection] = options.pop("create_connection", None) or ClientConnection
        self._additional_headers = options.get("additional_headers")
        if options.get("sock") is not None:
            raise ValueError("sock serves one connection only")
        _check.names(options, connect, "reconnect", but=["legacy"])
        client = settings_for(uri, **options)
        try:
            self._handle = Handle(
                abi.raddle_reconnect_new, abi.raddle_reconnect_free, client.value, text_in(uri, "uri"), *waits
            )
        except ValueError as error:
            raise InvalidURI(uri, str(error)) from None

    def next(self, timeout: float | None = None) -> ClientConnection | None:
        """Waits until the next connection is open. ``None``: there is none any more.

        :param timeout: seconds; ``None``: as long as it takes
        :raises TimeoutError: the time was up; it goes on meanwhile, and a further call waits on
        :raises OSError: and others of :func:`raddle.connect`: it was given up; a further call tries again after a wait
        """
        limit = None if timeout is None else _check.seconds(timeout, "timeout")
        conn = ctypes.c_uint64()
        try:
            status = sliced(lambda ms: self._next(ms, conn), limit)
            if status == c.ERR_CLOSED:
                return None
            if status == c.ERR_TIMEOUT:
                raise TimeoutError("timed out while reconnecting")
            if status != c.OK:
                raise self._given_up(status)
            connection: ClientConnection = self._create._of(
                conn.value, self._logger, self._close_timeout, self._additional_headers
            )
        except BaseException:
            # A signal handler can raise when the library has connected, and so can what the program has for a connection.
            if conn.value:
                abi.raddle_conn_free(conn.value)
            raise
        connection._of_several = self
        return connection

    def stop(self) -> None:
        """Ends the loop, for good: whoever waits gets ``None`` within 50 ms, and a connection that was given is closed with 1001.
        From any thread."""
        abi.raddle_reconnect_stop(self._handle.value)

    def __iter__(self) -> Iterator[ClientConnection]:
        return self

    def __next__(self) -> ClientConnection:
        connection = self.next()
        if connection is None:
            raise StopIteration
        return connection

    def __enter__(self) -> reconnect:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        # Without the user, the password and the token that it may have.
        scheme, _, rest = self._uri.partition("?")[0].partition("://")
        authority, slash, path = rest.partition("/")
        return f"<raddle.reconnect to {scheme}://{authority.rpartition('@')[2]}{slash}{path}>"

    def _next(self, milliseconds: int, conn: ctypes.c_uint64) -> int:
        status: int = abi.raddle_reconnect_next(self._handle.value, milliseconds, ctypes.byref(conn))
        return status

    def _given_up(self, status: int) -> Exception:
        what = last_error()
        if status == c.ERR_HANDSHAKE:
            return refused("reconnect", self._handle.value, what)
        if status == c.ERR_PROTOCOL:
            return ProtocolError(what)
        if status == c.ERR_BUSY:
            return RuntimeError("another thread waits for the next connection")
        return failure(status, what)


def unix_reconnect(path: PathLike | None = None, uri: str | None = None, **options: Any) -> reconnect:
    """As :class:`reconnect`, to a Unix socket; ``uri`` as for :func:`raddle.unix_connect`."""
    if path is None:
        raise ValueError("path is missing")
    return reconnect(unix_uri(uri, options.get("ssl")), path=path, **options)
