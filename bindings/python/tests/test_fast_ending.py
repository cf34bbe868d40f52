"""The fast face: the ends of servers, whoever asks for them, and what functions raise."""

from __future__ import annotations

import logging
import os
import signal
import threading
import unittest
from functools import partial
from typing import Any
from unittest import mock

from fast_support import PATIENCE, serving, until
from plain import Plain, frame

import raddle
from raddle.fast import Closed, Connection, Opened, Server


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

    def test_a_server_says_where_it_is_and_which_argument_it_does_not_know(self) -> None:
        with Server("127.0.0.1", 0) as server:
            self.assertEqual(repr(server), f"<raddle.fast.Server on 127.0.0.1:{server.address[1]}>")
        self.assertEqual(repr(server), "<raddle.fast.Server, closed>")
        with self.assertRaisesRegex(TypeError, r"Server\(\) .* 'on_mesage'"):
            Server("127.0.0.1", 0, on_mesage=print)
        # The server itself hands this one on.
        with self.assertRaisesRegex(TypeError, r"Server\(\) .* 'engine'"):
            Server("127.0.0.1", 0, engine=3)

    def test_shutdown_ends_serve_forever_from_within_a_function(self) -> None:
        with Server("127.0.0.1", 0, on_message=lambda connection, message: server.shutdown()) as server:
            with Plain(server.address) as client:
                client.send("stop")
                answer = threading.Thread(target=lambda: client.close(1001))
                answer.start()
                server.serve_forever()
                answer.join()

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

    def test_a_loop_of_another_thread_gets_what_is_left_and_ends_when_the_server_is_closed(self) -> None:
        for is_amid in (False, True):
            seen: list[Any] = []
            raised: list[BaseException] = []
            has_come, go = threading.Event(), threading.Event()
            server = Server("127.0.0.1", 0)

            def loop(server: Server = server, seen: list[Any] = seen, raised: list[BaseException] = raised) -> None:
                try:
                    for _, event in server:
                        seen.append(type(event))
                        if isinstance(event, str):
                            has_come.set()
                            go.wait(PATIENCE)
                except BaseException as error:
                    raised.append(error)

            thread = threading.Thread(target=loop)
            thread.start()
            with Plain(server.address) as client:
                client.send("x")
                self.assertTrue(has_come.wait(PATIENCE))
                if not is_amid:
                    go.set()
                    until(lambda: server._is_polling)
                closing = threading.Thread(target=server.close)
                closing.start()
                self.assertEqual(client.close_code(), 1001)
                go.set()
                client.close(1001)
            for each in (thread, closing):
                each.join(PATIENCE)
                self.assertFalse(each.is_alive())
            self.assertEqual((seen, raised), ([Opened, str, Closed], []))

    def test_a_loop_that_begins_while_another_thread_closes_the_server_ends(self) -> None:
        with Server("127.0.0.1", 0) as server, Plain(server.address) as client:
            server.poll(PATIENCE)
            closing = threading.Thread(target=server.close)
            closing.start()
            until(lambda: server._closer)
            self.assertEqual(list(server), [])
            server.serve_forever()
            with self.assertRaisesRegex(RuntimeError, "another thread polls"):
                server.poll(0)
            self.assertEqual(client.close_code(), 1001)
            client.close(1001)
            closing.join(PATIENCE)
            self.assertFalse(closing.is_alive())

    def test_a_loop_that_was_left_and_is_there_still_does_not_hold_up_who_closes_the_server(self) -> None:
        for stays in (False, True):
            ends: list[Any] = []
            left, go = threading.Event(), threading.Event()
            server = Server("127.0.0.1", 0, on_close=partial(lambda ends, _, closed: ends.append(closed.code), ends))
            loop = iter(server)

            def leave(loop: Any = loop, left: Any = left, go: Any = go, stays: bool = stays) -> None:
                next(loop)
                left.set()
                if stays:
                    go.wait(PATIENCE)

            with Plain(server.address) as client:
                thread = threading.Thread(target=leave)
                thread.start()
                self.assertTrue(left.wait(PATIENCE))
                answer = threading.Thread(target=answered, args=(client,))
                answer.start()
                server.close(PATIENCE)
                answer.join(PATIENCE)
            go.set()
            thread.join(PATIENCE)
            # The closing handshake was carried out, and the function was told.
            self.assertEqual(ends, [1001])

    def test_who_is_about_to_poll_is_waited_for_by_who_closes_the_server(self) -> None:
        seen: list[Any] = []
        about, closes = threading.Event(), threading.Event()
        server = Server("127.0.0.1", 0)
        begin = server._begin_to_poll

        def slowly(once: bool = False) -> bool:
            begun = begin(once)
            if threading.current_thread() is thread and seen and not about.is_set():
                about.set()
                closes.wait(PATIENCE)
            return begun

        def poll() -> None:
            while not server.has_ended:
                seen.extend(type(event) for _, event in server.poll())

        thread = threading.Thread(target=poll)
        with Plain(server.address) as client, mock.patch.object(server, "_begin_to_poll", slowly):
            thread.start()
            self.assertTrue(about.wait(PATIENCE))
            answer = threading.Thread(target=answered, args=(client,))
            answer.start()
            threading.Timer(0.1, closes.set).start()
            server.close()
            for each in (thread, answer):
                each.join(PATIENCE)
                self.assertFalse(each.is_alive())
        self.assertEqual(seen, [Opened, Closed])

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


def answered(client: Plain) -> None:
    """Waits for a Close, and answers it."""
    client.close(client.close_code())


if __name__ == "__main__":
    unittest.main()
