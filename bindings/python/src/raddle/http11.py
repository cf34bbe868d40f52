"""The request and the response of an opening handshake."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from http import HTTPStatus

from ._constants import VERSION
from .datastructures import Headers

__all__ = ["SERVER", "USER_AGENT", "Request", "Response"]


@dataclass
class Request:
    """A client's request: path and query as they were sent, and headers."""

    path: str
    headers: Headers
    method: str = "GET"
    protocol: str = "HTTP/1.1"

    @classmethod
    def _parse(cls, head: bytes) -> Request:
        """Takes apart a head that the library has found to be in order."""
        line, *lines = head.decode("iso-8859-1").split("\r\n")
        method, path, protocol = line.split(" ")
        return cls(path, Headers._of([_header(line) for line in lines if line]), method, protocol)


@dataclass
class Response:
    """A server's response."""

    status_code: int
    reason_phrase: str
    headers: Headers
    body: bytes | bytearray = b""

    @classmethod
    def _text(cls, status: int, text: str) -> Response:
        """A refusal in words."""
        status = HTTPStatus(status)
        body = text.encode()
        headers = Headers([("Content-Length", str(len(body))), ("Content-Type", "text/plain; charset=utf-8")])
        return cls(status.value, status.phrase, headers, body)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip(" \t")


_SOFTWARE = f"Python/{sys.version_info[0]}.{sys.version_info[1]} raddle/{VERSION // 1_000_000}.{VERSION // 1000 % 1000}"

#: What servers say of themselves in the header ``Server``, unless they are told something else.
SERVER = _SOFTWARE

#: What clients say of themselves in the header ``User-Agent``, unless they are told something else.
USER_AGENT = _SOFTWARE
