#!/usr/bin/env python3
"""Sends each line of the standard input, and prints each message that comes.

    client.py ws[s]://HOST:PORT/PATH [NAME: VALUE]...    further arguments are headers of the request
"""

import sys
import threading

import raddle


def show(websocket: raddle.ClientConnection) -> None:
    """Any thread sends while another receives."""
    try:
        for message in websocket:
            print(message if isinstance(message, str) else f"({len(message)} bytes)", flush=True)
    except raddle.ConnectionClosed as closed:
        print(f"client: {closed}", file=sys.stderr)


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("client.py ws[s]://HOST:PORT/PATH [NAME: VALUE]...")
    headers = [(name, value.strip()) for name, _, value in (header.partition(":") for header in sys.argv[2:])]
    try:
        websocket = raddle.connect(sys.argv[1], additional_headers=headers)
    except (OSError, ValueError, raddle.WebSocketException) as error:
        sys.exit(f"client: {error}")
    with websocket:
        receiver = threading.Thread(target=show, args=(websocket,))
        receiver.start()
        try:
            for line in sys.stdin:
                websocket.send(line.rstrip("\n"))
        except raddle.ConnectionClosed:
            # The receiver says why.
            pass
    receiver.join()


if __name__ == "__main__":
    main()
