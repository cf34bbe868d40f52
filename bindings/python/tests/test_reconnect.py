"""The client that connects again and again."""

from __future__ import annotations

import gc
import inspect
import socket
import threading
import unittest
from typing import Any

from support import LIMIT, eventually, serving

import raddle
from raddle._native import abi
from raddle._settings import client_settings


class Connections(unittest.TestCase):
    def test_come_one_after_the_other_until_one_is_closed_with_1000(self) -> None:
        seen: list[int] = []

        def handler(websocket: raddle.ServerConnection) -> None:
            seen.append(len(seen))
            websocket.send(str(len(seen)))
            if len(seen) < 3:
                websocket.close(1012)
            # Returning from the third closes it with 1000.

        with serving(handler) as (url, _):
            got: list[Any] = []
            with raddle.reconnect(url, first_wait=0.01, longest_wait=0.02, compression=None) as connections:
                for websocket in connections:
                    self.assertIsInstance(websocket, raddle.ClientConnection)
                    try:
                        for message in websocket:
                            got.append(message)
                    except raddle.ConnectionClosedError as error:
                        self.assertEqual(error.code, 1012)
            self.assertEqual(got, ["1", "2", "3"])

    def test_are_waited_for_while_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        connections = raddle.reconnect(f"ws://127.0.0.1:{port}/", first_wait=0.01, longest_wait=0.05)
        with self.assertRaises(TimeoutError):
            connections.next(0.2)

        def echo(websocket: raddle.ServerConnection) -> None:
            for message in websocket:
                websocket.send(message)

        with raddle.serve(echo, "127.0.0.1", port) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            websocket = connections.next(LIMIT)
            assert websocket is not None
            websocket.send("here")
            self.assertEqual(websocket.recv(timeout=LIMIT), "here")
            websocket.close()
            self.assertIsNone(connections.next(LIMIT))
            server.shutdown()
            thread.join(LIMIT)

    def test_stay_open_when_nothing_else_holds_what_has_made_them(self) -> None:
        with serving() as (url, _):
            websocket = raddle.reconnect(url).next(LIMIT)
            assert websocket is not None
            gc.collect()
            # What is collected says so to its peer within no time; and this comes back from there.
            websocket.ping().wait(LIMIT)
            websocket.send("still here")
            self.assertEqual(websocket.recv(LIMIT), "still here")
            websocket.close()

    def test_that_cannot_be_made_are_closed(self) -> None:
        class Mine(raddle.ClientConnection):
            def __init__(self) -> None:
                raise LookupError("inside")

        with serving() as (url, server):
            connections = raddle.reconnect(url, create_connection=Mine)
            before = abi.raddle_conn_count()
            with self.assertRaisesRegex(LookupError, "inside"):
                connections.next(LIMIT)
            eventually("nothing is left", lambda: abi.raddle_conn_count() == before and not server.connections)

    def test_stop_from_another_thread_ends_the_wait(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            connections = raddle.reconnect(f"ws://127.0.0.1:{silent.getsockname()[1]}/")
            threading.Timer(0.2, connections.stop).start()
            self.assertEqual(list(connections), [])

    def test_a_refusal_for_good_is_raised(self) -> None:
        def refuse(websocket: raddle.ServerConnection, request: raddle.Request) -> raddle.Response:
            return websocket.respond(401, "no\n")

        with serving(process_request=refuse) as (url, _):
            with self.assertRaisesRegex(raddle.InvalidStatus, "401") as caught:
                next(iter(raddle.reconnect(url)))
            response = caught.exception.response
            self.assertEqual((response.status_code, response.body), (401, b"no\n"))
            self.assertIn("text/plain", response.headers["Content-Type"])

    def test_know_what_they_have_asked_for_and_what_was_answered(self) -> None:
        def answer(_: raddle.ServerConnection, request: raddle.Request, response: raddle.Response) -> None:
            response.headers["X-Answer"] = request.headers["X-Question"]

        with serving(process_response=answer) as (url, _):
            connections = raddle.reconnect(url + "/room", additional_headers={"X-Question": "who?"})
            websocket = connections.next(LIMIT)
            assert websocket is not None and websocket.request is not None and websocket.response is not None
            self.assertEqual((websocket.request.path, websocket.request.headers["x-question"]), ("/room", "who?"))
            self.assertEqual((websocket.response.status_code, websocket.response.headers["x-answer"]), (101, "who?"))
            websocket.close()

    def test_take_the_options_of_connect_with_their_defaults(self) -> None:
        # The second one is connect's alone.
        with self.assertRaisesRegex(TypeError, r"^reconnect\(\) .* 'nope'"):
            raddle.reconnect("ws://127.0.0.1:1/", nope=1)
        with self.assertRaisesRegex(TypeError, r"^reconnect\(\) .* 'legacy'"):
            raddle.reconnect("ws://127.0.0.1:1/", legacy=None)
        there = inspect.signature(raddle.connect).parameters
        for name, parameter in inspect.signature(client_settings).parameters.items():
            # What is filled in before.
            if name in there and name not in ("user_agent_header", "proxy"):
                self.assertEqual(parameter.default, there[name].default, name)

    def test_tell_where_they_lead_and_no_secrets(self) -> None:
        connections = raddle.reconnect("ws://user:secret@127.0.0.1:1/a@b?token=secret")
        self.assertEqual(repr(connections), "<raddle.reconnect to ws://127.0.0.1:1/a@b>")

    def test_a_uri_that_is_none_is_told_at_once(self) -> None:
        with self.assertRaises(raddle.InvalidURI):
            raddle.reconnect("http://example.com/")

    def test_connect_with_legacy_false_gives_it(self) -> None:
        self.assertIsInstance(raddle.connect("ws://127.0.0.1:1/", legacy=False), raddle.reconnect)


if __name__ == "__main__":
    unittest.main()
