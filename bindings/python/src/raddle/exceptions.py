"""What goes wrong, with the names that programs for ``websockets`` know.

* :exc:`WebSocketException`

  * :exc:`ConnectionClosed`: :exc:`ConnectionClosedOK`, :exc:`ConnectionClosedError`
  * :exc:`InvalidURI`, :exc:`InvalidProxy`
  * :exc:`InvalidHandshake`

    * :exc:`InvalidStatus`, :exc:`InvalidMessage`, :exc:`NegotiationError`, :exc:`SecurityError`
    * :exc:`InvalidHeader`: :exc:`InvalidHeaderFormat`, :exc:`InvalidHeaderValue`, :exc:`InvalidOrigin`,
      :exc:`InvalidUpgrade`
    * :exc:`ProxyError`: :exc:`InvalidProxyMessage`, :exc:`InvalidProxyStatus`

  * :exc:`ProtocolError`, :exc:`InvalidState`, :exc:`ConcurrencyError`

Those at the end are never raised here: they are known to programs that catch them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = [
    "ConcurrencyError", "ConnectionClosed", "ConnectionClosedError", "ConnectionClosedOK", "DuplicateParameter",
    "HeaderLineTooLong", "InvalidHandshake", "InvalidHeader", "InvalidHeaderFormat", "InvalidHeaderValue", "InvalidMessage",
    "InvalidMethod", "InvalidOrigin", "InvalidParameterName", "InvalidParameterValue", "InvalidProtocol", "InvalidProxy",
    "InvalidProxyMessage", "InvalidProxyStatus", "InvalidState", "InvalidStatus", "InvalidURI", "InvalidUpgrade",
    "NegotiationError", "PayloadTooBig", "ProtocolError", "ProxyError", "RequestLineTooLong", "SecurityError",
    "StatusLineTooLong", "TooManyFragments", "TooManyHeaders", "WebSocketException",
]  # fmt: skip

if TYPE_CHECKING:
    from .frames import Close
    from .http11 import Response


class WebSocketException(Exception):
    """The base of all others here."""


class ConnectionClosed(WebSocketException):
    """The connection has ended, and a call needs an open one."""

    def __init__(self, rcvd: Close | None, sent: Close | None, rcvd_then_sent: bool | None = None, how: str = "") -> None:
        #: The peer's Close; ``None``: none has come.
        self.rcvd = rcvd
        #: Our Close; ``None``: none was sent.
        self.sent = sent
        #: With both, whether the peer's came first; else ``None``.
        self.rcvd_then_sent = rcvd_then_sent
        #: What has ended it, in words.
        self.how = how
        super().__init__(rcvd, sent, rcvd_then_sent, how)

    def again(self) -> ConnectionClosed:
        """The same, to be raised once more: each has a traceback of its own."""
        return type(self)(self.rcvd, self.sent, self.rcvd_then_sent, self.how)

    def __str__(self) -> str:
        received = f"received {self.rcvd}" if self.rcvd else "no close frame received"
        sent = f"sent {self.sent}" if self.sent else "no close frame sent"
        if self.rcvd is None and self.sent is None:
            words = "no close frame received or sent"
        elif self.rcvd is not None and self.sent is not None:
            words = f"{received}; then {sent}" if self.rcvd_then_sent else f"{sent}; then {received}"
        else:
            words = f"{received}; {sent}" if self.rcvd else f"{sent}; {received}"
        return f"{words} ({self.how})" if self.how and not (self.rcvd and self.sent) else words

    @property
    def code(self) -> int:
        """The peer's close code; 1006 where no Close has come."""
        return 1006 if self.rcvd is None else self.rcvd.code

    @property
    def reason(self) -> str:
        """The reason of the peer's Close."""
        return "" if self.rcvd is None else self.rcvd.reason


class ConnectionClosedOK(ConnectionClosed):
    """It has ended as it should: with 1000, 1001, or without a code, from both sides."""


class ConnectionClosedError(ConnectionClosed):
    """It has ended for an error, or without a closing handshake."""


class InvalidURI(WebSocketException):
    """The URI names no WebSocket server."""

    def __init__(self, uri: str, msg: str) -> None:
        self.uri = uri
        self.msg = msg
        super().__init__(f"{uri} isn't a valid URI: {msg}")


class InvalidProxy(WebSocketException):
    """The proxy cannot be used."""

    def __init__(self, proxy: str, msg: str) -> None:
        self.proxy = proxy
        self.msg = msg
        super().__init__(f"{proxy} isn't a valid proxy: {msg}")


class InvalidHandshake(WebSocketException):
    """The opening handshake has failed."""


class SecurityError(InvalidHandshake):
    """The opening handshake would break a rule of safety."""


class ProxyError(InvalidHandshake):
    """The proxy does not connect."""


class InvalidProxyMessage(ProxyError):
    """The proxy's response is malformed."""


class InvalidProxyStatus(ProxyError):
    """The proxy has refused."""

    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__(f"proxy rejected connection: HTTP {response.status_code:d}")


class InvalidMessage(InvalidHandshake):
    """The response is malformed, or did not come."""


class InvalidStatus(InvalidHandshake):
    """The server has refused the connection with an HTTP status: ``response.status_code``."""

    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__(f"server rejected WebSocket connection: HTTP {response.status_code:d}")


class InvalidHeader(InvalidHandshake):
    """A header is missing or malformed."""

    def __init__(self, name: str, value: str | None = None) -> None:
        self.name = name
        self.value = value
        super().__init__(f"missing {name} header" if value is None else f"invalid {name} header: {value}")


class InvalidHeaderFormat(InvalidHeader):
    """A header is malformed."""


class InvalidHeaderValue(InvalidHeader, ValueError):
    """A header's value may not stand there."""


class InvalidOrigin(InvalidHeader):
    """The page that connects is of an origin that may not."""


class InvalidUpgrade(InvalidHeader):
    """The Upgrade or Connection header does not ask for a WebSocket."""


class NegotiationError(InvalidHandshake):
    """Both sides did not agree on a subprotocol or an extension."""


class ProtocolError(WebSocketException, ValueError):
    """The call would break a rule of the protocol. Nothing was sent."""


class InvalidState(WebSocketException, AssertionError):
    """The call does not fit where the connection stands."""


class ConcurrencyError(WebSocketException, RuntimeError):
    """Another thread does the same on this connection right now."""


class PayloadTooBig(WebSocketException):
    """A message that is too big ends its connection with 1009 instead."""


class TooManyFragments(WebSocketException):
    """A message of too many fragments ends its connection with 1009 instead."""


class InvalidMethod(InvalidHandshake):
    """A client that uses another method than GET gets 405 instead."""


class InvalidProtocol(InvalidHandshake):
    """A client that speaks another version of HTTP gets 505 instead."""


class RequestLineTooLong(SecurityError):
    """A client gets 414 instead."""


class StatusLineTooLong(SecurityError):
    """The head of a response that is too large is a :exc:`SecurityError` itself."""


class HeaderLineTooLong(SecurityError):
    """As :exc:`StatusLineTooLong`; a client gets 431."""


class TooManyHeaders(SecurityError):
    """As :exc:`HeaderLineTooLong`."""


class DuplicateParameter(NegotiationError):
    """Extensions that break a rule are a :exc:`NegotiationError` themselves."""


class InvalidParameterName(NegotiationError):
    """As :exc:`DuplicateParameter`."""


class InvalidParameterValue(NegotiationError):
    """As :exc:`DuplicateParameter`."""
