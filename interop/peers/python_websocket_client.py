"""Python's `websocket-client`, which has no server: `client URL`."""

from __future__ import annotations

import sys

import websocket
from websocket import ABNF

from exchange import CODE, MESSAGES, REASON


def main() -> None:
    connection = websocket.create_connection(sys.argv[2], timeout=10)
    for message in MESSAGES:
        opcode = ABNF.OPCODE_TEXT if isinstance(message, str) else ABNF.OPCODE_BINARY
        connection.send(message, opcode)
        kind, received = connection.recv_data()
        expected = message.encode() if isinstance(message, str) else message
        assert (kind, received) == (opcode, expected), f"{len(message)} differ"
    connection.ping("still there?")
    kind, frame = connection.recv_data_frame(control_frame=True)
    assert (kind, frame.data) == (ABNF.OPCODE_PONG, b"still there?"), frame
    connection.send_close(CODE, REASON.encode())
    kind, data = connection.recv_data()
    assert (kind, data[:2]) == (ABNF.OPCODE_CLOSE, CODE.to_bytes(2, "big")), data
    connection.shutdown()


if __name__ == "__main__":
    main()
