"""The fast face: a server whose events one thread takes."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import threading
import time
import unittest
import warnings
from contextlib import contextmanager, suppress
from typing import Any, Iterator
from unittest import mock

from plain import Plain, frame

import raddle
from raddle import _constants as c
from raddle.fast import Closed, Connection, Drained, Opened, Request, Server, Unsent

PATIENCE = 10.0


@contextmanager
def serving(**options: Any) -> Iterator[Server]:
    """A server of functions, on a thread of its own."""
    options.setdefault("compression", None)
    with Server("127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown(1)
            thread.join(PATIENCE)
            assert not thread.is_alive(), "serve_forever has not returned"


def until(condition: Any) -> None:
    """Waits until something is so."""
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.005)


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

    def test_a_server_is_closed_by_one_thread_while_another_serves(self) -> None:
        calls: list[Any] = []
        for pause in (0.0, 0.05):
            with Server("127.0.0.1", 0, on_close=lambda *_: calls.append(threading.get_ident())) as server:
                thread = threading.Thread(target=server.serve_forever)
                thread.start()
                until(lambda: server._serving)
                with Plain(server.address) as client:
                    until(lambda: server.connections)
                    closing = threading.Timer(pause, lambda: client.close(1001) if client.receive()[0] == 8 else None)
                    closing.start()
                    server.close()
                    closing.join()
                ident = thread.ident
                thread.join(PATIENCE)
                self.assertFalse(thread.is_alive())
            # The functions are called by the one thread.
            self.assertEqual(set(calls), {ident})
            calls.clear()

    def test_a_server_is_closed_by_a_signal_handler_amid_a_poll_of_the_same_thread(self) -> None:
        closed: list[Any] = []
        server = Server("127.0.0.1", 0, on_close=lambda _, event: closed.append(event))
        before = signal.signal(signal.SIGUSR1, lambda *_: server.close())
        try:
            with Plain(server.address) as client:

                def kill() -> None:
                    until(lambda: server.connections and server._is_polling)
                    os.kill(os.getpid(), signal.SIGUSR1)
                    client.close(client.close_code())

                killing = threading.Thread(target=kill)
                killing.start()
                server.serve_forever()
                killing.join(PATIENCE)
        finally:
            signal.signal(signal.SIGUSR1, before)
        # Its closing handshake was carried out, and nothing is left to be let go.
        self.assertEqual([event.code for event in closed], [1001])
        self.assertFalse(server.handle)
        self.assertTrue(server.has_ended)
        server.close()

    def test_a_server_that_is_closed_amid_a_function_of_another_thread_has_ended_for_that(self) -> None:
        go, is_amid = threading.Event(), threading.Event()

        def on_message(connection: Connection, message: Any) -> None:
            is_amid.set()
            go.wait(PATIENCE)

        server = Server("127.0.0.1", 0, on_message=on_message)
        raised: list[BaseException] = []

        def serve() -> None:
            try:
                server.serve_forever()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        with Plain(server.address) as client:
            client.send("x")
            self.assertTrue(is_amid.wait(PATIENCE))
            server.close(0)
        go.set()
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())
        self.assertEqual(raised, [])
        with self.assertRaises(RuntimeError):
            server.poll(0)

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
            first = Plain(server.address)
            limit = time.monotonic() + PATIENCE
            while not requests and time.monotonic() < limit:
                server.poll(0.1)
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


class Ending(unittest.TestCase):
    def test_an_exception_closes_its_connection_with_1011_and_the_server_serves_on(self) -> None:
        def on_message(connection: Connection, message: Any) -> None:
            if message == "fail":
                raise MemoryError("enough")
            connection.send(message)

        with self.assertLogs("raddle.server", logging.ERROR) as logs:
            with serving(on_message=on_message) as server:
                with Plain(server.address) as bad, Plain(server.address) as good:
                    bad.send("fail")
                    self.assertEqual(bad.close_code(), 1011)
                    good.send("still there")
                    self.assertEqual(good.message(), "still there")
        self.assertIn("MemoryError: enough", logs.output[0])

    def test_what_ends_a_program_ends_serve_forever_and_nothing_is_lost(self) -> None:
        for kind in (KeyboardInterrupt, SystemExit):
            got: list[int] = []

            def on_message(connection: Connection, message: Any, kind: Any = kind, got: Any = got) -> None:
                got.append(int(message))
                if message == b"3":
                    raise kind

            with Server("127.0.0.1", 0, on_message=on_message) as server, Plain(server.address) as client:
                client.stream.sendall(b"".join(frame(2, b"%d" % number) for number in range(10)))
                with self.assertRaises(kind):
                    server.serve_forever()
                threading.Timer(0.2, server.shutdown, [0]).start()
                server.serve_forever()
                self.assertEqual(got, list(range(10)))

    def test_leaving_the_block_closes_what_is_open_with_1001_and_calls_on_close(self) -> None:
        ends: list[Any] = []
        with Server("127.0.0.1", 0, on_close=lambda connection, closed: ends.append(closed.code)) as server:
            client = Plain(server.address)
            server.poll(PATIENCE)

            def reply() -> None:
                ends.append(client.close_code())
                client.close(1001)

            answer = threading.Thread(target=reply)
            answer.start()
        answer.join()
        self.assertEqual(ends, [1001, 1001])
        server.close()
        for use in (lambda: server.poll(0), lambda: server.broadcast("x"), server.wake, server.serve_forever, server.shutdown):
            with self.assertRaises(RuntimeError):
                use()

    def test_shutdown_ends_serve_forever_from_within_a_function(self) -> None:
        with Server("127.0.0.1", 0, on_message=lambda connection, message: server.shutdown()) as server:
            with Plain(server.address) as client:
                client.send("stop")
                answer = threading.Thread(target=lambda: client.close(1001))
                answer.start()
                server.serve_forever()
                answer.join()


if __name__ == "__main__":
    unittest.main()
