"""Measures a client: round trips with an echo server, each a message that is sent and its echo that is waited for.

    client.py raw|raddle|websockets HOST PORT BYTES

Reads how many seconds to go on from each line of its input, and answers with its CPU time of a round trip, in µs.
"""

import socket
import sys
import time
from typing import Callable

OPENING = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
KEY = b"\x37\xfa\x21\x3d"


def raw(host: str, port: int, payload: bytes) -> "Callable[[], object]":
    """Bytes that were made before; what comes back is counted."""
    stream = socket.create_connection((host, port))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.sendall(OPENING)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += stream.recv(4096)
    assert head.startswith(b"HTTP/1.1 101 ")
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    masked = bytes(byte ^ KEY[place % 4] for place, byte in enumerate(payload))
    request, reply = b"\x82" + length + KEY + masked, 1 + len(length) + size

    def round_trip() -> None:
        stream.sendall(request)
        left = reply
        while left:
            left -= len(stream.recv(65536))

    return round_trip


def of(connect: "Callable[..., object]") -> "Callable[[str, int, bytes], Callable[[], object]]":
    """A client with the interface of websockets.sync."""

    def begin(host: str, port: int, payload: bytes) -> "Callable[[], object]":
        connection = connect(f"ws://{host}:{port}/", compression=None, ping_interval=None, legacy=True)

        def round_trip() -> None:
            connection.send(payload)
            if len(connection.recv()) != len(payload):
                sys.exit("something else came back")

        return round_trip

    return begin


def main() -> None:
    kind, host, port, size = sys.argv[1:]
    if kind == "raw":
        begin = raw
    elif kind == "raddle":
        import raddle

        begin = of(raddle.connect)
    else:
        from websockets.sync.client import connect

        begin = of(connect)
    round_trip = begin(host, int(port), bytes(place % 251 for place in range(int(size))))
    for line in sys.stdin:
        before, until, trips = time.process_time(), time.monotonic() + float(line), 0
        while time.monotonic() < until:
            # The clock is read once for many of them.
            for _ in range(100):
                round_trip()
            trips += 100
        print((time.process_time() - before) * 1e6 / trips, flush=True)


main()
