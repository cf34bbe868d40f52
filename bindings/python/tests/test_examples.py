"""The programs of examples/python, run as programs."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, Iterator

import raddle
from raddle import ssl

from support import LIMIT, exchange, serving
from test_tls import certificate

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "python"


@contextlib.contextmanager
def running(name: str, *arguments: str) -> Iterator[str]:
    """A server, until SIGTERM: where it listens."""
    command = [sys.executable, "-W", "error::ResourceWarning", str(EXAMPLES / name), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words[:2] == ["listening", "on"], words
        yield words[2]
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        process.communicate()


class EchoServers(unittest.TestCase):
    def test_echo_as_their_flags_say_and_end_with_sigterm(self) -> None:
        for name in sorted(path.name for path in EXAMPLES.glob("echo_server*.py")):
            with self.subTest(name), running(name, "127.0.0.1", "0", "--deflate", "--max-message", "100") as url:
                with raddle.connect(url) as websocket:
                    websocket.send("x" * 100)
                    self.assertEqual(websocket.recv(LIMIT), "x" * 100)
                    assert websocket.response is not None
                    self.assertIn("permessage-deflate", websocket.response.headers["Sec-WebSocket-Extensions"])
                    websocket.send("x" * 101)
                    with self.assertRaises(raddle.ConnectionClosedError) as caught:
                        websocket.recv(LIMIT)
                    self.assertEqual(caught.exception.code, 1009)
                # One that is left open is told as well.
                left = raddle.connect(url)
            self.assertTrue(left.wait_closed(LIMIT))
            self.assertEqual(left.close_code, 1001)

    def test_speak_tls(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = str(certificate(Path(directory), "localhost"))
            for name in sorted(path.name for path in EXAMPLES.glob("echo_server*.py")):
                with self.subTest(name), running(name, "localhost", "0", "--tls-cert", path, "--tls-key", path) as url:
                    with raddle.connect(url, ssl=ssl.create_default_context(cafile=path)) as websocket:
                        websocket.send("over TLS")
                        self.assertEqual(websocket.recv(LIMIT), "over TLS")


class TheClient(unittest.TestCase):
    def run_client(self, *arguments: str, lines: str = "") -> Any:
        command = [sys.executable, str(EXAMPLES / "client.py"), *arguments]
        return subprocess.run(command, input=lines, capture_output=True, text=True, timeout=LIMIT)

    def test_sends_lines_and_prints_messages(self) -> None:
        def handler(websocket: raddle.ServerConnection) -> None:
            request = websocket.request
            websocket.send(request.headers["X-Token"] if request else "")
            websocket.send(b"four")
            for message in websocket:
                websocket.send(message)
                if message == "two":
                    return

        with serving(handler) as (url, _):
            done = self.run_client(url, "X-Token: 1", lines="one\ntwo\n")
            self.assertEqual((done.stdout.split("\n"), done.returncode), (["1", "(4 bytes)", "one", "two", ""], 0), done.stderr)

    def test_says_what_is_wrong(self) -> None:
        for arguments in ((), ("ws://127.0.0.1:1",), ("nowhere",)):
            done = self.run_client(*arguments)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertTrue(done.stderr.startswith("client"), done.stderr)


class TheChat(unittest.TestCase):
    def test_serves_its_page_and_all_hear_all(self) -> None:
        with running("chat.py", "127.0.0.1", "0") as url:
            page = exchange(url, "GET / HTTP/1.1\nHost: localhost\n\n")
            self.assertTrue(page.startswith(b"HTTP/1.1 200 OK"))
            self.assertIn(b"<!doctype html>", page.lower())
            self.assertTrue(exchange(url, "GET /nothing HTTP/1.1\nHost: localhost\n\n").startswith(b"HTTP/1.1 404"))
            chat = url.replace("http", "ws") + "/chat?name=Ada"
            with raddle.connect(chat) as first, raddle.connect(chat) as second:
                def heard(websocket: Any, kind: str) -> Any:
                    while True:
                        said = json.loads(websocket.recv(LIMIT))
                        if said["type"] == kind:
                            return said

                self.assertEqual(heard(first, "welcome")["you"], "Ada")
                self.assertEqual(heard(second, "welcome")["online"], ["Ada", "Ada 2"])
                second.send(json.dumps({"type": "say", "text": "Hé"}))
                for websocket in (first, second):
                    said = heard(websocket, "say")
                    self.assertEqual((said["from"], said["text"]), ("Ada 2", "Hé"))
                first.send(b"picture")
                self.assertEqual(heard(second, "picture")["from"], "Ada")
                self.assertEqual(second.recv(LIMIT), b"picture")
                first.close()
                self.assertEqual(heard(second, "leave")["online"], ["Ada 2"])
                second.send("no JSON")
                self.assertTrue(second.wait_closed(LIMIT))
                self.assertEqual(second.close_code, 1008)


if __name__ == "__main__":
    unittest.main()
