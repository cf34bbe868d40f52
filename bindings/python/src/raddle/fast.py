"""The fast face: a server whose events one thread of the program takes, for all connections.

That thread is the worker: it waits, reads and parses in :meth:`Server.poll`, without the interpreter lock, and gets what has
happened in a batch. What it sends leaves with its next poll. That is how Python serves ten thousand connections at the cost of an
event loop. Nothing in it may wait: the others would wait too.
"""

from __future__ import annotations

import ctypes
import logging
import math
import threading
import time
import warnings
from types import TracebackType
from typing import Any, Callable, Iterator, List, Optional, Tuple, Type, Union

from . import _check
from . import _constants as c
from ._errors import check, failure, meaning
from ._fast_connection import Connection, payload_of
from ._fast_request import Request
from ._fast_setup import handlers_of, set_up
from ._inbox import Inbox
from ._native import abi
from ._outbox import Outbox
from ._settings import server_config
from ._text import text_in, text_out
from ._wait import slice_ms
from .events import Closed, Drained, Event, Opened, Unsent

__all__ = ["Closed", "Connection", "Drained", "Event", "Opened", "Request", "Server", "Unsent"]

Message = Union[str, bytes, bytearray, memoryview]


class Server:
    """A server whose events the program takes, on one thread of its own at a time.

    Either with functions that are called on the thread that runs :meth:`serve_forever`::

        def echo(connection, message):
            connection.send(message)

        with raddle.Server("127.0.0.1", 9001, on_message=echo) as server:
            server.serve_forever()

    or in a loop, where messages are ``str`` or ``bytes``, and other events have classes of their own in :mod:`raddle.events`::

        with raddle.Server("127.0.0.1", 9001) as server:
            for connection, event in server:
                if isinstance(event, (str, bytes)):
                    connection.send(event)

    or turn by turn with :meth:`poll`. Leaving the ``with`` block closes what is open with 1001.

    :param host: a name or an address; ``None``: all of the machine
    :param port: the port; 0 lets the system choose one, and ``address`` says which
    :param on_open: called as ``on_open(connection)``
    :param on_message: called as ``on_message(connection, message)``
    :param on_drain: called as ``on_drain(connection)``, when all that had to wait has left
    :param on_close: called as ``on_close(connection, closed)``, the last call for a connection
    :param on_unsent: called as ``on_unsent(connection, unsent)``, for a message that was not sent
    :param on_request: called as ``on_request(request)`` for each request, on the thread that polls: it is decided on with the
        methods of :class:`Request`, then or later. Without it, what is in order is accepted
    :param identities: how many connections an identity may have at a time, which ``Request.accept`` names, and what becomes of
        one more: ``(1, "refuse")`` with 409, ``"close"`` with Close 4409, ``"replace"`` the oldest, which gets that
    :param outgoing_limit: bytes that may wait to be written to a peer
    :param when_full: what becomes of a message beyond: ``"unsent"``: one that is sent to it is :class:`Unsent`, one that is
        published or broadcast passes it by, which ``dropped_publications`` counts; ``"close"``: the connection ends, which its
        last event tells
    :param logger: where exceptions of the functions go; they close their connection with 1011, and the server serves on.
        ``KeyboardInterrupt`` and ``SystemExit`` end :meth:`serve_forever`, which can be called again
    :param settings: ``path`` of a Unix socket, ``sock``, ``ssl``, ``subprotocols``, ``compression``, ``origins``, ``hosts``,
        ``open_timeout``, ``ping_interval``, ``ping_timeout``, ``close_timeout``, ``message_timeout``, which is 60 here,
        ``write_timeout``, ``min_rate``, ``max_size``, ``max_fragments``, ``max_buffered``, ``max_connections`` and
        ``max_connections_per_ip``, as for :func:`raddle.serve`. Without ``origins``, pages of the same host may connect; with
        ``any_origin=True`` all. And ``max_topics``, that a connection may have subscribed to at a time, 1,024 by default, where one
        whose name has more than 256 bytes counts as several, one for every 256; ``None``: any number
    :raises OSError: the address cannot be bound
    :raises TypeError: a setting is of another type, or unknown
    :raises ValueError: a setting is out of its range
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        on_open: Callable[[Connection], object] | None = None,
        on_message: Callable[[Connection, Any], object] | None = None,
        on_drain: Callable[[Connection], object] | None = None,
        on_close: Callable[[Connection, Closed], object] | None = None,
        on_unsent: Callable[[Connection, Unsent], object] | None = None,
        on_request: Callable[[Request], object] | None = None,
        identities: Tuple[int, str] | None = None,
        outgoing_limit: int | None = None,
        when_full: str = "unsent",
        logger: logging.Logger | None = None,
        **settings: Any,
    ) -> None:
        self.handle = ctypes.c_void_p()
        self._on_request = _check.function(on_request, "on_request")
        self._logger = logger or logging.getLogger("raddle.server")
        self._handlers = handlers_of(
            _check.function(on_open, "on_open"),
            _check.function(on_message, "on_message"),
            _check.function(on_drain, "on_drain"),
            _check.function(on_close, "on_close"),
            _check.function(on_unsent, "on_unsent"),
        )
        _check.names(settings, server_config, type(self).__name__, but=["engine"])
        settings.setdefault("any_origin", False)
        config = server_config(c.ENGINE_QUEUE, host=host, port=port, **settings)
        set_up(config.value, identities, outgoing_limit, when_full, on_request is not None)
        check(abi.raddle_server_new(config.value, ctypes.byref(self.handle)))
        config.free()
        self._outbox = Outbox(self._wake_for_unsent)
        self._inbox = Inbox(self.handle, self._connect)
        # Guards who polls. A signal handler may close the server, on a thread that holds it.
        self._lock = threading.RLock()
        # The thread that polls, or is about to; 0: none.
        self._poller = 0
        self._is_polling = False
        # How many polls were begun.
        self._polls = 0
        # The thread that runs `serve_forever`; 0: none.
        self._serving = 0
        # The thread that has made the last step of a loop that is there still, though it may have been left; 0: none.
        self._looping = 0
        # The thread that closes the server, where that polls itself; 0: none.
        self._closer = 0
        # Whoever polls lets go what the server holds, when it has ended.
        self._is_closing = False
        # What the last turn has found and was not given yet.
        self._given: Iterator[Tuple[Connection, Event]] = iter(())
        try:
            check(abi.raddle_server_start(self.handle))
        except BaseException:
            self._free()
            raise

    def poll(self, timeout: float | None = None) -> List[Tuple[Connection, Event]]:
        """Lets what was sent leave, waits until something happens, and gives what has, in the order in which it has happened to
        each connection; nothing where the time is up first, where :meth:`wake` was called, or where the server has ended.

        :param timeout: seconds; 0: does not wait, ``None``: waits as long as it takes
        :raises RuntimeError: another thread polls, or the server was closed
        """
        limit = None if timeout is None else _check.seconds(timeout, "timeout")
        # A loop may have been left amid a turn.
        left = [*self._given]
        if not left:
            self._refill(limit, once=True)
            # Without a call, behind which Ctrl-C could come, and take them along.
            left = [*self._given]
        return left

    def __iter__(self) -> Iterator[Tuple[Connection, Event]]:
        """Gives event after event, until the server has ended. A loop that was left can be taken up again: nothing is lost.

        :raises RuntimeError: another thread polls, or the server was closed before
        """
        self._check_open()
        me = 0
        try:
            # What another thread's closing has found is for that.
            while self._closer in (0, threading.get_ident()):
                # A loop may be taken up by another thread, and a further one of the same thread may have been left meanwhile.
                self._looping = me = threading.get_ident()
                yield from self._given
                if not self._refill(None):
                    return
        finally:
            if self._looping == me:
                self._looping = 0

    def serve_forever(self) -> None:
        """Calls the functions that the server was made with, until it has ended: another thread, or one of them, calls
        :meth:`shutdown`.

        :raises RuntimeError: another thread polls, or the server was closed before
        """
        self._check_open()
        me = threading.get_ident()
        with self._lock:
            if self._closer not in (0, me):
                # What it has found is for that.
                return
            self._serving = me
        try:
            self._give()
            while self._refill(None):
                self._give()
        finally:
            self._serving = 0

    def flush(self) -> None:
        """Lets what was sent since the last poll leave now. Does not wait. On the thread that polls."""
        self._outbox.flush()
        check(abi.raddle_server_flush(self.handle))

    def wake(self) -> None:
        """Has the current :meth:`poll`, or the next one, return, where nothing else has happened. From any thread."""
        check(abi.raddle_server_wake(self.handle))

    def fileno(self) -> int:
        """Gives a descriptor for ``selectors`` and the like: readable while :meth:`poll` would find something, or has something
        to do. Call it with a timeout of 0 then, until it gives nothing. The descriptor must not be closed."""
        descriptor = ctypes.c_int()
        check(abi.raddle_server_fd(self.handle, ctypes.byref(descriptor)))
        return descriptor.value

    def publish(self, topic: str, message: Message, *, but: Connection | None = None) -> None:
        """Sends a message to all connections that have subscribed to a topic, without waiting for any of them. It is encoded
        once. What becomes of those that do not keep up, ``when_full`` of the server says. From any thread.

        :param but: a connection that does without it: the one that has said it
        """
        payload, kind = payload_of(message)
        name = text_in(topic, "topic")
        self._outbox.flush()
        check(abi.raddle_server_publish(self.handle, name, kind, payload, len(payload), _number(but)))

    def broadcast(self, message: Message, *, but: Connection | None = None) -> None:
        """Sends a message to all open connections, as :meth:`publish` does."""
        payload, kind = payload_of(message)
        self._outbox.flush()
        check(abi.raddle_server_broadcast(self.handle, kind, payload, len(payload), _number(but)))

    @property
    def dropped_publications(self) -> int:
        """Counts what was published or broadcast and did not reach a connection that did not keep up, for each of these."""
        count = ctypes.c_uint64()
        check(abi.raddle_server_metric(self.handle, c.METRIC_DROPPED_PUBLICATIONS, ctypes.byref(count)))
        return count.value

    def subscribers(self, topic: str) -> int:
        """Counts the connections that have subscribed to a topic."""
        count = ctypes.c_size_t()
        check(abi.raddle_server_subscribers(self.handle, text_in(topic, "topic"), ctypes.byref(count)))
        return count.value

    @property
    def connections(self) -> List[Connection]:
        """The connections whose first event was given, and whose last one was not. From any thread."""
        return [connection for connection in list(self._inbox.connections.values()) if connection.closed is None]

    def connections_of(self, identity: str) -> List[Connection]:
        """Those of an identity."""
        name = text_in(identity, "identity")
        count = ctypes.c_size_t()
        ids: Any = None
        while True:
            size = count.value
            ids = (ctypes.c_uint64 * size)()
            status = abi.raddle_server_connections(self.handle, name, ids, size, ctypes.byref(count))
            if status != c.ERR_BUFFER:
                break
        check(status)
        found = (self._inbox.connections.get(number) for number in ids[: count.value])
        return [connection for connection in found if connection is not None]

    @property
    def address(self) -> Tuple[str, int]:
        """The address and port of the first TCP listener."""
        text = text_out(abi.raddle_server_address, self.handle, 0)
        if text is None:
            raise LookupError("the server does not listen on TCP")
        host, _, port = text.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def has_ended(self) -> bool:
        """Whether it was stopped, its last connection has ended, and a poll has seen that."""
        return self._inbox.status == c.ERR_CLOSED

    def shutdown(self, grace: float = 5.0) -> None:
        """Stops the server: no new connections, Close 1001 to all, and after the grace, in seconds, those that are left are
        cut. Returns at once; whoever polls gets what is left. From any thread, again and again."""
        milliseconds = int(max(0.0, _check.seconds(grace, "grace")) * 1000)
        # What was sent before leaves before.
        self._outbox.flush()
        check(abi.raddle_server_stop(self.handle, milliseconds))

    def close(self, grace: float = 5.0) -> None:
        """Stops the server, carries out the closing handshakes on this thread, with the functions that the server was made
        with, and lets go what it holds. Where another thread serves or polls, it is left to do that, and waited for, unless it has
        left its loop; where a signal handler calls it amid a poll, or ``on_request`` does, the poll does that later. Takes no
        longer than the grace; does nothing where it was called before."""
        if not self.handle:
            return
        self.shutdown(grace)
        me = threading.get_ident()
        if self._is_polling and self._poller == me:
            self._is_closing = True
            return
        until = time.monotonic() + grace + 1
        try:
            if not self._begin_to_close(until):
                return
            self._give()
            while time.monotonic() < until and self._refill(until - time.monotonic()):
                self._give()
        finally:
            self._free()

    def __repr__(self) -> str:
        if not self.handle:
            return "<raddle.fast.Server, closed>"
        try:
            return "<raddle.fast.Server on %s:%d>" % self.address
        except LookupError:
            return "<raddle.fast.Server>"

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: Type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if getattr(self, "handle", None):
            warn(f"{type(self).__name__} was not closed", ResourceWarning, source=self)
            self._free()

    def _free(self, free: Any = abi.raddle_server_free) -> None:
        number, self.handle.value = self.handle.value, None
        free(number)

    def _give(self) -> None:
        handlers = self._handlers
        for connection, event in self._given:
            try:
                handlers[type(event)](connection, event)
            except Exception:
                self._logger.exception("a function of the server has failed; its connection is closed with 1011")
                connection.close(1011)

    def _refill(self, timeout: float | None, once: bool = False) -> bool:
        """Waits for a turn that has found something. ``False``: the server has ended, or the time was up.

        :param once: returns for :meth:`wake` too
        """
        if not self._begin_to_poll(once):
            return False
        try:
            # Ctrl-C may come before this. Then the same thread can begin again.
            self._is_polling = True
            until = None if timeout is None else time.monotonic() + timeout
            inbox, outbox = self._inbox, self._outbox
            outbox.thread = threading.get_ident()
            while True:
                outbox.flush()
                try:
                    turn = inbox.take(0 if outbox.unsent else _wait_ms(until))
                except RuntimeError:
                    # Where it was closed meanwhile it has ended; who asks for a turn of it asks for what is not there.
                    if self.handle or once:
                        raise
                    return False
                happened: List[Tuple[Connection, Event]] = []
                # Before a function of the program is called, which may raise whatever it likes, as a signal handler may.
                happened, self._given = turn or (happened, iter(happened))
                inbox.turn = None
                if outbox.unsent:
                    happened.extend(self._unsent())
                if self._on_request is not None:
                    self._decide(self._on_request)
                if happened:
                    return True
                if inbox.status == c.OK:
                    # Requests only: the library may keep more of the turn, and its descriptor tells of a turn once.
                    continue
                if inbox.status == c.ERR_CLOSED and self._is_closing:
                    self._free()
                if inbox.status == c.ERR_CLOSED or (once and inbox.status == c.ERR_INTERRUPTED):
                    return False
                if until is not None and time.monotonic() >= until:
                    return False
        finally:
            # Without a call, as Ctrl-C comes between calls.
            self._is_polling = False
            self._poller = 0

    def _check_open(self) -> None:
        if not self.handle:
            raise RuntimeError("the server was closed")

    def _begin_to_poll(self, once: bool = False) -> bool:
        """``False``: another thread closes the server, and polls for that, so that there is nothing more to be had.

        :param once: the program asks for a turn, and not for what is left
        """
        me = threading.get_ident()
        with self._lock:
            if self._closer not in (0, me) and not once:
                return False
            if self._is_polling or self._poller not in (0, me) or self._closer not in (0, me):
                raise RuntimeError("another thread polls this server")
            self._poller = me
            self._polls += 1
            return True

    def _begin_to_close(self, until: float) -> bool:
        """Waits while another thread serves or polls. ``False``: the server has ended by that, or the time was up."""
        me = threading.get_ident()
        polls, left_at = -1, 0.0
        while True:
            now = time.monotonic()
            with self._lock:
                if self._polls != polls or self._is_polling:
                    # At first nobody is waited for who is not at it.
                    is_left = polls < 0 and self._poller in (0, me) and self._looping in (0, me)
                    polls, left_at = self._polls, now + _PATIENCE
                else:
                    is_left = now >= left_at
                if is_left and not self._is_polling and self._serving in (0, me) and self._closer in (0, me):
                    # Ctrl-C may have come to a thread that was about to poll.
                    self._closer, self._poller = me, 0
                    return True
            if self.has_ended or now >= until:
                return False
            time.sleep(_TURN)

    def _decide(self, on_request: Callable[[Request], object]) -> None:
        requests = self._inbox.requests
        while requests:
            request = Request(requests.pop(0))
            try:
                on_request(request)
            except Exception:
                self._logger.exception("on_request has failed; the request is answered with 500")
                request.drop()

    def _unsent(self) -> Iterator[Tuple[Connection, Event]]:
        unsent, connections = self._outbox.unsent, self._inbox.connections
        while unsent:
            number, is_text, payload, status = unsent.pop(0)
            connection = connections.get(number)
            # Nothing comes behind the last event of a connection, be it in the same turn.
            if connection is not None and connection.closed is None:
                message = payload.decode() if is_text else payload
                yield connection, Unsent(message, failure(status, meaning(status)))

    def _connect(self, number: int) -> Connection:
        return Connection(number, self, self._outbox)

    def _wake_for_unsent(self) -> None:
        abi.raddle_server_wake(self.handle)


def _wait_ms(until: float | None) -> int:
    """How long the library may wait at a time, so that signals reach this thread. Negative: without end."""
    longest = slice_ms()
    if until is None:
        return longest
    left = max(0, math.ceil((until - time.monotonic()) * 1000))
    return left if longest < 0 else min(left, longest)


def _number(connection: Connection | None) -> int:
    if connection is None:
        return 0
    if not isinstance(connection, Connection):
        raise TypeError(f"but must be a Connection, not {type(connection).__name__}")
    return connection.number


# Seconds after which who waits for the thread that polls looks again.
_TURN = 0.01
# Seconds after which a loop whose thread has not come for the next event counts as left, where the server is to be closed.
_PATIENCE = 0.5
