"""The fast face: what is sent, to one and to many, and who may connect."""

from __future__ import annotations

import gc
import logging
import select
import sys
import threading
import time
import unittest
import warnings
from contextlib import suppress
from typing import Any

from fast_support import PATIENCE, serving, until
from plain import Plain

import raddle
from raddle import _constants as c
from raddle.fast import Closed, Connection, Drained, Request, Server, Unsent


class Sending(unittest.TestCase):
    def test_what_other_threads_send_leaves_though_the_polling_thread_is_busy(self) -> None:
        busy, done = threading.Event(), threading.Event()

        def on_message(connection: Connection, message: Any) -> None:
            connection.send("first")
            connection.data = threading.Thread(target=lambda: connection.send("second"))
            connection.data.start()
            busy.set()
            done.wait(PATIENCE)

        with serving(on_message=on_message) as server, Plain(server.address) as client:
            client.send("go")
            self.assertTrue(busy.wait(PATIENCE))
            self.assertEqual([client.message(), client.message()], ["first", "second"])
            done.set()

    def test_what_was_sent_before_a_shutdown_leaves_before_its_close(self) -> None:
        for _ in range(10):
            with Server("127.0.0.1", 0) as server, Plain(server.address) as client:
                ((connection, _),) = server.poll(PATIENCE)
                connection.send("last")
                server.shutdown(1)
                server.poll(0)
                self.assertEqual(client.message(), "last")

    def test_a_server_that_cannot_be_started_is_let_go(self) -> None:
        with Server("127.0.0.1", 0) as server, warnings.catch_warnings():
            warnings.simplefilter("error")
            with self.assertRaises(OSError):
                Server("127.0.0.1", server.address[1])

    def test_flush_lets_what_was_sent_leave_before_the_next_poll(self) -> None:
        with Server("127.0.0.1", 0) as server, Plain(server.address) as client:
            ((connection, _),) = server.poll(PATIENCE)
            connection.send("now")
            server.flush()
            self.assertEqual(client.message(), "now")

    def test_messages_of_many_threads_are_neither_lost_nor_doubled_and_keep_their_order(self) -> None:
        threads, each = 8, 2000
        with serving() as server, Plain(server.address) as client:
            until(lambda: server.connections)
            (connection,) = server.connections

            def send(name: int) -> None:
                for number in range(each):
                    connection.send(b"%d %d" % (name, number))

            senders = [threading.Thread(target=send, args=(name,)) for name in range(threads)]
            for sender in senders:
                sender.start()
            got: list[list[int]] = [[] for _ in range(threads)]
            for _ in range(threads * each):
                name, number = map(int, bytes(client.message()).split())  # type: ignore[arg-type]
                got[name].append(number)
            for sender in senders:
                sender.join()
            self.assertEqual(got, [list(range(each))] * threads)

    def test_a_message_that_a_slow_peer_does_not_take_is_an_event_and_so_is_the_room_behind_it(self) -> None:
        with Server("127.0.0.1", 0, outgoing_limit=100_000) as server, Plain(server.address) as client:
            ((connection, _),) = server.poll(PATIENCE)
            payload = b"x" * 10_000
            unsent: list[Unsent] = []
            limit = time.monotonic() + PATIENCE
            while not unsent and time.monotonic() < limit:
                connection.send(payload)
                unsent = [event for _, event in server.poll(0) if isinstance(event, Unsent)]
            self.assertTrue(unsent)
            self.assertEqual(unsent[0].message, payload)
            self.assertIn("wait", str(unsent[0].error))
            self.assertGreater(connection.queued, 0)
            client.head
            client.stream.setblocking(False)
            drained = False
            while not drained and time.monotonic() < limit:
                drained = any(isinstance(event, Drained) for _, event in server.poll(0.01))
                with suppress(BlockingIOError):
                    client.stream.recv(1 << 20)
            self.assertTrue(drained)

    def test_a_peer_that_takes_nothing_holds_up_nobody_whoever_sends_to_it(self) -> None:
        unsent: list[Any] = []
        opened: list[Connection] = []
        with serving(
            on_open=opened.append, on_message=Connection.send, on_unsent=lambda _, event: unsent.append(event.message)
        ) as server, Plain(server.address) as slow:
            until(lambda: opened)
            assert slow.status == 101

            def send() -> None:
                for _ in range(40):
                    opened[0].send(b"x" * 100_000)
                    for _ in range(100):
                        opened[0].send("y" * 10_000)

            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            with Plain(server.address) as quick:
                for number in range(20):
                    quick.send(str(number))
                    self.assertEqual(quick.message(), str(number))
            sender.join(PATIENCE)
            self.assertFalse(sender.is_alive())
            until(lambda: unsent)
            self.assertEqual({type(message) for message in unsent} - {str, bytes}, set())

    def test_a_peer_that_takes_nothing_holds_up_no_other_server_of_the_thread(self) -> None:
        options: Any = {"compression": None}
        with Server("127.0.0.1", 0, **options) as one, Server("127.0.0.1", 0, **options) as other:
            with Plain(one.address), Plain(other.address) as quick:
                ((connection, _),) = one.poll(PATIENCE)
                ((answering, _),) = other.poll(PATIENCE)
                unsent: list[Any] = []
                for size, rounds in ((10_000, 1000), (100_000, 100)):
                    begun = time.monotonic()
                    for number in range(rounds):
                        # The library's thread is that of the server which was polled last.
                        connection.send(b"x" * size)
                        other.poll(0)
                        if number % 100 == 0:
                            answering.send("here")
                            other.flush()
                            self.assertEqual(quick.message(), "here")
                    # Who waits for such a peer waits half a minute.
                    self.assertLess(time.monotonic() - begun, PATIENCE)
                    unsent += [event for _, event in one.poll(0) if isinstance(event, Unsent)]
                self.assertTrue(unsent)

    def test_nothing_comes_behind_the_last_event_of_a_connection(self) -> None:
        with Server("127.0.0.1", 0) as server, Plain(server.address) as client:
            ((connection, _),) = server.poll(PATIENCE)
            client.frame(8, b"\x03\xe8")
            seen: list[Any] = []
            limit = time.monotonic() + PATIENCE
            while connection.closed is None and time.monotonic() < limit:
                # As if the library had not taken it, in the turn that tells of the end.
                server._outbox.unsent.append((connection.number, False, b"late", c.ERR_WOULD_BLOCK))
                seen += [event for _, event in server.poll(0.01)]
            self.assertIsInstance(seen[-1], Closed)
            self.assertIn(Unsent, map(type, seen))

    def test_close_leaves_behind_what_was_sent(self) -> None:
        def on_message(connection: Connection, message: Any) -> None:
            connection.send("last")
            connection.close(4000, "enough")
            connection.close()

        with serving(on_message=on_message) as server, Plain(server.address) as client:
            client.send("go")
            self.assertEqual(client.message(), "last")
            self.assertEqual(client.receive(), (8, b"\x0f\xa0enough"))

    def test_a_connection_that_has_ended_says_so(self) -> None:
        with Server("127.0.0.1", 0) as server, Plain(server.address) as client:
            ((connection, _),) = server.poll(PATIENCE)
            client.frame(8, b"\x03\xe8")
            while connection.closed is None:
                server.poll(PATIENCE)
            connection.send("to nobody")
            server.poll(0)
            for use in (
                lambda: connection.send("x"),
                lambda: connection.subscribe("topic"),
                lambda: connection.target,
                lambda: connection.queued,
            ):
                with self.assertRaises(raddle.ConnectionClosedOK):
                    use()
            connection.close()
            connection.cut()


class ForMany(unittest.TestCase):
    def test_topics_and_broadcasts_keep_the_order_of_sends(self) -> None:
        def on_message(connection: Connection, message: Any) -> None:
            connection.send("before")
            server.publish("news", message, but=connection)
            server.broadcast("all")
            connection.send("after")

        with serving(on_open=lambda connection: connection.subscribe("news"), on_message=on_message) as server:
            with Plain(server.address) as one, Plain(server.address) as other:
                until(lambda: server.subscribers("news") == 2)
                one.send("hello")
                self.assertEqual([one.message() for _ in range(3)], ["before", "all", "after"])
                self.assertEqual([other.message() for _ in range(2)], ["hello", "all"])
                for connection in server.connections:
                    connection.unsubscribe("news")
                    connection.unsubscribe("news")
                self.assertEqual(server.subscribers("news"), 0)

    def test_requests_are_decided_on_by_the_program(self) -> None:
        def on_request(request: Request) -> None:
            if request.path == "/health":
                request.respond(200, "fine", headers=[("X-Kind", "health")])
            elif request.path == "/later":
                threading.Timer(0.1, lambda: request.accept(headers=[("X-Late", "yes")])).start()
            elif request.path == "/nobody":
                request.refuse(403)
            elif request.path == "/fails":
                raise ValueError("no")
            elif request.path == "/forgotten":
                pass
            else:
                request.accept(identity=request.header("X-User"))
                with self.assertRaises(RuntimeError):
                    request.accept()

        with self.assertLogs("raddle.server", logging.ERROR) as logs:
            with serving(on_request=on_request, identities=(1, "refuse")) as server:
                for path, status in (("/health", 200), ("/later", 101), ("/nobody", 403), ("/fails", 500), ("/forgotten", 500)):
                    with Plain(server.address, path) as client:
                        if path == "/forgotten" and sys.implementation.name != "cpython":
                            # What nobody has any more is collected later there.
                            until(lambda: is_answered(client) or gc.collect())
                        self.assertEqual(client.status, status, path)
                        self.assertEqual("X-Kind: health" in client.head, path == "/health")
                        self.assertEqual("X-Late: yes" in client.head, path == "/later")
                with Plain(server.address, "/", "X-User: ann\r\n") as ann:
                    self.assertEqual(ann.status, 101)
                    until(lambda: server.connections_of("ann"))
                    (connection,) = server.connections_of("ann")
                    self.assertEqual(connection.identity, "ann")
                    with Plain(server.address, "/", "X-User: ann\r\n") as again:
                        self.assertEqual(again.status, 409)
        self.assertEqual(len(logs.records), 1)

    def test_one_more_of_an_identity_replaces_the_oldest_where_that_is_asked_for(self) -> None:
        with serving(on_request=lambda request: request.accept(identity="ann"), identities=(1, "replace")) as server:
            with Plain(server.address) as one, Plain(server.address) as other:
                self.assertEqual(other.status, 101)
                self.assertEqual(one.close_code(), 4409)


def is_answered(client: Plain) -> bool:
    return bool(select.select([client.stream], [], [], 0)[0])


if __name__ == "__main__":
    unittest.main()
