"""WebSocket servers and clients for plain blocking code and threads: the names of ``websockets.sync``, the speed of C.

See :func:`serve` and :func:`connect`.
"""

from ._native import abi as _abi
from .auth import basic_auth
from .broadcasting import broadcast
from .client import ClientConnection, connect, unix_connect
from .connection import Connection
from .datastructures import Headers, HeadersLike, MultipleValuesError
from .deflate import Deflate
from .exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderFormat,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidOrigin,
    InvalidProxy,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidState,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    NegotiationError,
    PayloadTooBig,
    ProtocolError,
    ProxyError,
    SecurityError,
    WebSocketException,
)
from .fast import Server
from .frames import Close, CloseCode, State
from .http11 import Request, Response
from .ping import Ping
from .reconnect import reconnect
from .server import ServerConnection, serve, unix_serve
from .typing import Data, DataLike, LoggerLike, Origin, Subprotocol

__version__: str = _abi.raddle_version_string().decode()

__all__ = [
    "ClientConnection", "Close", "CloseCode", "ConcurrencyError", "Connection", "ConnectionClosed",
    "ConnectionClosedError", "ConnectionClosedOK", "Data", "DataLike", "Deflate", "Headers", "HeadersLike", "InvalidHandshake",
    "InvalidHeader", "InvalidHeaderFormat", "InvalidHeaderValue", "InvalidMessage", "InvalidOrigin", "InvalidProxy",
    "InvalidProxyMessage", "InvalidProxyStatus", "InvalidState", "InvalidStatus", "InvalidURI", "InvalidUpgrade",
    "LoggerLike", "MultipleValuesError", "NegotiationError", "Origin", "PayloadTooBig", "Ping", "ProtocolError",
    "ProxyError", "Request", "Response", "SecurityError", "Server", "ServerConnection", "State", "Subprotocol",
    "WebSocketException", "basic_auth", "broadcast", "connect", "reconnect", "serve", "unix_connect", "unix_serve",
]  # fmt: skip
