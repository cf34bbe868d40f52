"""WebSocket peers of the tests' own, over plain sockets: they share no code with what they test."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import struct
import threading
import time
from typing import Any


def accepted(listener: socket.socket) -> socket.socket:
    """The next client of a listener, with its opening handshake answered."""
    peer, _ = listener.accept()
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(4096)
    key = re.search(rb"Sec-WebSocket-Key: (.*)\r", head)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    peer.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return peer


class Silent:
    """A server that opens a connection and never says anything again."""

    def __init__(self, listener: Any) -> None:
        self.listener = listener

    def __enter__(self) -> int:
        threading.Thread(target=self.run, daemon=True).start()
        return int(self.listener.getsockname()[1])

    def run(self) -> None:
        self.stream = accepted(self.listener)

    def __exit__(self, *_: Any) -> None:
        time.sleep(0)
        self.stream.close()


class Plain:
    """A client that waits ten seconds at most, each time. Made, it has sent its request, and has not waited for the response."""

    def __init__(self, address: tuple[str, int], path: str = "/", headers: str = "") -> None:
        self.stream = socket.create_connection(address, timeout=10)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost:{address[1]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode()
        )
        self._head = ""

    @property
    def head(self) -> str:
        """The response to the opening handshake, waited for where it was not read before; empty: there was none."""
        head = b""
        while not self._head and not head.endswith(b"\r\n\r\n"):
            byte = self.stream.recv(1)
            if not byte:
                return ""
            head += byte
        self._head = self._head or head.decode()
        return self._head

    @property
    def status(self) -> int:
        """The status of that response; 0: there was none."""
        return int(self.head.split(" ")[1]) if self.head else 0

    def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.frame(1, message.encode())
        else:
            self.frame(2, message)

    def frame(self, opcode: int, payload: bytes = b"") -> None:
        self.stream.sendall(frame(opcode, payload))

    def receive(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload; opcode -1 at the end of the stream."""
        try:
            assert self.status == 101, self.head
            first, second = self._read(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self._read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self._read(8))
            return first & 0xF, self._read(length)
        except (EOFError, ConnectionError):
            return -1, b""

    def message(self) -> str | bytes:
        """The next message, which has to be one frame."""
        opcode, payload = self.receive()
        if opcode == 1:
            return payload.decode()
        if opcode == 2:
            return payload
        raise AssertionError(f"a frame of opcode {opcode} has come: {payload!r}")

    def close_code(self) -> int:
        """The code of the Close that comes next; 1005 without one, 1006 at the end of the stream."""
        opcode, payload = self.receive()
        if opcode == -1:
            return 1006
        assert opcode == 8, f"a frame of opcode {opcode} has come: {payload!r}"
        return int(struct.unpack(">H", payload[:2])[0]) if payload else 1005

    def close(self, code: int = 1000) -> None:
        """Carries out the closing handshake."""
        self.frame(8, struct.pack(">H", code))
        while self.receive()[0] != -1:
            pass
        self.stream.close()

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: Any) -> None:
        self.stream.close()

    def _read(self, count: int) -> bytes:
        read = b""
        while len(read) < count:
            piece = self.stream.recv(count - len(read))
            if not piece:
                raise EOFError
            read += piece
        return read


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """A whole frame of a client, masked."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = b"\xfe" + struct.pack(">H", size)
    else:
        length = b"\xff" + struct.pack(">Q", size)
    key = os.urandom(4)
    stream = (key * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")
    return bytes([0x80 | opcode]) + length + key + masked
