"""Programs that know `websockets` only, run with either library by a change of their import lines, and talk to each other.

The library `websockets` has to be installed.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Iterator, Tuple

from support import LIMIT
from test_tls import certificate

GREETER = """
import http, pathlib, signal, ssl, sys, threading
from websockets.sync.server import basic_auth, broadcast, serve

def greet(websocket):
    if websocket.request.path == "/who":
        websocket.send(f"{websocket.username} {websocket.subprotocol}")
        return
    for name in websocket:
        websocket.send(f"Hello {name}!")
        broadcast(websocket.server.connections, b"to all")

def process_request(connection, request):
    if request.path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "fine")
    return ask(connection, request)

ask = basic_auth(realm="greeter", credentials=("user", "secret"))
context = None
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pathlib.Path(sys.argv[1]))
with serve(greet, "localhost", 0, ssl=context, subprotocols=["chat"], process_request=process_request) as server:
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
"""

CALLER = """
import pathlib, ssl, sys
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect

port, context = sys.argv[1], None
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pathlib.Path(sys.argv[2]))
scheme = "wss" if context else "ws"
with connect(f"{scheme}://user:secret@localhost:{port}/", ssl=context, subprotocols=["x", "chat"]) as websocket:
    websocket.send("you")
    print(websocket.recv(timeout=10), websocket.recv(timeout=10))
    pong = websocket.ping()
    print(pong.wait(10))
    try:
        websocket.recv(timeout=0.01)
    except TimeoutError:
        print("nothing")
with connect(f"{scheme}://user:secret@localhost:{port}/who", ssl=context, subprotocols=["chat"]) as websocket:
    print(list(websocket), websocket.subprotocol)
    try:
        websocket.send("late")
    except ConnectionClosedOK as closed:
        print(closed.rcvd.code)
for target in ("healthz", ""):
    try:
        connect(f"{scheme}://localhost:{port}/{target}", ssl=context)
    except InvalidStatus as refused:
        print(refused.response.status_code, refused.response.headers.get("WWW-Authenticate") is not None)
"""

SAID = """Hello you! b'to all'
True
nothing
['user chat'] chat
1000
200 False
401 True
"""

CHANGES = {
    "import http, pathlib, signal, ssl, sys, threading": "import http, pathlib, signal, sys, threading; from raddle import ssl",
    "import pathlib, ssl, sys": "import pathlib, sys; from raddle import ssl",
    "from websockets.sync.server import": "from raddle.server import",
    "from websockets.sync.client import": "from raddle.client import",
    "from websockets.exceptions import": "from raddle.exceptions import",
}


def changed(program: str) -> str:
    for before, after in CHANGES.items():
        program = program.replace(before, after)
    return program


def pairs() -> Iterator[Tuple[str, str, str]]:
    yield "raddle to raddle", changed(GREETER), changed(CALLER)
    yield "websockets to raddle", changed(GREETER), CALLER
    yield "raddle to websockets", GREETER, changed(CALLER)
    yield "websockets to websockets", GREETER, CALLER


class TheSamePrograms(unittest.TestCase):
    def test_say_the_same(self) -> None:
        for name, server, client in pairs():
            with self.subTest(name):
                self.check(server, client)

    def test_say_the_same_over_tls(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = str(certificate(Path(directory), "localhost"))
            for name, server, client in pairs():
                # Two threads of theirs use one TLS object: now and then a response is not seen by their client.
                if not name.startswith("websockets"):
                    with self.subTest(name):
                        self.check(server, client, path)

    def check(self, server: str, client: str, *certificates: str) -> None:
        serving = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", server, *certificates], stdout=subprocess.PIPE, text=True
        )
        try:
            assert serving.stdout is not None
            port = serving.stdout.readline().strip()
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", client, port, *certificates],
                capture_output=True, text=True, timeout=3 * LIMIT,
            )  # fmt: skip
            self.assertEqual(done.stdout, SAID, done.stderr)
            serving.terminate()
            self.assertEqual(serving.wait(LIMIT), 0)
        finally:
            serving.kill()
            serving.communicate()


if __name__ == "__main__":
    socket.setdefaulttimeout(LIMIT)
    unittest.main()
