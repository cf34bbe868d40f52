"""Why no connection came about: what the library says of it in, the exception that programs for ``websockets`` know out."""

from __future__ import annotations

import ctypes
import http.client
from typing import Any, Callable, Dict, List, Tuple

from . import _constants as c
from ._native import abi
from ._text import bytes_out
from .datastructures import Headers
from .exceptions import (
    InvalidHandshake,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidUpgrade,
    NegotiationError,
    ProxyError,
    SecurityError,
)
from .http11 import Response, _header


def refusal(what: str) -> InvalidHandshake:
    """The exception for an opening handshake that has failed otherwise than by a status of HTTP."""
    kind = _KINDS.get(what)
    if kind is not None:
        return kind(what)
    if what.startswith("the proxy: "):
        return InvalidProxyMessage(what)
    if "proxy" in what:
        return ProxyError(what)
    return InvalidHandshake(what)


def refused(of: str, handle: int, what: str) -> InvalidHandshake:
    """The exception for one that has failed, with the response where there is one. ``of``: what the functions of the handle are
    named by."""
    code = ctypes.c_uint32()
    if getattr(abi, f"raddle_{of}_status")(handle, ctypes.byref(code)) != c.OK:
        return refusal(what)
    headers = headers_of(getattr(abi, f"raddle_{of}_header_at"), handle)
    body = bytes_out(getattr(abi, f"raddle_{of}_body"), handle) or b""
    response = Response(code.value, http.client.responses.get(code.value, ""), headers, body)
    return InvalidProxyStatus(response) if what.startswith("the proxy") else InvalidStatus(response)


def headers_of(function: Any, handle: int) -> Headers:
    """The headers that a function gives one by one, as lines."""
    items: List[Tuple[str, str]] = []
    while True:
        line = bytes_out(function, handle, len(items))
        if line is None:
            return Headers._of(items)
        items.append(_header(line.decode("iso-8859-1")))


#: What the library says where the stream has ended before the response: an error of input for it.
NO_RESPONSE = "the stream ended before the response"

# The words of the library, each of which a test has it say.
_KINDS: Dict[str, Callable[[str], InvalidHandshake]] = {
    NO_RESPONSE: InvalidMessage,
    "the response is malformed": InvalidMessage,
    "the head of the response is too large": SecurityError,
    "there are too many interim responses": SecurityError,
    "there are too many redirects": SecurityError,
    "the redirect leads from an encrypted connection to a plain one": SecurityError,
    "the response upgrades to no WebSocket": lambda what: InvalidUpgrade("Upgrade", what),
    "the response does not answer the key": lambda what: InvalidHeaderValue("Sec-WebSocket-Accept", what),
    "the response has a subprotocol that was not offered": NegotiationError,
    "the response has an extension that was not offered": NegotiationError,
}
