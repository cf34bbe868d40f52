"""Handlers that are found by their paths, with the rules of werkzeug, which has to be installed."""

from __future__ import annotations

import os
import tempfile
import threading
import unittest
from typing import Any, Dict, Optional

import raddle
from raddle.server import Server
from werkzeug.routing import Map, Rule

from support import LIMIT, echo


def room(websocket: raddle.ServerConnection, number: int) -> None:
    websocket.send(f"room {number}")


def rules() -> Map:
    return Map([
        Rule("/room/<int:number>", endpoint=room),
        Rule("/first", endpoint=room, defaults={"number": 1}),
        Rule("/old/<int:number>", redirect_to="/room/<number>"),
        Rule("/echo/", endpoint=echo),
        Rule("/post", endpoint=room, methods=["POST"]),
    ])  # fmt: skip


class Routes(unittest.TestCase):
    def serving(self, server: Server) -> str:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def stop() -> None:
            server.shutdown()
            thread.join(LIMIT)
            self.assertFalse(thread.is_alive())

        self.addCleanup(stop)
        return "" if server.socket is None else "ws://127.0.0.1:%d" % server.socket.getsockname()[1]

    def test_lead_to_handlers_with_what_their_rules_capture(self) -> None:
        url = self.serving(raddle.route(rules(), "127.0.0.1", 0))
        for path, expected in (("/room/7", "room 7"), ("/first", "room 1"), ("/room/8?query=1", "room 8")):
            with raddle.connect(url + path) as websocket:
                self.assertEqual(websocket.recv(LIMIT), expected)
        with raddle.connect(url + "/echo/") as websocket:
            websocket.send("Hello")
            self.assertEqual(websocket.recv(LIMIT), "Hello")

    def test_that_lead_elsewhere_are_followed_and_others_refused(self) -> None:
        url = self.serving(raddle.route(rules(), "127.0.0.1", 0))
        for path in ("/old/7", "/echo"):
            raddle.connect(url + path).close()
        for path, status in (("/room/none", 404), ("/", 404), ("/post", 405)):
            self.refused(url + path, status)

    def refused(self, url: str, status: int) -> raddle.Response:
        with self.assertRaises(raddle.InvalidStatus) as caught:
            raddle.connect(url)
        self.assertEqual(caught.exception.response.status_code, status)
        return caught.exception.response

    def test_name_the_server_as_clients_know_it(self) -> None:
        class Told(raddle.Router):
            def redirect(self, connection: raddle.ServerConnection, url: str) -> raddle.Response:
                return connection.respond(410, url)

        for options, expected in (
            ({"ssl": True, "server_name": "example.com"}, "wss://example.com/echo/"),
            ({"server_name": "example.com"}, "ws://example.com/echo/"),
        ):
            given: Dict[str, Any] = dict(options)
            url = self.serving(raddle.route(rules(), "127.0.0.1", 0, create_router=Told, **given))
            self.assertEqual(self.refused(url + "/echo", 410).body, expected.encode())

    def test_come_behind_process_request(self) -> None:
        def decide(websocket: raddle.ServerConnection, request: raddle.Request) -> Optional[raddle.Response]:
            return websocket.respond(403, "no") if request.path == "/room/13" else None

        url = self.serving(raddle.route(rules(), "127.0.0.1", 0, process_request=decide))
        self.refused(url + "/room/13", 403)
        self.refused(url + "/none", 404)
        raddle.connect(url + "/room/12").close()
        with self.assertRaisesRegex(TypeError, "process_request"):
            raddle.route(rules(), "127.0.0.1", 0, process_request=1)

    def test_are_there_on_unix_sockets(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            server = raddle.unix_route(rules(), path)
            self.serving(server)
            with raddle.unix_connect(path, "ws://localhost/room/3") as websocket:
                self.assertEqual(websocket.recv(LIMIT), "room 3")
            # Before the directory goes.
            self.doCleanups()
        with self.assertRaises(ValueError):
            raddle.unix_route(rules())


if __name__ == "__main__":
    unittest.main()
