#!/usr/bin/env python3
"""Echoes every message: one thread for all connections, by the batch.

    echo_server_fast.py HOST PORT [--deflate] [--max-message BYTES] [--tls-cert PEM --tls-key PEM] ...
"""

from __future__ import annotations

import signal

import options
import raddle
from raddle.fast import Connection


def echo(connection: Connection, message: str | bytes) -> None:
    # It leaves with the next poll, together with the others.
    connection.send(message)


def main() -> None:
    arguments = options.parse()
    settings = options.settings(arguments)
    with raddle.Server(arguments.host, arguments.port, on_message=echo, **settings) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.shutdown())
        print("listening on", options.url(arguments, server.address[1]), flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
