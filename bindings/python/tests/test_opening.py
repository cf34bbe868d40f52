"""The opening handshake: who decides on requests, and what a client is told of a refusal."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import tempfile
import threading
import unittest
import unittest.mock
from typing import Any, List, Optional

import raddle
from raddle import _constants as c
from raddle._errors import _resolver_text, failure
from raddle._proxies import proxy_for

from support import LIMIT, echo, eventually, exchange, serving

Decision = Optional[raddle.Response]


class Requests(unittest.TestCase):
    def test_are_decided_on_by_process_request(self) -> None:
        seen: List[Any] = []

        def decide(websocket: raddle.ServerConnection, request: raddle.Request) -> Decision:
            seen.append((websocket.state, request.path, request.headers["X-Token"], websocket.remote_address[0]))
            return None if request.path == "/in" else websocket.respond(403, "Not you\n")

        with serving(process_request=decide) as (url, _):
            with raddle.connect(url + "/in", additional_headers={"X-Token": "1"}) as websocket:
                websocket.send("in")
                self.assertEqual(websocket.recv(LIMIT), "in")
            with self.assertRaises(raddle.InvalidStatus) as caught:
                raddle.connect(url + "/out", additional_headers=[("X-Token", "2")])
        response = caught.exception.response
        self.assertEqual((response.status_code, response.body), (403, b"Not you\n"))
        self.assertEqual(response.headers["content-type"], "text/plain; charset=utf-8")
        self.assertEqual(str(caught.exception), "server rejected WebSocket connection: HTTP 403")
        connecting = raddle.State.CONNECTING
        self.assertEqual(seen, [(connecting, "/in", "1", "127.0.0.1"), (connecting, "/out", "2", "127.0.0.1")])

    def test_of_plain_http_get_pages_and_others_are_told_to_upgrade(self) -> None:
        def page(_: raddle.ServerConnection, request: raddle.Request) -> Decision:
            if request.path != "/healthz":
                return None
            return raddle.Response(200, "OK", raddle.Headers({"Content-Type": "text/html", "X-More": "1"}), b"<p>fine")

        with serving(process_request=page) as (url, _):
            answer = exchange(url, "GET /healthz HTTP/1.1\nHost: localhost\n\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)
            self.assertTrue(answer.endswith(b"\r\n\r\n<p>fine"), answer)
            self.assertIn(b"\r\nX-More: 1\r\n", answer)
            self.assertTrue(exchange(url, "GET / HTTP/1.1\nHost: localhost\n\n").startswith(b"HTTP/1.1 426 "))

    def test_that_a_function_fails_for_are_answered_with_500_and_the_server_serves_on(self) -> None:
        # Hostile input 319.
        def fail(*_: Any) -> Any:
            raise KeyError("inside")

        def wrong(*_: Any) -> Any:
            return "no response"

        for options in ({"process_request": fail}, {"process_response": fail}, {"process_request": wrong},
                        {"process_response": wrong}, {"select_subprotocol": fail}):  # fmt: skip
            with self.subTest(options), serving(**options) as (url, _):
                for _ in range(2):
                    with self.assertLogs("raddle.server", "ERROR") as logged, self.assertRaises(raddle.InvalidStatus) as caught:
                        raddle.connect(url)
                    self.assertEqual(caught.exception.response.status_code, 500)
                    self.assertTrue(logged.records[0].exc_info)

    def test_that_end_their_thread_are_told_to_the_log(self) -> None:
        # Hostile input 319.
        def leave(*_: Any) -> Any:
            raise SystemExit(3)

        with serving(process_request=leave) as (url, _):
            with self.assertLogs("raddle.server", "ERROR") as logged:
                with self.assertRaises(raddle.InvalidStatus) as caught:
                    raddle.connect(url)
                eventually("it is in the log", lambda: len(logged.records) > 0)
            response = caught.exception.response
            self.assertEqual((response.status_code, response.reason_phrase), (500, "Internal Server Error"))

    def test_may_have_their_response_changed(self) -> None:
        def more(_: raddle.ServerConnection, request: raddle.Request, response: raddle.Response) -> Decision:
            response.headers["Set-Cookie"] = "id=1"
            response.headers["X-Number"] = 5  # type: ignore[assignment]
            if request.path == "/no":
                return raddle.Response(410, "Gone", raddle.Headers())
            return None

        with serving(process_response=more, server_header="Test") as (url, _):
            with raddle.connect(url) as websocket:
                assert websocket.response is not None
                headers = websocket.response.headers
                self.assertEqual((headers["Set-Cookie"], headers["Server"], headers["X-Number"]), ("id=1", "Test", "5"))
            with self.assertRaises(raddle.InvalidStatus) as caught:
                raddle.connect(url + "/no")
            self.assertEqual(caught.exception.response.status_code, 410)
        with serving(server_header=None) as (url, _), raddle.connect(url) as websocket:
            self.assertNotIn("Server", websocket.response.headers if websocket.response else ["Server"])


class Origins(unittest.TestCase):
    def test_decide(self) -> None:
        allowed = ["https://example.com", re.compile(r"https://.*\.example\.org"), None]
        cases = [(None, True), ("https://example.com", True), ("https://a.example.org", True), ("https://example.net", False)]
        with serving(origins=allowed) as (url, _):
            self.check(url, cases)
        with serving(origins=["https://example.com"]) as (url, _):
            self.check(url, [(None, False), ("https://example.com", True)])
        with serving() as (url, _):
            self.check(url, [(None, True), ("https://example.net", True)])

    def check(self, url: str, cases: Any) -> None:
        for origin, welcome in cases:
            with self.subTest(origin):
                if welcome:
                    raddle.connect(url, origin=origin).close()
                else:
                    with self.assertRaises(raddle.InvalidStatus) as caught:
                        raddle.connect(url, origin=origin)
                    self.assertEqual(caught.exception.response.status_code, 403)

    def test_and_hosts_keep_foreign_pages_out(self) -> None:
        with serving(hosts=["example.com"]) as (url, _):
            raddle.connect(url, additional_headers={"Host": "example.com"}).close()
            with self.assertRaises(raddle.InvalidStatus):
                raddle.connect(url)


class Subprotocols(unittest.TestCase):
    def test_are_chosen_in_the_servers_order_or_by_a_function(self) -> None:
        def last(_: raddle.ServerConnection, offered: Any) -> Any:
            if offered == ["no"]:
                raise raddle.NegotiationError("not that one")
            return offered[-1] if offered else None

        refused = 400
        for options, offered, expected in (
            ({"subprotocols": ["b", "a"]}, ["a", "b"], "b"),
            ({"subprotocols": ["b"]}, ["a"], refused),
            ({"subprotocols": ["b"]}, None, refused),
            ({}, ["a"], None),
            ({"select_subprotocol": last}, ["a", "b"], "b"),
            ({"select_subprotocol": last}, None, None),
            ({"select_subprotocol": last}, ["no"], refused),
        ):
            with self.subTest(options), serving(**options) as (url, _):
                if expected is refused:
                    with self.assertRaises(raddle.InvalidStatus) as caught:
                        raddle.connect(url, subprotocols=offered)
                    self.assertEqual(caught.exception.response.status_code, refused)
                    continue
                with raddle.connect(url, subprotocols=offered) as websocket:
                    self.assertEqual(websocket.subprotocol, expected)


class BasicAuthentication(unittest.TestCase):
    def test_asks_who_it_is(self) -> None:
        names: List[str] = []

        def handler(websocket: raddle.ServerConnection) -> None:
            names.append(websocket.username)

        ask = raddle.basic_auth('a "realm"', credentials=[("user", "pass:word"), ("other", "é")])
        with serving(handler, process_request=ask) as (url, _):
            host = url.rpartition("//")[2]
            raddle.connect(f"ws://user:pass%3Aword@{host}").wait_closed(LIMIT)
            header = "Basic " + base64.b64encode("other:é".encode()).decode()
            raddle.connect(url, additional_headers={"Authorization": header}).wait_closed(LIMIT)
            for wrong in (None, "Bearer x", "Basic !", "Basic dXNlcjp3cm9uZw==", "Basic bm9ib2R5Og=="):
                headers = {} if wrong is None else {"Authorization": wrong}
                with self.subTest(wrong), self.assertRaises(raddle.InvalidStatus) as caught:
                    raddle.connect(url, additional_headers=headers)
                response = caught.exception.response
                self.assertEqual(response.status_code, 401)
                expected = 'Basic realm="a \\"realm\\"", charset="UTF-8"'
                self.assertEqual(response.headers["WWW-Authenticate"], expected)
        self.assertEqual(names, ["user", "other"])

    def test_takes_a_function_or_pairs(self) -> None:
        with self.assertRaises(ValueError):
            raddle.basic_auth()
        with self.assertRaises(ValueError):
            raddle.basic_auth(credentials=("a", "b"), check_credentials=lambda *_: True)
        wrong: Any
        for wrong in (("a",), [("a", 1)], "ab"):
            with self.assertRaises(TypeError):
                raddle.basic_auth(credentials=wrong)
        ask = raddle.basic_auth(check_credentials=lambda user, password: user == password)
        with serving(process_request=ask) as (url, _):
            raddle.connect(url.replace("//", "//same:same@")).close()


def answer(listener: socket.socket, response: bytes) -> None:
    """Answers one request, with its key where the response has ACCEPT in it, and ends the stream."""
    stream, _ = listener.accept()
    with stream:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += stream.recv(65536)
        key = re.search(rb"Sec-WebSocket-Key: (.*)\r", request)
        assert key
        accept = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        stream.sendall(response.replace(b"ACCEPT", b"Sec-WebSocket-Accept: " + accept))
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(65536):
            pass


class Connecting(unittest.TestCase):
    def test_says_what_is_wrong(self) -> None:
        for wrong in ("http://localhost", "localhost", "ws://", "ws://localhost:99999", ""):
            with self.subTest(wrong), self.assertRaises(raddle.InvalidURI):
                raddle.connect(wrong)
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        with self.assertRaises(ConnectionRefusedError):
            raddle.connect(f"ws://127.0.0.1:{port}")
        with socket.create_server(("127.0.0.1", 0)) as silent, self.assertRaises(TimeoutError):
            raddle.connect(f"ws://127.0.0.1:{silent.getsockname()[1]}", open_timeout=0.05)

    def test_reads_responses_that_are_none(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def answer() -> None:
                stream, _ = listener.accept()
                stream.recv(65536)
                stream.sendall(b"SSH-2.0-hello\r\n")
                stream.close()

            threading.Thread(target=answer, daemon=True).start()
            with self.assertRaises(raddle.InvalidHandshake):
                raddle.connect(f"ws://127.0.0.1:{listener.getsockname()[1]}")

    def test_raises_what_programs_know(self) -> None:
        up = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        cases: Any = (
            (b"", raddle.InvalidMessage),
            (b"SSH-2.0-hello\r\n", raddle.InvalidMessage),
            (b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"y" * 20_000, raddle.SecurityError),
            (b"HTTP/1.1 100 Continue\r\n\r\n" * 9, raddle.SecurityError),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", raddle.InvalidUpgrade),
            (up + b"\r\n", raddle.InvalidHeaderValue),
            (up + b"ACCEPT\r\nSec-WebSocket-Protocol: chat\r\n\r\n", raddle.NegotiationError),
            (up + b"ACCEPT\r\nSec-WebSocket-Extensions: x-other\r\n\r\n", raddle.NegotiationError),
        )
        for response, expected in cases:
            with self.subTest(response[-60:]), socket.create_server(("127.0.0.1", 0)) as listener:
                answering = threading.Thread(target=answer, args=(listener, response))
                answering.start()
                with self.assertRaises(raddle.InvalidHandshake) as caught:
                    raddle.connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/", proxy=None)
                self.assertIs(type(caught.exception), expected)
                answering.join(LIMIT)

        def around(_: raddle.ServerConnection, request: raddle.Request) -> Decision:
            return raddle.Response(302, "Found", raddle.Headers({"Location": request.path}))

        with serving(process_request=around) as (url, _), self.assertRaises(raddle.SecurityError):
            raddle.connect(url)
        with self.assertRaisesRegex(socket.gaierror, "no address"):
            raddle.connect("ws://no-such-name.invalid/", proxy=None)
        # A resolver that cannot be asked now may be asked later.
        for number in (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_NONAME):
            said = _resolver_text(number).decode()
            error = failure(c.ERR_IO, f"the name has no address: failed to lookup address information: {said}")
            self.assertEqual((type(error), error.args[0]), (socket.gaierror, number))
        error = failure(c.ERR_IO, "the name has no address: Too many open files (os error 24)")
        self.assertEqual((type(error), error.args), (OSError, (24, "the name has no address: Too many open files")))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with self.assertRaises(ConnectionRefusedError) as refused:
            raddle.connect(f"ws://127.0.0.1:{port}/", proxy=None)
        self.assertNotIn("os error", str(refused.exception))

    def test_goes_over_sockets_that_are_connected(self) -> None:
        with serving() as (url, server):
            host, port = url.rpartition("//")[2].split(":")
            mine = socket.create_connection((host, int(port)), timeout=LIMIT)
            name = mine.getsockname()
            # Nothing of that name is looked up.
            with raddle.connect("ws://no-such-name.invalid/path", sock=mine) as websocket:
                self.assertEqual(mine.fileno(), -1)
                self.assertEqual((websocket.local_address, websocket.remote_address), (name, (host, int(port))))
                self.assertEqual(websocket.request and websocket.request.path, "/path")
                websocket.send("over it")
                self.assertEqual(websocket.recv(LIMIT), "over it")
            one, other = socket.socketpair()
            with one, other, self.assertRaises(TimeoutError):
                raddle.connect(url, sock=one, open_timeout=0.1)
            closed = socket.socket()
            closed.close()
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with datagrams, socket.socket() as unconnected, socket.socket() as mine:
                wrong: Any
                for wrong, error in ((closed, ValueError), (unconnected, OSError), (datagrams, OSError), (1, TypeError)):
                    with self.subTest(wrong), self.assertRaisesRegex(error, "sock|[Nn]ot connected"):
                        raddle.connect(url, sock=wrong)
                with self.assertRaisesRegex(ValueError, "sock"):
                    raddle.connect(url, sock=mine, path="/nowhere")
                with self.assertRaisesRegex(ValueError, "sock"):
                    raddle.reconnect(url, sock=mine)

    def test_knows_its_own_address(self) -> None:
        seen: List[Any] = []

        def handler(websocket: raddle.ServerConnection) -> None:
            seen.append((websocket.local_address, websocket.remote_address))
            websocket.recv()

        with serving(handler) as (url, server):
            assert server.socket is not None
            with raddle.connect(url) as websocket:
                address = websocket.local_address
                self.assertEqual(websocket.remote_address, server.socket.getsockname())
                websocket.send("seen")
                websocket.wait_closed(LIMIT)
            self.assertIsNone(websocket.local_address)
            self.assertEqual(seen, [(server.socket.getsockname(), address)])

    def test_leaves_nothing_where_its_connection_cannot_be_made(self) -> None:
        class Fails(raddle.ClientConnection):
            def __init__(self) -> None:
                raise KeyError("inside")

        ended = threading.Event()

        def handler(websocket: raddle.ServerConnection) -> None:
            websocket.wait_closed(LIMIT)
            ended.set()

        with serving(handler) as (url, _):
            with self.assertRaises(KeyError):
                raddle.connect(url, create_connection=Fails)
            self.assertTrue(ended.wait(LIMIT))

    def test_goes_through_the_proxy_of_the_environment(self) -> None:
        for variables, uri, expected in (
            ({"http_proxy": "http://a:1"}, "ws://example.com/", "http://a:1"),
            ({"http_proxy": "http://a:1"}, "wss://example.com/", None),
            ({"https_proxy": "http://a:1"}, "wss://example.com/", "http://a:1"),
            ({"socks_proxy": "socks5://a:1", "https_proxy": "http://b:2"}, "wss://example.com/", "socks5://a:1"),
            ({"socks_proxy": "http://a:1"}, "ws://example.com/", "socks5://a:1"),
            ({"http_proxy": "http://a:1", "no_proxy": "example.com"}, "ws://example.com/", None),
            ({"http_proxy": "http://a:1", "no_proxy": "example.com:9001"}, "ws://example.com:9001/", None),
            ({"http_proxy": "http://a:1", "no_proxy": "example.com:80"}, "ws://example.com/", None),
            ({"http_proxy": "http://a:1", "no_proxy": "example.com:9001"}, "ws://example.com/", "http://a:1"),
        ):
            with self.subTest(variables, uri=uri), unittest.mock.patch.dict(os.environ, variables, clear=True):
                self.assertEqual(proxy_for(uri, True), expected)
        with unittest.mock.patch.dict(os.environ, {"http_proxy": "http://127.0.0.1:1"}, clear=True):
            for wrong in ("ws://[::1/", "ws://localhost:99999999/"):
                with self.assertRaises(raddle.InvalidURI):
                    raddle.connect(wrong)

    def test_follows_redirects(self) -> None:
        def move(_: raddle.ServerConnection, request: raddle.Request) -> Decision:
            if request.path == "/new":
                return None
            return raddle.Response(302, "Found", raddle.Headers({"Location": "/new"}))

        with serving(process_request=move) as (url, _), raddle.connect(url + "/old") as websocket:
            self.assertEqual(websocket.request and websocket.request.path, "/new")

    def test_checks_every_argument_and_names_it(self) -> None:
        # Hostile input 328.
        cases = {
            "open_timeout": [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (True, TypeError)],
            "ping_interval": [(0, ValueError), (float("inf"), ValueError), ([], TypeError)],
            "ping_timeout": [(-0.5, ValueError), (1e300, ValueError), (b"1", TypeError)],
            "close_timeout": [(0, ValueError), ("1", TypeError)],
            "max_size": [(0, ValueError), (-1, ValueError), (2**64, ValueError), (1.5, TypeError), (True, TypeError), ((1, 2, 3), ValueError)],
            "max_queue": [(-1, ValueError), ("1", TypeError)],
            "max_fragments": [(0, ValueError), (2**32, ValueError), ("1", TypeError)],
            "subprotocols": [("chat", TypeError), ([1], TypeError), (["a b"], ValueError)],
            "compression": [("gzip", ValueError), (True, ValueError)],
            "extensions": [([object()], TypeError)],
            "logger": [(3, TypeError)],
            "create_connection": [(3, TypeError)],
        }
        own: Any = {
            raddle.connect: {
                "origin": [(1, TypeError), ("a\0b", ValueError)], "server_hostname": [(1, TypeError)],
                "proxy": [(1, TypeError)], "ssl": [(object(), TypeError)],
                "source_address": [((1, 2), TypeError), (("127.0.0.1", "1"), TypeError), ("127.0.0.1", TypeError)],
                "additional_headers": [({"A": "\x00"}, ValueError), ({"Upgrade": "x"}, ValueError)],
            },
            raddle.serve: {
                "origins": [("x", TypeError), ([1], TypeError)], "hosts": [("x", TypeError)],
                "process_request": [(1, TypeError)], "process_response": [("x", TypeError)],
                "select_subprotocol": [(1, TypeError)], "ssl": [(object(), TypeError)],
                "server_header": [(1, TypeError)], "max_connections": [(0, ValueError)],
                "max_connections_per_ip": [("1", TypeError)],
            },
        }  # fmt: skip

        def call(function: Any, **options: Any) -> None:
            if function is raddle.serve:
                function(echo, "127.0.0.1", 0, **options).shutdown()
            else:
                # Nothing listens there, should it get so far.
                function("wss://127.0.0.1:1", **options)

        for function, more in own.items():
            for name, wrong in {**cases, **more}.items():
                for value, error in wrong:
                    with self.subTest(function=function.__name__, name=name, value=value):
                        with self.assertRaisesRegex(error, name):
                            call(function, **{name: value})

    def test_goes_to_unix_sockets(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            with raddle.unix_serve(echo, path) as server:
                thread = threading.Thread(target=server.serve_forever)
                thread.start()
                with raddle.unix_connect(path) as websocket:
                    websocket.send("by a path")
                    self.assertEqual(websocket.recv(LIMIT), "by a path")
                    self.assertEqual((websocket.remote_address, websocket.local_address), ("", ""))
                server.shutdown()
                thread.join(LIMIT)
            self.assertFalse(os.path.exists(path))
        for call in (raddle.unix_connect, raddle.unix_reconnect):
            with self.assertRaises(ValueError):
                call()


if __name__ == "__main__":
    unittest.main()
