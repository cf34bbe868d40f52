"""The server's side of opening handshakes: a request of the library in, an open connection or an HTTP answer out.

What programs hand in, decides here: ``process_request``, ``origins``, ``select_subprotocol``, ``process_response``.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import http
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Union

from . import _check
from . import _constants as c
from ._errors import check, last_error
from ._native import abi
from ._text import bytes_out, text_in, text_out
from .connection import address_of
from .datastructures import Headers
from .exceptions import NegotiationError
from .http11 import SERVER, Request, Response

if TYPE_CHECKING:
    from .server import ServerConnection

ProcessRequest = Callable[["ServerConnection", Request], Optional[Response]]
ProcessResponse = Callable[["ServerConnection", Request, Response], Optional[Response]]
SelectSubprotocol = Callable[["ServerConnection", Sequence[str]], Optional[str]]
OriginLike = Union[str, "re.Pattern[str]", None]


@dataclass
class Opening:
    """How the requests of a server are decided on."""

    origins: Sequence[OriginLike] | None = None
    subprotocols: Sequence[str] | None = None
    select_subprotocol: SelectSubprotocol | None = None
    process_request: ProcessRequest | None = None
    process_response: ProcessResponse | None = None
    server_header: str | None = SERVER

    def __post_init__(self) -> None:
        if self.origins is not None:
            if isinstance(self.origins, (str, bytes)):
                raise TypeError("origins must be a sequence, not str")
            for origin in self.origins:
                if origin is not None and not isinstance(origin, (str, re.Pattern)):
                    raise TypeError(f"origins must have str, compiled patterns and None, not {type(origin).__name__}")
        for name in ("select_subprotocol", "process_request", "process_response"):
            _check.function(getattr(self, name), name)
        if self.server_header is not None:
            text_in(self.server_header, "server_header")

    def decide(self, connection: ServerConnection, handle: int) -> bool:
        """Answers a request, which its handle no longer names afterwards; whether the connection is open.

        Raises nothing but what cannot be helped: what a program's function raises is logged, and answered with 500.
        """
        try:
            request = Request._parse(bytes_out(abi.raddle_request_head, handle) or b"")
            connection.request = request
            connection._remote = address_of(text_out(abi.raddle_request_peer, handle))
            response = self._response(connection, request, handle)
            response = self._processed(connection, request, response)
            connection.response = response
            if response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return _open(connection, response, handle)
            _respond(response, handle)
            return False
        finally:
            # Where no decision was made, the client is told that something has failed.
            abi.raddle_request_free(handle)

    def _response(self, connection: ServerConnection, request: Request, handle: int) -> Response:
        response = None
        if self.process_request is not None:
            try:
                response = self.process_request(connection, request)
                if response is not None and not isinstance(response, Response):
                    raise TypeError(f"process_request must return a Response or None, not {type(response).__name__}")
            except Exception:
                connection.logger.error("process_request failed", exc_info=True)
                response = Response._text(500, _FAILED)
        if response is None:
            response = self._verdict(connection, request, handle)
        if self.server_header is not None and "Server" not in response.headers:
            response.headers["Server"] = self.server_header
        return response

    def _verdict(self, connection: ServerConnection, request: Request, handle: int) -> Response:
        """The server's own answer."""
        is_websocket = ctypes.c_uint32()
        check(abi.raddle_request_is_websocket(handle, ctypes.byref(is_websocket)))
        if not is_websocket.value:
            refusal = Response._text(426, _NO_WEBSOCKET)
            refusal.headers["Upgrade"] = "websocket"
            return refusal
        if not self._is_welcome(request.headers.get_all("Origin")):
            return Response._text(403, "Failed to open a WebSocket connection: the origin is not allowed.\n")
        try:
            subprotocol = self._subprotocol(connection, handle)
        except NegotiationError as error:
            return Response._text(400, f"Failed to open a WebSocket connection: {error}.\n")
        except Exception:
            connection.logger.error("select_subprotocol failed", exc_info=True)
            return Response._text(500, _FAILED)
        key = request.headers["Sec-WebSocket-Key"].encode()
        # RFC 6455, section 4.2.2. The library sends its own; this one is for those who look at the response.
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        headers = Headers([("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)])
        if subprotocol is not None:
            headers["Sec-WebSocket-Protocol"] = subprotocol
        return Response(101, "Switching Protocols", headers)

    def _is_welcome(self, origins: List[str]) -> bool:
        if self.origins is None:
            return True
        # The library refuses a request with several.
        origin = origins[0] if origins else None
        for allowed in self.origins:
            if isinstance(allowed, re.Pattern):
                if origin is not None and allowed.fullmatch(origin):
                    return True
            elif allowed == origin:
                return True
        return False

    def _subprotocol(self, connection: ServerConnection, handle: int) -> str | None:
        offered = _offered(handle)
        if self.select_subprotocol is not None:
            chosen = self.select_subprotocol(connection, offered)
            if chosen is not None and chosen not in offered:
                raise ValueError(f"select_subprotocol returned {chosen!r}, which the client does not offer")
            return chosen
        if not self.subprotocols:
            return None
        if not offered:
            raise NegotiationError("missing subprotocol")
        chosen = next((name for name in self.subprotocols if name in offered), None)
        if chosen is None:
            raise NegotiationError(f"invalid subprotocol; expected one of {', '.join(self.subprotocols)}")
        return chosen

    def _processed(self, connection: ServerConnection, request: Request, response: Response) -> Response:
        if self.process_response is None:
            return response
        try:
            changed = self.process_response(connection, request, response)
            if changed is not None and not isinstance(changed, Response):
                raise TypeError(f"process_response must return a Response or None, not {type(changed).__name__}")
        except Exception:
            connection.logger.error("process_response failed", exc_info=True)
            return Response._text(500, _FAILED)
        return response if changed is None else changed


def _open(connection: ServerConnection, response: Response, handle: int) -> bool:
    chosen = response.headers.get_all("Sec-WebSocket-Protocol")
    name = text_in(chosen[0], "subprotocol") if chosen else None
    check(abi.raddle_request_set_subprotocol(handle, name))
    _add_headers(response.headers, handle)
    conn = ctypes.c_uint64()
    status = abi.raddle_request_open(handle, ctypes.byref(conn))
    if status != c.OK:
        connection.logger.info("opening handshake failed: %s", last_error())
        return False
    connection._attach(conn.value)
    return True


def _respond(response: Response, handle: int) -> None:
    kinds = response.headers.get_all("Content-Type")
    kind = text_in(kinds[0], "Content-Type") if kinds else None
    _add_headers(response.headers, handle)
    body = bytes(response.body or b"")
    check(abi.raddle_request_respond(handle, response.status_code, kind, body, len(body)))


def _add_headers(headers: Headers, handle: int) -> None:
    for name, value in headers.raw_items():
        if name.lower() not in _OF_THE_LIBRARY:
            check(abi.raddle_request_add_header(handle, text_in(name, "header"), text_in(value, name)))


def _offered(handle: int) -> List[str]:
    names: List[str] = []
    while True:
        name = text_out(abi.raddle_request_subprotocol_at, handle, len(names))
        if name is None:
            return names
        names.append(name)


# The library writes these itself, each as the answer needs it.
_OF_THE_LIBRARY = frozenset(
    ["connection", "content-length", "content-type", "date", "sec-websocket-accept", "sec-websocket-extensions",
     "sec-websocket-protocol", "transfer-encoding", "upgrade"]
)  # fmt: skip

_FAILED = "Failed to open a WebSocket connection.\nSee server log for more information.\n"
_NO_WEBSOCKET = "Failed to open a WebSocket connection: this is a WebSocket server.\n"
# RFC 6455, section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
