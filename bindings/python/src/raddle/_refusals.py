"""Why no connection came about: what the library says of it in, the exception that programs for ``websockets`` know out."""

from __future__ import annotations

from typing import Callable, Dict

from .exceptions import (
    InvalidHandshake,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidProxyMessage,
    InvalidUpgrade,
    NegotiationError,
    ProxyError,
    SecurityError,
)


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
