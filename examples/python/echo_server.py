#!/usr/bin/env python3
"""Echoes every message: a thread for each connection, in plain blocking code.

    echo_server.py HOST PORT [--deflate] [--max-message BYTES] [--tls-cert PEM --tls-key PEM] ...
"""

import signal

import options
import raddle


def echo(websocket: raddle.ServerConnection) -> None:
    for message in websocket:
        websocket.send(message)


def main() -> None:
    arguments = options.parse()
    with raddle.serve(echo, arguments.host, arguments.port, **options.settings(arguments)) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.shutdown())
        print("listening on", options.url(arguments, server.socket.getsockname()[1]), flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
