"""The fast face: the events of a server, which one thread takes."""

from __future__ import annotations

import selectors
import threading
import time
import unittest
from contextlib import suppress
from typing import Any
from unittest import mock

from fast_support import PATIENCE, serving, until
from plain import Plain, frame

import raddle
from raddle.fast import Closed, Connection, Opened, Request, Server


class Events(unittest.TestCase):
    def test_a_loop_gets_the_events_of_a_connection_in_their_order(self) -> None:
        with Server("127.0.0.1", 0) as server, Plain(server.address, "/room?a=1") as client:
            client.send("é")
            client.send(b"\x00\xff")
            client.send("")
            client.frame(8, b"\x03\xe8bye")
            seen = []
            for connection, event in server:
                seen.append(event)
                if isinstance(event, Opened):
                    self.assertEqual(connection.target, "/room?a=1")
                    self.assertEqual(connection.remote_address, client.stream.getsockname())
                    self.assertIsNone(connection.subprotocol)
                    self.assertIn(connection, server.connections)
                if isinstance(event, Closed):
                    self.assertEqual((event.code, event.reason), (1000, "bye"))
                    self.assertIsInstance(event.error, raddle.ConnectionClosedOK)
                    self.assertIs(connection.closed, event)
                    self.assertEqual(server.connections, [])
                    break
            self.assertEqual(list(map(type, seen)), [Opened, str, bytes, str, Closed])
            self.assertEqual(seen[1:4], ["é", b"\x00\xff", ""])

    def test_a_loop_that_was_left_amid_a_turn_is_taken_up_with_the_next_event(self) -> None:
        with Server("127.0.0.1", 0) as server, Plain(server.address) as client:
            client.stream.sendall(b"".join(frame(2, b"%d" % number) for number in range(50)))
            got: list[int] = []
            while len(got) < 50:
                for _, event in server:
                    if isinstance(event, bytes):
                        got.append(int(event))
                        break
            self.assertEqual(got, list(range(50)))

    def test_poll_gives_what_a_loop_has_left_and_then_the_next_turn(self) -> None:
        with Server("127.0.0.1", 0) as server, Plain(server.address) as client:
            client.stream.sendall(b"".join(frame(2, b"%d" % number) for number in range(10)))
            got: list[Any] = []
            for _, event in server:
                break
            while len(got) < 10:
                got += [int(event) for _, event in server.poll(PATIENCE) if isinstance(event, bytes)]
            self.assertEqual(got, list(range(10)))
            self.assertEqual(server.poll(0), [])
            before = time.monotonic()
            self.assertEqual(server.poll(0.05), [])
            self.assertGreaterEqual(time.monotonic() - before, 0.05)

    def test_messages_of_every_size_come_back(self) -> None:
        sizes = [0, 1, 125, 126, 4096, 16 * 1024, 16 * 1024 + 1, 65535, 65536, 256 * 1024, 256 * 1024 + 1, 1_000_000]
        with serving(on_message=Connection.send) as server, Plain(server.address) as client:
            for size in sizes:
                client.send(b"x" * size)
                self.assertEqual(client.message(), b"x" * size)
                client.send("é" * (size // 2))
                self.assertEqual(client.message(), "é" * (size // 2))

    def test_more_messages_than_a_turn_has_space_for_keep_their_order(self) -> None:
        count = 5000
        with serving(on_message=Connection.send) as server, Plain(server.address) as client:
            sender = threading.Thread(
                target=lambda: client.stream.sendall(b"".join(frame(2, b"%d" % number) for number in range(count)))
            )
            sender.start()
            self.assertEqual([client.message() for _ in range(count)], [b"%d" % number for number in range(count)])
            sender.join()

    def test_wake_ends_a_poll_from_another_thread(self) -> None:
        with Server("127.0.0.1", 0) as server:
            timer = threading.Timer(0.1, server.wake)
            timer.start()
            before = time.monotonic()
            self.assertEqual(server.poll(PATIENCE), [])
            self.assertLess(time.monotonic() - before, PATIENCE / 2)
            timer.join()

    def test_events_of_a_turn_are_kept_from_who_is_interrupted_amid_it(self) -> None:
        with Server("127.0.0.1", 0) as server, Plain(server.address) as client:
            while not server.connections:
                server.poll(PATIENCE)
            take = server._inbox.take
            interrupted: list[int] = []

            def take_and_raise(timeout_ms: int) -> Any:
                found = take(timeout_ms)
                if found and len(interrupted) < 5:
                    # As a signal handler does that comes behind the call, and before the result has a name.
                    interrupted.append(1)
                    raise KeyboardInterrupt
                return found

            with mock.patch.object(server._inbox, "take", take_and_raise):
                client.stream.sendall(b"".join(frame(2, b"%d" % number) for number in range(50)))
                got: list[int] = []
                limit = time.monotonic() + PATIENCE
                while len(got) < 50 and time.monotonic() < limit:
                    with suppress(KeyboardInterrupt):
                        got += [int(event) for _, event in server.poll(0.1) if isinstance(event, bytes)]
            self.assertEqual(got, list(range(50)))
            self.assertTrue(interrupted)

    def test_who_was_interrupted_before_a_poll_can_poll(self) -> None:
        with Server("127.0.0.1", 0) as server, Plain(server.address) as client:
            # As if a signal handler had raised right behind that.
            server._begin_to_poll()
            while not server.connections:
                server.poll(PATIENCE)
            server._begin_to_poll()
            closing = threading.Timer(0.1, lambda: client.close(client.close_code()))
            closing.start()
            server.close()
            closing.join()
            self.assertTrue(server.has_ended)

    def test_what_a_function_raises_amid_a_turn_loses_no_event(self) -> None:
        raised = [KeyboardInterrupt, SystemExit]

        def on_request(request: Request) -> None:
            request.accept()
            if raised and seen:
                raise raised.pop()

        seen: list[Any] = []
        server = Server("127.0.0.1", 0, on_request=on_request, on_message=lambda _, message: seen.append(message))
        with server, Plain(server.address) as client:
            while not server.connections:
                server.poll(PATIENCE)
            sent: list[str] = []
            others = []
            limit = time.monotonic() + PATIENCE
            while raised and time.monotonic() < limit:
                # A message and a request, which as a rule come in one turn.
                sent.append(str(len(sent)))
                client.send(sent[-1])
                others.append(Plain(server.address))
                time.sleep(0.02)
                with suppress(KeyboardInterrupt, SystemExit):
                    for _, event in server.poll(0.1):
                        if isinstance(event, str):
                            seen.append(event)
            while len(seen) < len(sent) and time.monotonic() < limit:
                seen += [event for _, event in server.poll(0.1) if isinstance(event, str)]
            self.assertEqual((seen, raised), (sent, []))
            for other in others:
                other.stream.close()

    def test_requests_that_come_with_a_large_message_do_not_keep_it(self) -> None:
        requests: list[Request] = []
        with Server("127.0.0.1", 0, on_request=requests.append, max_size=None) as server:
            first = Plain(server.address, "/chat?token=secret")
            limit = time.monotonic() + PATIENCE
            while not requests and time.monotonic() < limit:
                server.poll(0.1)
            # What is shown of a request, in logs for example, is without its query.
            self.assertEqual(repr(requests[0]), "<raddle.fast.Request /chat>")
            requests.pop().accept()
            server.poll(PATIENCE)
            second = Plain(server.address)
            first.send(b"x" * 1_000_000)
            time.sleep(0.3)
            got: list[int] = []
            watched = selectors.DefaultSelector()
            watched.register(server.fileno(), selectors.EVENT_READ)
            while (not got or not requests) and time.monotonic() < limit:
                # Only as the descriptor asks for it, until nothing is given.
                if watched.select(1):
                    while events := server.poll(0):
                        got += [len(event) for _, event in events if isinstance(event, bytes)]
            self.assertEqual((got, len(requests)), ([1_000_000], 1))
            watched.close()
            requests.pop().refuse(403)
            for client in (first, second):
                client.stream.close()

    def test_two_threads_do_not_poll_the_same_server(self) -> None:
        with serving() as server:
            until(lambda: server._is_polling)
            with self.assertRaisesRegex(RuntimeError, "another thread polls"):
                server.poll(0)


if __name__ == "__main__":
    unittest.main()
