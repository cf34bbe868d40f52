"""The asyncio adapter: coroutines over the fast face."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import unittest
import unittest.mock
from typing import Any, Callable, TypeVar
from unittest import mock

from plain import Plain, frame
from programs import scaled

import raddle
from raddle import aio

PATIENCE = 10.0
T = TypeVar("T")


async def echo(connection: aio.Connection) -> None:
    async for message in connection:
        await connection.send(message)


async def elsewhere(function: Callable[[], T]) -> T:
    """What blocks, on another thread."""
    return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(None, function), PATIENCE)


class Coroutines(unittest.IsolatedAsyncioTestCase):
    async def test_echo_every_size_on_many_connections(self) -> None:
        async with aio.serve(echo, "127.0.0.1", 0) as server:

            def talk() -> None:
                with Plain(server.address) as client:
                    for size in (0, 1, 1000, 65536, 300_000):
                        client.send(b"x" * size)
                        assert client.message() == b"x" * size
                    client.send("é")
                    assert client.message() == "é"
                    client.close()

            await asyncio.gather(*(elsewhere(talk) for _ in range(8)))
            await self.until(lambda: not server.connections)

    async def test_messages_are_answered_before_the_broken_frame_behind_them(self) -> None:
        async with aio.serve(echo, "127.0.0.1", 0) as server:

            def talk() -> tuple[Any, Any, int]:
                with Plain(server.address) as client:
                    # RSV2 without an extension (RFC 6455, section 5.2).
                    client.stream.sendall(frame(1, b"one") + frame(1, b"two") + b"\xa1\x80\0\0\0\0")
                    return client.message(), client.message(), client.close_code()

            for _ in range(20):
                self.assertEqual(await elsewhere(talk), ("one", "two", 1002))

    async def test_a_handler_that_returns_closes_with_1000_and_one_that_fails_with_1011(self) -> None:
        async def handler(connection: aio.Connection) -> None:
            if await connection.recv() == "fail":
                raise ValueError("no")
            await connection.send("bye")

        with self.assertLogs("raddle.server", logging.ERROR) as logs:
            async with aio.serve(handler, "127.0.0.1", 0) as server:
                for word, answers in (("fail", [1011]), ("go", ["bye", 1000])):

                    def talk(word: str = word, count: int = len(answers)) -> list[Any]:
                        with Plain(server.address) as client:
                            client.send(word)
                            got: list[Any] = [client.message() for _ in range(count - 1)]
                            return got + [client.close_code()]

                    self.assertEqual(await elsewhere(talk), answers)
        self.assertIn("ValueError: no", logs.output[0])

    async def test_a_peer_that_is_not_received_from_is_not_read_and_nothing_is_lost(self) -> None:
        go = asyncio.Event()
        got: list[Any] = []
        waiting: list[int] = []

        async def handler(connection: aio.Connection) -> None:
            await go.wait()
            waiting.append(len(connection._messages))
            async for message in connection:
                got.append(message)

        count, payload = 3000, b"x" * 10_000
        async with aio.serve(handler, "127.0.0.1", 0, max_queue=4) as server:
            client = Plain(server.address)
            sent: list[int] = []

            def flood() -> None:
                for number in range(count):
                    client.stream.sendall(frame(2, payload))
                    sent.append(number)

            flooding = threading.Thread(target=flood)
            flooding.start()
            await self.until(lambda: len(sent) > 50)
            # It comes to a stand, with what the sockets take.
            before = -1
            while before != len(sent):
                before = len(sent)
                await asyncio.sleep(0.3)
            self.assertLess(len(sent), count)
            go.set()
            await elsewhere(flooding.join)
            await elsewhere(client.close)
            await self.until(lambda: len(got) == count)
            # Beside the four, what the turn had found that has paused reading: a region at most.
            self.assertLessEqual(waiting[0], 4 + 256 * 1024 // len(payload) + 1)

    async def test_sending_waits_for_a_peer_that_does_not_read_and_the_others_do_not(self) -> None:
        count, payload = 2000, b"y" * 50_000
        progress: list[int] = []

        async def handler(connection: aio.Connection) -> None:
            if await connection.recv() == "much":
                for number in range(count):
                    await connection.send(payload)
                    progress.append(number)
            else:
                await connection.send("little")

        async with aio.serve(handler, "127.0.0.1", 0) as server:
            slow = Plain(server.address)
            await elsewhere(lambda: slow.send("much"))
            before = -1
            while before != len(progress) or not progress:
                before = len(progress)
                await asyncio.sleep(0.3)
            self.assertLess(len(progress), count)
            with Plain(server.address) as other:
                other.send("x")
                self.assertEqual(await elsewhere(other.message), "little")
            for _ in range(count):
                self.assertEqual(await elsewhere(slow.message), payload)
            self.assertEqual(await elsewhere(slow.close_code), 1000)
            slow.stream.close()

    async def test_a_peer_that_does_not_read_holds_up_no_other_server_of_the_loop(self) -> None:
        sent: list[int] = []

        async def pour(connection: aio.Connection) -> None:
            while True:
                await asyncio.sleep(0.001)
                await connection.send(b"x" * 50_000)
                sent.append(1)

        def talk(client: Plain) -> float:
            longest, before = 0.0, -1
            # Until the peer takes no more.
            while before != len(sent) or not sent:
                before, begun = len(sent), time.monotonic()
                for _ in range(100):
                    client.send("x")
                    assert client.message() == "x"
                longest = max(longest, time.monotonic() - begun)
            return longest

        async with aio.serve(pour, "127.0.0.1", 0, compression=None) as one:
            async with aio.serve(echo, "127.0.0.1", 0, compression=None, ping_interval=None) as other:
                with Plain(one.address) as slow, Plain(other.address) as quick:
                    quick.stream.settimeout(60)
                    # Who waits for such a peer waits half a minute.
                    self.assertLess(await asyncio.get_running_loop().run_in_executor(None, talk, quick), PATIENCE)
                    slow.stream.close()

    async def test_an_event_that_cannot_be_given_ends_its_connection_and_no_other_is_lost(self) -> None:
        class Failing(aio.Connection):
            def _receive(self, message: Any) -> None:
                if message == "fail":
                    raise MemoryError
                super()._receive(message)

        with mock.patch.object(aio, "Connection", Failing), self.assertLogs("raddle.server", logging.ERROR) as logs:
            async with aio.serve(echo, "127.0.0.1", 0) as server:
                with Plain(server.address) as failing, Plain(server.address) as other:
                    await self.until(lambda: len(server.connections) == 2)
                    # The loop finds both together, as a rule.
                    failing.send("fail")
                    other.send("here")
                    self.assertEqual(await elsewhere(other.message), "here")
                    self.assertEqual(await elsewhere(failing.close_code), 1006)
        self.assertIn("MemoryError", logs.output[0])

    async def test_sending_goes_on_where_what_seemed_to_wait_has_left_by_itself(self) -> None:
        async def handler(connection: aio.Connection) -> None:
            for _ in range(4):
                await connection.send(b"x" * 40_000)

        # As it is while a thread of the library writes.
        queued = unittest.mock.PropertyMock(side_effect=[10**6, 10**6, 0, 0, 0])
        with unittest.mock.patch.object(raddle.fast.Connection, "queued", queued):
            async with aio.serve(handler, "127.0.0.1", 0) as server:
                with Plain(server.address) as client:
                    for _ in range(4):
                        self.assertEqual(len(await elsewhere(client.message)), 40_000)
                    self.assertEqual(await elsewhere(client.close_code), 1000)
                    await elsewhere(client.close)

    async def test_closing_the_server_ends_receiving_with_connection_closed(self) -> None:
        ends: list[Any] = []

        async def handler(connection: aio.Connection) -> None:
            try:
                await connection.recv()
            except raddle.ConnectionClosed as error:
                ends.append(error.code)
                with self.assertRaises(raddle.ConnectionClosed):
                    await connection.send("x")
                self.assertEqual((connection.close_code, connection.close_reason), (1001, ""))

        async with aio.serve(handler, "127.0.0.1", 0) as server:
            client = Plain(server.address)
            await self.until(lambda: server.connections)
            server.close()
            self.assertEqual(await elsewhere(client.close_code), 1001)
            await elsewhere(lambda: client.close(1001))
        self.assertEqual(ends, [1001])
        server.close()
        await server.wait_closed()

    async def test_a_handler_that_is_cancelled_or_fails_by_another_connection_closes_with_1011(self) -> None:
        async def cancelled(connection: aio.Connection) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await connection.recv()

        async def of_another(connection: aio.Connection) -> None:
            raise raddle.ConnectionClosedError(None, None)

        for handler in (cancelled, of_another):
            async with aio.serve(handler, "127.0.0.1", 0) as server:
                with Plain(server.address) as client:
                    self.assertEqual(await elsewhere(client.close_code), 1011)
                    await elsewhere(lambda: client.close(1011))

    async def test_serve_forever_that_is_cancelled_ends_the_server(self) -> None:
        server = await aio.serve(echo, "127.0.0.1", 0)
        task = asyncio.ensure_future(server.serve_forever())
        await asyncio.sleep(0.05)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await asyncio.wait_for(task, PATIENCE)
        with self.assertRaises(RuntimeError):
            server.fast.broadcast("x")

    async def test_no_wake_up_is_lost(self) -> None:
        # There is no timer, and one thing in the air at a time: what does not wake the loop is not answered in ten seconds.
        rounds = scaled(2000)

        async with aio.serve(echo, "127.0.0.1", 0) as server:

            def talk() -> None:
                with Plain(server.address) as client:
                    for number in range(rounds):
                        message = f"message {number}"
                        # A coroutine's answer, and what another thread has for all and for one.
                        if number % 3 == 0:
                            client.send(message)
                        elif number % 3 == 1:
                            server.fast.broadcast(message)
                        else:
                            server.fast.connections[0].send(message)
                        assert client.message() == message
                    client.close()

            await asyncio.get_running_loop().run_in_executor(None, talk)

    async def test_the_loop_goes_on_while_nothing_comes(self) -> None:
        async with aio.serve(echo, "127.0.0.1", 0) as server:
            with Plain(server.address) as client:
                await self.until(lambda: server.connections)
                calls = []
                poll = server.fast.poll
                server.fast.poll = lambda timeout: calls.append(1) or poll(timeout)  # type: ignore
                await asyncio.sleep(0.5)
                # The descriptor is not readable all the time.
                self.assertLess(len(calls), 20)
                client.send("hi")
                self.assertEqual(await elsewhere(client.message), "hi")

    async def test_wrong_settings_are_named(self) -> None:
        for settings, error, name in (
            ({"handler": 3}, TypeError, "handler"),
            ({"handler": None}, TypeError, "handler"),
            ({"on_message": print}, TypeError, "on_message"),
            ({"max_queue": 0}, ValueError, "max_queue"),
            ({"max_queue": 1.5}, TypeError, "max_queue"),
        ):
            with self.assertRaisesRegex(error, name):
                aio.serve(**{"handler": echo, "host": "127.0.0.1", "port": 0, **settings})  # type: ignore

    async def until(self, condition: Callable[[], Any]) -> None:
        limit = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), limit, "it did not happen")
            await asyncio.sleep(0.005)


if __name__ == "__main__":
    unittest.main()
