"""Names for what the functions take and give."""

from __future__ import annotations

import http
import logging
import os
from typing import TYPE_CHECKING, Any, Union

__all__ = ["BytesLike", "Data", "DataLike", "LoggerLike", "Origin", "PathLike", "StatusLike", "Subprotocol"]

if TYPE_CHECKING:
    LoggerLike = Union[logging.Logger, logging.LoggerAdapter[Any]]
    PathLike = Union[str, os.PathLike[str]]
else:
    LoggerLike = Union[logging.Logger, logging.LoggerAdapter]
    PathLike = Union[str, os.PathLike]

#: A message: text or binary.
Data = Union[str, bytes]
#: What can be sent as a message.
DataLike = Union[str, bytes, bytearray, memoryview]
#: Bytes that can be sent.
BytesLike = Union[bytes, bytearray, memoryview]
#: A status of HTTP.
StatusLike = Union[http.HTTPStatus, int]
#: As ``https://example.com``.
Origin = str
#: The name of a subprotocol (RFC 6455, section 1.9).
Subprotocol = str
