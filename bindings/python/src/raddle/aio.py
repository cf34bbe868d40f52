"""asyncio: a server whose connections are handled by coroutines, over the fast face, on the event loop's thread.

The event loop watches the server's descriptor. There is no other thread.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Any, Awaitable, Callable, Dict, Generator, Optional, Set, Type

from . import _check, fast
from ._aio_connection import Connection
from .events import Closed, Drained, Opened, Unsent
from .exceptions import ConnectionClosed

__all__ = ["Connection", "Server", "serve"]

Handler = Callable[[Connection], Awaitable[Any]]


class Server:
    """A server that serves on the running event loop. Made by :func:`serve`.

    ``server.fast`` is the same on the fast face, with ``publish``, ``broadcast`` and more; it must not be polled.
    """

    def __init__(self, handler: Handler, server: fast.Server, max_queue: int, logger: logging.Logger) -> None:
        self.fast = server
        self.max_queue = max_queue
        self._handler = handler
        self._logger = logger
        self._loop = asyncio.get_running_loop()
        self._connections: Dict[fast.Connection, Connection] = {}
        self._tasks: Set[asyncio.Task[None]] = set()
        self._closing: Dict[Connection, asyncio.Event] = {}
        self._will_flush = False
        self._will_take = False
        self._has_ended = asyncio.Event()
        self._descriptor = server.fileno()
        self._loop.add_reader(self._descriptor, self._take_unless_scheduled)

    @property
    def connections(self) -> Set[Connection]:
        """The open connections."""
        return set(self._connections.values())

    @property
    def address(self) -> tuple[str, int]:
        """The address and port of the first TCP listener."""
        return self.fast.address

    def close(self, grace: float = 5.0) -> None:
        """Stops the server: no new connections, Close 1001 to all, and after the grace, in seconds, those that are left are cut.
        Returns at once, again and again."""
        if not self._has_ended.is_set():
            self.fast.shutdown(grace)

    async def wait_closed(self) -> None:
        """Waits until the server has ended and all handlers have returned."""
        await self._has_ended.wait()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def serve_forever(self) -> None:
        """Waits until the server has ended; where this is cancelled, it ends the server."""
        try:
            await self.wait_closed()
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()
        await self.wait_closed()

    # What connections ask for.

    def flush_soon(self) -> None:
        """Has what was sent leave when the coroutines that can run have run."""
        if not self._will_flush:
            self._will_flush = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Lets what was sent leave now."""
        self._will_flush = False
        if not self._has_ended.is_set():
            self.fast.flush()

    async def ended(self, connection: Connection) -> None:
        """Waits until a connection has ended."""
        if connection.fast in self._connections:
            await self._closing.setdefault(connection, asyncio.Event()).wait()

    # What the event loop calls.

    def _take(self) -> None:
        events = self.fast.poll(0)
        for connection, event in events:
            try:
                self._give(connection, event)
            except Exception:
                # What comes behind it, of other connections, is given all the same.
                self._logger.exception("an event cannot be given to its connection, which is cut: %r", event)
                connection.cut()
        if self.fast.has_ended:
            self._end()
        elif events and not self._will_take:
            # Coroutines have their turn first: what they answer comes before what a further poll finds, be it a Close.
            self._will_take = True
            self._loop.call_soon(self._take_more)

    def _take_unless_scheduled(self) -> None:
        if not self._will_take:
            self._take()

    def _take_more(self) -> None:
        self._will_take = False
        if not self._has_ended.is_set():
            self._take()

    def _give(self, of: fast.Connection, event: fast.Event) -> None:
        if isinstance(event, Opened):
            self._connections[of] = connection = Connection(of, self)
            task = self._loop.create_task(self._handle(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        known = self._connections.get(of)
        if known is None:
            return
        if isinstance(event, (str, bytes)):
            known._receive(event)
        elif isinstance(event, Drained):
            known._drain()
        elif isinstance(event, Closed):
            del self._connections[of]
            known._end(event)
            closing = self._closing.pop(known, None)
            if closing is not None:
                closing.set()
        elif isinstance(event, Unsent):
            self._logger.warning("%r does not take what is sent, and is cut: %s", of, event.error)
            of.cut()

    async def _handle(self, connection: Connection) -> None:
        try:
            await self._handler(connection)
        except ConnectionClosed as closed:
            # The peer has gone while the handler was at it: nobody need be told. Another connection is another matter.
            if connection._closed is None or connection._closed.error.args != closed.args:
                self._fail(connection)
                return
        except Exception:
            self._fail(connection)
            return
        except asyncio.CancelledError:
            # Nobody receives any more.
            connection.fast.close(1011)
            raise
        await connection.close()

    def _fail(self, connection: Connection) -> None:
        self._logger.exception("connection handler failed")
        connection.fast.close(1011)

    def _end(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._has_ended.set()
        self.fast.close(0)


class serve:
    """Serves on the running event loop::

        async def echo(connection):
            async for message in connection:
                await connection.send(message)

        async with raddle.aio.serve(echo, "127.0.0.1", 9001) as server:
            await server.serve_forever()

    ``await serve(...)`` gives the server as well. When a handler returns, its connection is closed with 1000; when it fails, with
    1011, and the exception is logged.

    :param handler: a coroutine function, which is called with each :class:`Connection`
    :param max_queue: messages of a connection that wait to be received; with more, it is not read
    :param settings: as for :class:`raddle.Server`, but for the functions that begin with ``on_``, of which only ``on_request`` is
        there; ``when_full`` is ``"close"``, so that nobody goes on with a hole in what was published or broadcast
    """

    def __init__(
        self,
        handler: Handler,
        host: str | None = None,
        port: int | None = None,
        *,
        max_queue: int = 16,
        outgoing_limit: int = 64 * 2**20,
        logger: logging.Logger | None = None,
        **settings: Any,
    ) -> None:
        self._handler = _check.function(handler, "handler")
        if self._handler is None:
            raise TypeError("handler must be callable, not None")
        for name in ("on_open", "on_message", "on_drain", "on_close", "on_unsent"):
            if name in settings:
                raise TypeError(f"{name} is no setting: the handler has the connection")
        self._max_queue = _check.integer(max_queue, "max_queue", 1)
        self._logger = logger or logging.getLogger("raddle.server")
        settings.setdefault("when_full", "close")
        self._made = fast.Server(host, port, outgoing_limit=outgoing_limit, logger=self._logger, **settings)
        self._server: Server | None = None

    async def _start(self) -> Server:
        assert self._handler is not None
        if self._server is None:
            self._server = Server(self._handler, self._made, self._max_queue, self._logger)
        return self._server

    def __await__(self) -> Generator[Any, Any, Server]:
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        return await self._start()

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._server is not None:
            await self._server.__aexit__(kind, error, trace)
