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
    DuplicateParameter,
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderFormat,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidMethod,
    InvalidOrigin,
    InvalidParameterName,
    InvalidParameterValue,
    InvalidProtocol,
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
    RequestLineTooLong,
    SecurityError,
    StatusLineTooLong,
    TooManyFragments,
    TooManyHeaders,
    WebSocketException,
)
from .fast import Server
from .frames import Close, CloseCode, State
from .http11 import Request, Response
from .ping import Ping
from .reconnect import reconnect, unix_reconnect
from .router import Router, route, unix_route
from .server import ServerConnection, serve, unix_serve
from .typing import Data, DataLike, LoggerLike, Origin, StatusLike, Subprotocol

__version__: str = _abi.raddle_version_string().decode()

__all__ = [
    "ClientConnection", "Close", "CloseCode", "ConcurrencyError", "Connection", "ConnectionClosed", "ConnectionClosedError",
    "ConnectionClosedOK", "Data", "DataLike", "Deflate", "DuplicateParameter", "HeaderLineTooLong", "Headers",
    "HeadersLike", "InvalidHandshake", "InvalidHeader", "InvalidHeaderFormat", "InvalidHeaderValue", "InvalidMessage",
    "InvalidMethod", "InvalidOrigin", "InvalidParameterName", "InvalidParameterValue", "InvalidProtocol", "InvalidProxy",
    "InvalidProxyMessage", "InvalidProxyStatus", "InvalidState", "InvalidStatus", "InvalidURI", "InvalidUpgrade",
    "LoggerLike", "MultipleValuesError", "NegotiationError", "Origin", "PayloadTooBig", "Ping", "ProtocolError",
    "ProxyError", "Request", "RequestLineTooLong", "Response", "Router", "SecurityError", "Server", "ServerConnection",
    "State", "StatusLike", "StatusLineTooLong", "Subprotocol", "TooManyFragments", "TooManyHeaders", "WebSocketException",
    "basic_auth", "broadcast", "connect", "reconnect", "route", "serve", "unix_connect", "unix_reconnect", "unix_route",
    "unix_serve",
]  # fmt: skip
