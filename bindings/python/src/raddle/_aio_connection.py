"""Connections for coroutines."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, AsyncIterator, Deque, Union

from . import _fast_connection as fast
from .events import Closed
from .exceptions import ConnectionClosedOK

if TYPE_CHECKING:
    from .aio import Server


class Connection:
    """A client of :func:`raddle.aio.serve`, for the coroutines of its event loop.

    ``connection.fast`` is the same on the fast face, with ``subscribe``, ``identity`` and more.
    """

    def __init__(self, connection: fast.Connection, server: Server) -> None:
        self.fast = connection
        self._server = server
        self._messages: Deque[Union[str, bytes]] = deque()
        self._is_paused = False
        self._closed: Closed | None = None
        # Set where something has come, or the connection has ended.
        self._has_come = asyncio.Event()
        # Not set while more than `HIGH_WATER` waits to be written.
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._unseen = 0

    async def recv(self) -> Union[str, bytes]:
        """Waits for the next message.

        :raises ConnectionClosed: the connection has ended, and all its messages were given
        """
        while not self._messages:
            if self._closed is not None:
                raise self._closed.error.again()
            self._has_come.clear()
            await self._has_come.wait()
        message = self._messages.popleft()
        if self._is_paused and len(self._messages) <= self._server.max_queue // 4:
            self._is_paused = False
            self.fast.resume()
        return message

    async def __aiter__(self) -> AsyncIterator[Union[str, bytes]]:
        """Gives message after message, until the connection has ended as it should.

        :raises ConnectionClosedError: it has ended for an error
        """
        try:
            while True:
                yield await self.recv()
        except ConnectionClosedOK:
            return

    async def send(self, message: Union[str, bytes, bytearray, memoryview]) -> None:
        """Sends a message, together with what other coroutines send in the same turn of the event loop. Waits first where the
        peer does not take what was sent before.

        :raises ConnectionClosed: the connection has ended
        :raises TypeError: it is neither ``str`` nor bytes-like
        """
        while not self._has_room.is_set():
            await self._has_room.wait()
        if self._closed is not None:
            raise self._closed.error.again()
        self.fast.send(message)
        self._server.flush_soon()
        self._unseen += len(message)
        if self._unseen > HIGH_WATER:
            self._unseen = 0
            self._server.flush()
            if self.fast.queued > HIGH_WATER:
                self._has_room.clear()
                self._look_later(0.01)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Carries out the closing handshake, and waits until the connection has ended. Messages that come meanwhile can be
        received still."""
        if self._closed is None:
            self.fast.close(code, reason)
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Waits until the connection has ended."""
        await self._server.ended(self)

    @property
    def close_code(self) -> int | None:
        """The peer's close code, 1006 where no Close has come; ``None``: the connection has not ended."""
        return None if self._closed is None else self._closed.code

    @property
    def close_reason(self) -> str | None:
        """The reason of the peer's Close; ``None``: the connection has not ended."""
        return None if self._closed is None else self._closed.reason

    @property
    def remote_address(self) -> Any:
        """The peer's address and port; ``None`` for a Unix socket."""
        return self.fast.remote_address

    @property
    def local_address(self) -> Any:
        """The address and port of this side; ``None`` for a Unix socket."""
        return self.fast.local_address

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed."""
        return self.fast.subprotocol

    # What the server tells.

    def _receive(self, message: Union[str, bytes]) -> None:
        self._messages.append(message)
        self._has_come.set()
        if len(self._messages) >= self._server.max_queue and not self._is_paused:
            self._is_paused = True
            self.fast.pause()

    def _drain(self) -> None:
        self._has_room.set()

    def _look_later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._look, seconds)

    def _look(self, seconds: float) -> None:
        """Lets who sends go on where there is room. What a thread of the library was just writing counts as waiting, and where it has
        not had to wait no event tells that it has left."""
        if self._closed is not None or self._has_room.is_set():
            return
        if self.fast.queued <= HIGH_WATER:
            self._has_room.set()
        else:
            self._look_later(min(2 * seconds, 1.0))

    def _end(self, closed: Closed) -> None:
        self._closed = closed
        self._has_come.set()
        self._has_room.set()


# Bytes that wait for a peer; with more, sending waits. As much is sent without looking.
HIGH_WATER = 64 * 1024
