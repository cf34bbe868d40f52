"""Python's `websockets`, as a client of an echo server and as one, and as a subscriber: `client URL`, `server`, `subscriber URL`."""

from __future__ import annotations

import ssl
import sys
from typing import Any

from websockets.exceptions import ConnectionClosedError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from exchange import CODE, KINDS, MESSAGES, REASON, ROUNDS, text


def client(url: str, deflate: bool) -> None:
    context = ssl.create_default_context(cafile=flag("--ca")) if url.startswith("wss:") else None
    with opened(url, ssl=context, compression="deflate" if deflate else None, max_size=None) as connection:
        extensions = [extension.name for extension in connection.protocol.extensions]
        assert extensions == (["permessage-deflate"] if deflate else []), extensions
        for message in MESSAGES:
            connection.send(message)
            assert connection.recv(timeout=10) == message, f"{len(message)} differ"
            # In fragments.
            parts = [message[at : at + 30_000] for at in range(0, len(message), 30_000)] or [message]
            connection.send(iter(parts))
            assert connection.recv(timeout=10) == message, f"{len(message)} differ in fragments"
        assert connection.ping("still there?").wait(10)
        connection.close(CODE, REASON)
        try:
            connection.recv(timeout=10)
        except ConnectionClosedError as closed:
            assert closed.rcvd is not None and closed.rcvd.code == CODE, closed
        else:
            raise AssertionError("it is not closed")


def subscribe(url: str, deflate: bool, window: str | None, takeover: bool) -> None:
    offer = ClientPerMessageDeflateFactory(
        server_no_context_takeover=not takeover, server_max_window_bits=int(window) if window else None
    )
    with opened(url, ssl=None, compression=None, extensions=[offer] if deflate else None) as connection:
        agreed = [(extension.name, extension.remote_max_window_bits) for extension in connection.protocol.extensions]  # type: ignore[attr-defined]
        assert agreed == ([("permessage-deflate", int(window or 15))] if deflate else []), agreed
        received = dict.fromkeys(KINDS, 0)
        connection.send(text("echo", 0))
        while set(received.values()) != {ROUNDS}:
            message = connection.recv(timeout=10)
            kind = message.split('"')[1]  # type: ignore[arg-type, union-attr]
            assert message == text(kind, received[kind]), f"message {received[kind]} of kind {kind} differs"
            received[kind] += 1
            if kind == "echo" and received[kind] < ROUNDS:
                connection.send(text(kind, received[kind]))
        connection.close(CODE, REASON)


def opened(url: str, ssl: ssl.SSLContext | None, **options: Any) -> ClientConnection:
    """A connection. Over TLS in three attempts: now and then this client sends no request at all, with Python 3.11, whose
    `ssl` is used there by two threads at a time."""
    for attempt in range(3 if ssl else 1):
        try:
            return connect(url, ssl=ssl, legacy=True, **options)
        except TimeoutError:
            print(f"attempt {attempt + 1} has timed out", file=sys.stderr)
    raise TimeoutError("no response")


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def flag(name: str) -> str | None:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def main() -> None:
    deflate = "--deflate" in sys.argv
    if sys.argv[1] == "client":
        client(sys.argv[2], deflate)
        return
    if sys.argv[1] == "subscriber":
        subscribe(sys.argv[2], deflate, flag("--window"), "--no-takeover" not in sys.argv)
        return
    context = None
    if certificate := flag("--cert"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, flag("--key"))
    with serve(echo, "127.0.0.1", 0, ssl=context, compression="deflate" if deflate else None, max_size=None) as server:
        scheme = "wss" if context else "ws"
        print(f"listening on {scheme}://127.0.0.1:{server.socket.getsockname()[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
