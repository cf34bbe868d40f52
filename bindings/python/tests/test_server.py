"""The life of a server: handlers that fail, shutting down, broadcasting."""

from __future__ import annotations

import socket
import threading
import time
import unittest
from typing import Any, List

import raddle
from raddle.frames import Close

from support import LIMIT, echo, eventually, serving


class Handlers(unittest.TestCase):
    def test_that_return_close_with_1000_and_those_that_raise_with_1011(self) -> None:
        # Hostile input 319.
        def handler(websocket: raddle.ServerConnection) -> None:
            what = str(websocket.recv())
            if what != "return":
                raise {"error": KeyError, "exit": SystemExit, "interrupt": KeyboardInterrupt, "memory": MemoryError}[what]

        with serving(handler) as (url, _):
            for what in ("error", "exit", "interrupt", "memory", "return"):
                with self.subTest(what):
                    websocket = raddle.connect(url)
                    if what == "return":
                        websocket.send(what)
                        self.assertTrue(websocket.wait_closed(LIMIT))
                        self.assertEqual(websocket.close_code, 1000)
                        continue
                    with self.assertLogs("raddle.server", "ERROR") as logged:
                        websocket.send(what)
                        self.assertTrue(websocket.wait_closed(LIMIT))
                        self.assertEqual(websocket.close_code, 1011)
                    self.assertEqual(logged.records[0].getMessage(), "connection handler failed")

    def test_that_see_their_client_go_are_no_errors(self) -> None:
        def handler(websocket: raddle.ServerConnection) -> None:
            websocket.recv()

        with self.assertNoErrors(), serving(handler) as (url, server):
            raddle.connect(url).close()
            raddle.connect(url).close(4000)
            eventually("the handlers have returned", lambda: not server._threads)

    def assertNoErrors(self) -> Any:
        import contextlib
        import logging

        @contextlib.contextmanager
        def watch() -> Any:
            records: List[Any] = []
            handler = logging.Handler(logging.ERROR)
            setattr(handler, "emit", records.append)
            logger = logging.getLogger("raddle.server")
            logger.addHandler(handler)
            try:
                yield
            finally:
                logger.removeHandler(handler)
            self.assertEqual([record.getMessage() for record in records], [])

        return watch()

    def test_are_of_the_class_that_is_asked_for(self) -> None:
        class Mine(raddle.ServerConnection):
            pass

        kinds: List[Any] = []
        with serving(lambda websocket: kinds.append(type(websocket)), create_connection=Mine) as (url, _):
            raddle.connect(url).wait_closed(LIMIT)
        self.assertEqual(kinds, [Mine])


class Shutdown(unittest.TestCase):
    def test_closes_all_and_waits_for_the_handlers(self) -> None:
        returned: List[Any] = []

        def handler(websocket: raddle.ServerConnection) -> None:
            echo(websocket)
            time.sleep(0.05)
            returned.append(websocket)

        with serving(handler) as (url, server):
            clients = [raddle.connect(url) for _ in range(5)]
            eventually("all are open", lambda: len(server.connections) == 5)
            server.shutdown()
            self.assertEqual(len(returned), 5)
            for client in clients:
                self.assertTrue(client.wait_closed(LIMIT))
                self.assertEqual(client.close_code, 1001)
            server.shutdown()
            with self.assertRaises(OSError):
                raddle.connect(url)
            self.assertEqual((server.connections, server.fileno()), (set(), -1))

    def test_says_what_it_is_told_to(self) -> None:
        with serving() as (url, server):
            client = raddle.connect(url)
            eventually("it is open", lambda: len(server.connections) == 1)
            server.shutdown(code=1012, reason="back soon")
            self.assertTrue(client.wait_closed(LIMIT))
            self.assertEqual((client.close_code, client.close_reason), (1012, "back soon"))

    def test_can_let_connections_go_on(self) -> None:
        with serving() as (url, server):
            client = raddle.connect(url)
            client.send("before")
            client.recv(LIMIT)
            thread = threading.Thread(target=server.shutdown, args=(False,))
            thread.start()
            eventually("nobody is taken", lambda: refuses(url))
            for _ in range(3):
                client.send("after")
                self.assertEqual(client.recv(LIMIT), "after")
            self.assertTrue(thread.is_alive())
            client.close()
            thread.join(LIMIT)
            self.assertFalse(thread.is_alive())

    def test_may_be_called_by_a_handler_and_before_serving(self) -> None:
        def handler(websocket: raddle.ServerConnection) -> None:
            websocket.server.shutdown()

        with serving(handler) as (url, _):
            client = raddle.connect(url)
            self.assertTrue(client.wait_closed(LIMIT))
        server = raddle.serve(echo, "127.0.0.1", 0)
        server.shutdown()
        # Somebody else was quicker.
        server.serve_forever()

    def test_refuses_what_no_close_may_say(self) -> None:
        with serving() as (url, server), raddle.connect(url) as websocket:
            for code, reason, error in (
                (999, "", ValueError), (1005, "", ValueError), ("1000", "", TypeError), (1000, "x" * 124, ValueError),
                (1000, "a\0b", ValueError), (1000, b"x", TypeError),
            ):  # fmt: skip
                wrong: Any = code, reason
                with self.subTest(wrong), self.assertRaisesRegex(error, "code|reason"):
                    server.shutdown(True, *wrong)
            websocket.send("still served")
            self.assertEqual(websocket.recv(LIMIT), "still served")
            thread = threading.Thread(target=server.shutdown)
            thread.start()
            with self.assertRaises(raddle.ConnectionClosedOK) as caught:
                websocket.recv(LIMIT)
            self.assertEqual(caught.exception.rcvd, Close(1001, ""))
            thread.join(LIMIT)

    def test_at_once_behind_serve_forever_is_no_error(self) -> None:
        failed: List[Any] = []

        def serve(server: Any) -> None:
            try:
                server.serve_forever()
            except BaseException as error:
                failed.append(error)

        for _ in range(50):
            server = raddle.serve(echo, "127.0.0.1", 0)
            thread = threading.Thread(target=serve, args=(server,))
            thread.start()
            server.shutdown()
            thread.join(LIMIT)
            self.assertFalse(thread.is_alive())
        self.assertEqual(failed, [])

    def test_may_be_called_by_several_handlers_at_once(self) -> None:
        both = threading.Barrier(3)

        def handler(websocket: raddle.ServerConnection) -> None:
            both.wait(LIMIT)
            websocket.server.shutdown()

        with serving(handler) as (url, _):
            clients = [raddle.connect(url) for _ in range(2)]
            both.wait(LIMIT)
            for client in clients:
                self.assertTrue(client.wait_closed(LIMIT))

    def test_frees_what_was_never_served(self) -> None:
        server = raddle.serve(echo, "127.0.0.1", 0)
        assert server.socket is not None
        port = server.socket.getsockname()[1]
        with self.assertRaises(OSError):
            raddle.serve(echo, "127.0.0.1", port)
        server.shutdown()
        raddle.serve(echo, "127.0.0.1", port).shutdown()

    def test_takes_a_socket(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mine:
            with self.assertRaises(ValueError):
                raddle.serve(echo, "127.0.0.1", sock=mine)
            with raddle.serve(echo, sock=mine) as server:
                thread = threading.Thread(target=server.serve_forever)
                thread.start()
                with raddle.connect(f"ws://127.0.0.1:{mine.getsockname()[1]}") as websocket:
                    websocket.send("here")
                    self.assertEqual(websocket.recv(LIMIT), "here")
                server.shutdown()
                thread.join(LIMIT)


class Broadcasts(unittest.TestCase):
    def test_reach_all_that_are_open(self) -> None:
        with serving() as (url, server):
            clients = [raddle.connect(url) for _ in range(10)]
            gone = clients.pop()
            eventually("all are open", lambda: len(server.connections) == 10)
            everybody = server.connections
            gone.close()
            eventually("one has gone", lambda: len(server.connections) == 9)
            raddle.broadcast(everybody, "to all", raise_exceptions=True)
            raddle.broadcast(everybody, b"bytes", text=True)
            raddle.broadcast([], "to nobody")
            for client in clients:
                self.assertEqual([client.recv(LIMIT), client.recv(LIMIT)], ["to all", "bytes"])
            with self.assertRaisesRegex(TypeError, "message"):
                raddle.broadcast(everybody, 1)  # type: ignore[arg-type]
            wrong: Any
            for wrong in (3, None, [3], "abc", [*everybody, None]):
                with self.subTest(wrong), self.assertRaisesRegex(TypeError, "connections must be an iterable of Connection"):
                    raddle.broadcast(wrong, "to none")
            with self.assertRaisesRegex(ValueError, "message is not UTF-8"):
                raddle.broadcast(everybody, b"\xff", text=True)
            raddle.broadcast(everybody, "last")
            self.assertEqual([client.recv(LIMIT) for client in clients], ["last"] * 9)

    def test_wait_for_those_that_are_slow(self) -> None:
        with serving(max_size=None) as (url, server):
            slow, fast = (raddle.connect(url, max_size=None, compression=None) for _ in range(2))
            eventually("both are open", lambda: len(server.connections) == 2)
            message, seen = b"x" * 1_000_000, []

            def read(client: Any, pause: float) -> None:
                for _ in range(20):
                    time.sleep(pause)
                    seen.append(len(client.recv(LIMIT)))

            threads = [threading.Thread(target=read, args=(slow, 0.01)), threading.Thread(target=read, args=(fast, 0))]
            for thread in threads:
                thread.start()
            for _ in range(20):
                raddle.broadcast(server.connections, message, raise_exceptions=True)
            for thread in threads:
                thread.join(LIMIT)
            self.assertEqual(seen, [1_000_000] * 40)


def refuses(url: str) -> bool:
    try:
        raddle.connect(url).close()
    except (OSError, raddle.InvalidHandshake):
        return True
    return False


if __name__ == "__main__":
    unittest.main()
