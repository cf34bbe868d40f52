"""Servers that tests start, each on a port of its own, and waits with a bound."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any, Callable, Iterator, Tuple

import raddle
from raddle.server import Server

#: Seconds that nothing may take.
LIMIT = 10.0


def echo(websocket: raddle.ServerConnection) -> None:
    for message in websocket:
        websocket.send(message)


@contextlib.contextmanager
def serving(handler: Callable[..., Any] = echo, **options: Any) -> Iterator[Tuple[str, Server]]:
    """A server on a thread of its own: its URL, and itself."""
    scheme = "wss" if options.get("ssl") else "ws"
    with raddle.serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert server.socket is not None
            yield f"{scheme}://127.0.0.1:{server.socket.getsockname()[1]}", server
        finally:
            server.shutdown()
            thread.join(LIMIT)
            assert not thread.is_alive(), "serve_forever does not return"


def eventually(what: str, is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.005)


def exchange(url: str, request: str) -> bytes:
    """What a server answers to bytes, until it ends the stream."""
    host, port = url.rpartition("//")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT) as stream:
        stream.sendall(request.replace("\n", "\r\n").encode())
        answer = b""
        while part := stream.recv(65536):
            answer += part
    return answer
