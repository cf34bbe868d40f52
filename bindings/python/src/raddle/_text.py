"""Texts and bytes on their way into C functions, and out of them."""

import ctypes
from typing import Any, Callable, Tuple

from . import _constants as c
from ._errors import failure


def text_in(value: object, name: str) -> bytes:
    """Gives a text as the C functions take it: UTF-8 that a NUL ends.

    :raises TypeError: it is no ``str``
    :raises ValueError: it has a NUL in it, or a lone surrogate (``UnicodeEncodeError``)
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    encoded = value.encode()
    if b"\0" in encoded:
        raise ValueError(f"{name} must not contain a NUL")
    return encoded


def text_out(function: Callable[..., int], *arguments: Any) -> "str | None":
    """Calls a C function that ends with a place for a text, and gives that; ``None`` where there is none.

    :raises RuntimeError: and others of ``_errors``, where the function fails
    """
    value = bytes_out(function, *arguments)
    return None if value is None else value.decode(errors="replace")


def bytes_out(function: Callable[..., int], *arguments: Any) -> "bytes | None":
    """As :func:`text_out`, with any bytes."""
    size = 256
    length = ctypes.c_size_t()
    while True:
        buffer = ctypes.create_string_buffer(size)
        status = function(*arguments, buffer, size, ctypes.byref(length))
        if status == c.OK:
            return buffer.raw[: length.value]
        if status == c.ERR_NOT_FOUND:
            return None
        if status != c.ERR_BUFFER:
            raise failure(status)
        # What is asked for can grow between two calls, and each is told how much it is.
        size = length.value + 1


def bytes_at(address: "int | None", length: int) -> bytes:
    """Copies memory that the library lends."""
    if not length or address is None:
        return b""
    if length < _TOO_LONG:
        return ctypes.string_at(address, length)
    # Its type is made for this length, and so costs more than the copy of a short message.
    return bytes((ctypes.c_char * length).from_address(address))


def payload_in(data: object, name: str) -> "Tuple[Any, int]":
    """Gives bytes as the C functions take them, and their number. They cannot be resized while the first is there.

    :raises TypeError: it is neither ``bytes``, ``bytearray`` nor ``memoryview``
    :raises ValueError: it is a ``memoryview`` that was released
    """
    if type(data) is bytes:
        return data, len(data)
    if isinstance(data, (bytes, bytearray, memoryview)):
        # A copy, of any layout: other threads may write to what is shared, and a message has to be one state of it. Classes of
        # the program's own may say what they like of themselves.
        data = memoryview(data).tobytes()
        return data, len(data)
    raise TypeError(f"{name} must be bytes-like, not {type(data).__name__}")


# `ctypes.string_at` takes a C int before Python 3.14.
_TOO_LONG = 2**31
