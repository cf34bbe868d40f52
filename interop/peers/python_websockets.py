"""Python's `websockets`, as a client of an echo server and as one: `client URL`, `server`."""

from __future__ import annotations

import sys

from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from exchange import CODE, MESSAGES, REASON


def client(url: str, deflate: bool) -> None:
    with connect(url, compression="deflate" if deflate else None, max_size=None) as connection:
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


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def main() -> None:
    deflate = "--deflate" in sys.argv
    if sys.argv[1] == "client":
        client(sys.argv[2], deflate)
        return
    with serve(echo, "127.0.0.1", 0, compression="deflate" if deflate else None, max_size=None) as server:
        print(f"listening on ws://127.0.0.1:{server.socket.getsockname()[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
