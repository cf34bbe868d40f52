"""Checks what programs hand in: each function takes a value and its name, and raises an error that has the name in it."""

from __future__ import annotations

import inspect
import math
import socket
from ssl import SSLSocket
from typing import Any, Callable, Mapping, Sequence

from . import _constants as c
from .deflate import Deflate


def integer(value: object, name: str, least: int = 0, most: int = 2**63 - 1) -> int:
    """An ``int`` from ``least`` to ``most``. ``bool`` is none.

    :raises TypeError: it is of another type
    :raises ValueError: it is out of the range
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {value}")
    return int(value)


def seconds(value: object, name: str) -> float:
    """A number that is neither infinite nor NaN.

    :raises TypeError: it is no number
    :raises ValueError: it is infinite, NaN, or more than 292 million years
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or None, not {type(value).__name__}")
    # In this order, as an int may be too large to be any float.
    if not abs(value) <= _LONGEST:
        raise ValueError(f"{name} must be a number of seconds that can be waited for, not {value}")
    return float(value)


def milliseconds(value: object, name: str) -> int:
    """A time in seconds, above 0, as milliseconds: at least 1. ``None``: no limit.

    :raises TypeError: it is no number
    :raises ValueError: it is not above 0, is infinite, or NaN
    """
    if value is None:
        return c.NO_LIMIT
    time = seconds(value, name)
    if time <= 0:
        raise ValueError(f"{name} must be above 0, not {value}")
    return math.ceil(time * 1000)


def sizes(value: object, name: str) -> tuple[int, int]:
    """The limits of ``max_size``: a number of bytes, ``None`` for none, or a pair of these for messages and frames."""
    parts: Sequence[Any] = value if isinstance(value, tuple) else (value, value)
    if len(parts) != 2:
        raise ValueError(f"{name} must be a number, None, or a pair of these")
    message, frame = [c.NO_LIMIT if part is None else integer(part, name, 1) for part in parts]
    return message, min(message, frame)


def queue(value: object, name: str = "max_queue") -> None:
    """Checks ``max_queue``, which the library has no use for: it reads a bounded amount ahead by itself."""
    for part in value if isinstance(value, tuple) else (value,):
        if part is not None:
            integer(part, name, 0)


def logger(value: object) -> None:
    """Something that can be logged to, or ``None``."""
    if value is not None and not (hasattr(value, "log") and hasattr(value, "error")):
        raise TypeError(f"logger must be a logging.Logger or None, not {type(value).__name__}")


def function(value: object, name: str) -> Callable[..., Any] | None:
    """Something that can be called, or ``None``."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable or None, not {type(value).__name__}")
    return value


def names(given: Mapping[str, object], function: Callable[..., object], of: str, but: Sequence[str] = ()) -> None:
    """That a function knows what is handed on to it, in the name of what the program has called.

    :param but: what it knows, and the program may not give
    """
    known = inspect.signature(function).parameters
    for name in given:
        if name not in known or name in but:
            raise TypeError(f"{of}() got an unexpected keyword argument {name!r}")


def texts(value: object, name: str) -> list[str]:
    """Several texts. A single ``str`` is most likely a mistake, and a TypeError."""
    if value is None:
        return []
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, set, frozenset)):
        raise TypeError(f"{name} must be a sequence of str, not {type(value).__name__}")
    for one in value:
        if not isinstance(one, str):
            raise TypeError(f"{name} must be a sequence of str, with {type(one).__name__} in it")
    return list(value)


def deflate(compression: object) -> Deflate | None:
    """How ``compression`` asks for permessage-deflate; ``None``: it does not."""
    if compression is None or isinstance(compression, Deflate):
        return compression
    if compression != "deflate":
        raise ValueError(f"compression must be 'deflate', a raddle.Deflate or None, not {compression!r}")
    return Deflate()


def stream(sock: object, name: str) -> socket.socket:
    """A socket without TLS on it.

    :raises TypeError: it is none, or one of the standard library's ``ssl``, which keeps its keys to itself
    """
    if not isinstance(sock, socket.socket) or isinstance(sock, SSLSocket):
        raise TypeError(f"{name} must be a socket.socket, not {type(sock).__name__}")
    return sock


def no_extensions(extensions: object) -> None:
    """Refuses ``extensions``: permessage-deflate, by ``compression``, is the one there is."""
    if extensions:
        raise TypeError("extensions cannot be given: compression='deflate' asks for permessage-deflate")


# Seconds; the milliseconds fit 63 bits.
_LONGEST = 9.2e15
