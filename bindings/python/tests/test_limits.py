"""What connections are allowed: times, memory, and what waits for them."""

from __future__ import annotations

import asyncio
import threading
import time
import unittest
from typing import Any, Iterator
from unittest import mock

from plain import Plain

import raddle
from raddle import _constants as c
from raddle import _settings, aio, fast
from raddle._native import abi

from support import LIMIT, eventually, serving


class Times(unittest.TestCase):
    def test_a_message_may_come_as_slowly_as_the_settings_say(self) -> None:
        def slowly() -> Iterator[str]:
            for _ in range(100):
                yield "a"
                time.sleep(0.05)

        with serving(message_timeout=0.3, min_rate=2**30) as (url, _), raddle.connect(url) as websocket:
            with self.assertRaises(raddle.ConnectionClosedError) as caught:
                websocket.send(slowly())
            received = caught.exception.rcvd
            self.assertEqual(received and received.code, 1008)

        def talk(websocket: raddle.ServerConnection) -> None:
            websocket.send(slowly())

        with serving(talk) as (url, _), raddle.connect(url, message_timeout=0.3, min_rate=2**30) as websocket:
            with self.assertRaises(raddle.ConnectionClosedError) as caught:
                websocket.recv(LIMIT)
            sent = caught.exception.sent
            self.assertEqual(sent and sent.code, 1008)

    def test_a_message_takes_the_time_it_takes_where_nothing_is_said_but_not_with_one_thread_for_all(self) -> None:
        said: list[Any] = []

        class Spy:
            def __getattr__(self, name: str) -> Any:
                function = getattr(abi, name)

                def call(*arguments: Any) -> Any:
                    if name.endswith("_message_timeout"):
                        said.append((name, arguments[1]))
                    return function(*arguments)

                return call

        with mock.patch.object(_settings, "abi", Spy()):
            with serving() as (url, _), raddle.connect(url) as websocket:
                websocket.send("quick")
                self.assertEqual(websocket.recv(LIMIT), "quick")
            with fast.Server("127.0.0.1", 0):
                pass
        self.assertEqual(
            said,
            [
                ("raddle_server_config_message_timeout", c.NO_LIMIT),
                ("raddle_client_message_timeout", c.NO_LIMIT),
                ("raddle_server_config_message_timeout", 60_000),
            ],
        )

    def test_a_peer_that_takes_nothing_is_given_the_time_that_the_settings_say(self) -> None:
        raised: list[BaseException] = []

        def pour(websocket: raddle.ServerConnection) -> None:
            try:
                while True:
                    websocket.send(b"x" * 1_000_000)
            except Exception as error:
                raised.append(error)

        with serving(pour, write_timeout=0.3, min_rate=2**30, compression=None) as (_, server):
            assert server.socket is not None
            with Plain(server.socket.getsockname()) as client:
                self.assertEqual(client.status, 101)
                eventually("the sender is let go", lambda: bool(raised))
                self.assertIsInstance(raised[0], (TimeoutError, raddle.ConnectionClosedError))


class Memory(unittest.TestCase):
    def test_of_all_connections_together_is_bounded_as_the_settings_say(self) -> None:
        # The first fragment of a binary message, of 100,000 bytes (RFC 6455, section 5.4).
        unfinished = b"\x02\xff" + (100_000).to_bytes(8, "big") + b"\0\0\0\0" + b"x" * 100_000
        for bound, code in ((65536, 1013), (None, 1000)):
            with self.subTest(bound), serving(max_buffered=bound, max_size=None) as (_, server):
                assert server.socket is not None
                with Plain(server.socket.getsockname()) as client:
                    client.stream.sendall(unfinished)
                    # The end of the message, and the echo of it, or what has become of the connection.
                    closing = threading.Timer(0.2, lambda: client.stream.sendall(b"\x80\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8"))
                    closing.start()
                    opcode, payload = client.receive()
                    if bound is None:
                        self.assertEqual((opcode, len(payload)), (2, 100_000))
                        opcode, payload = client.receive()
                    self.assertEqual((opcode, payload[:2]), (8, code.to_bytes(2, "big")))
                    closing.join()


class Topics(unittest.TestCase):
    def test_of_a_connection_are_as_many_as_the_settings_say(self) -> None:
        for bound, count in ((2, 2), (0, 0), (None, 2000)):
            with self.subTest(bound), fast.Server("127.0.0.1", 0, max_topics=bound) as server, Plain(server.address):
                ((connection, _),) = server.poll(LIMIT)
                for number in range(count):
                    connection.subscribe(str(number))
                if bound is None:
                    continue
                with self.assertRaisesRegex(ValueError, "as many topics as it may"):
                    connection.subscribe("one more")
                self.assertEqual(server.subscribers("one more"), 0)
                for number in range(count):
                    connection.subscribe(str(number))
                    connection.unsubscribe(str(number))
                    connection.subscribe("another")
                    connection.unsubscribe("another")


class WhoDoesNotKeepUp(unittest.TestCase):
    def test_does_without_what_is_broadcast_and_that_is_counted(self) -> None:
        with fast.Server("127.0.0.1", 0, outgoing_limit=100_000, compression=None) as server, Plain(server.address) as slow:
            ((connection, _),) = server.poll(LIMIT)
            connection.subscribe("news")
            self.assertEqual(server.dropped_publications, 0)
            self.flood(server, lambda: server.dropped_publications > 0)
            before = server.dropped_publications
            server.publish("news", b"x" * 50_000)
            self.assertEqual(server.dropped_publications, before + 1)
            # It goes on, and gets what it did get.
            self.assertIsNone(connection.closed)
            self.assertEqual(slow.receive(), (2, b"x" * 50_000))

    def test_is_closed_where_that_is_asked_for(self) -> None:
        for of in ("broadcast", "send"):
            with self.subTest(of):
                options: Any = {"outgoing_limit": 100_000, "compression": None, "when_full": "close"}
                with fast.Server("127.0.0.1", 0, **options) as server, Plain(server.address) as slow:
                    ((connection, _),) = server.poll(LIMIT)
                    self.assertEqual(slow.status, 101)
                    self.flood(server, lambda: connection.closed is not None, None if of == "broadcast" else connection)
                    assert connection.closed is not None
                    self.assertIsInstance(connection.closed.error, raddle.ConnectionClosedError)
                    self.assertIn("outgoing limit", str(connection.closed.error))
                    self.assertEqual(server.dropped_publications, 0)

    def test_is_closed_for_coroutines_be_it_for_a_broadcast(self) -> None:
        ended: list[BaseException] = []

        async def wait(connection: aio.Connection) -> None:
            try:
                await connection.recv()
            except raddle.ConnectionClosed as error:
                ended.append(error)

        async def main() -> None:
            async with aio.serve(wait, "127.0.0.1", 0, outgoing_limit=100_000, compression=None) as server:
                client = Plain(server.address)
                until = time.monotonic() + LIMIT
                while not ended and time.monotonic() < until:
                    server.fast.broadcast(b"x" * 50_000)
                    await asyncio.sleep(0.001)
                client.stream.close()
                self.assertEqual(server.fast.dropped_publications, 0)

        asyncio.run(main())
        self.assertIsInstance(ended[0], raddle.ConnectionClosedError)

    def flood(self, server: fast.Server, is_enough: Any, to: fast.Connection | None = None) -> None:
        """Sends to a peer that reads nothing, until it is enough."""
        until = time.monotonic() + LIMIT
        while not is_enough():
            self.assertLess(time.monotonic(), until)
            if to is None:
                server.broadcast(b"x" * 50_000)
            else:
                to.send(b"x" * 50_000)
            server.poll(0)
