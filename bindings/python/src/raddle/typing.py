"""Names for what the functions take and give."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Union

__all__ = ["Data", "DataLike", "LoggerLike", "Origin", "PathLike", "Subprotocol"]

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
#: As ``https://example.com``.
Origin = str
#: The name of a subprotocol (RFC 6455, section 1.9).
Subprotocol = str
