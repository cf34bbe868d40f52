"""Turns the statuses of C calls into exceptions."""

import ctypes
import re
import socket
from typing import Callable

from . import _constants as c
from ._native import abi


def check(status: int) -> None:
    """Raises what a status stands for, with what the library says of the call.

    To be called on the thread that has made the call, before it makes another.

    :raises ValueError: something that was handed in is not in order
    :raises TimeoutError: the time was up
    :raises OSError: the operating system has refused something; ``socket.gaierror``: a name has no address
    :raises ssl.SSLError: TLS has failed; ``ssl.SSLCertVerificationError``: the server's certificate is not in order
    :raises RuntimeError: the object was closed, or the process was forked from one that uses the library
    """
    if status != c.OK:
        raise failure(status)


def failure(status: int, what: str = "") -> Exception:
    """Makes the exception that a status stands for; ``what`` takes the place of what the library says of the call."""
    what = what or last_error() or meaning(status)
    if status == c.ERR_TLS:
        from ssl import SSLCertVerificationError, SSLError

        # With the number that the standard library gives them: without one, their text would be that of a tuple.
        if not what.startswith(_CERTIFICATE):
            return SSLError(1, what)
        error = SSLCertVerificationError(1, what)
        error.verify_message = what[len(_CERTIFICATE) :]
        error.verify_code = _VERIFY_CODES.get(error.verify_message, _UNSPECIFIED)
        return error
    if status == c.ERR_IO:
        # What the operating system has said has its number with it, by which Python chooses the subclass.
        number = _NUMBER.search(what)
        if number:
            return OSError(int(number.group(1)), what[: number.start()].rstrip() + what[number.end() :])
        # Of a client in words of the library, of a server in those of Rust.
        if what.startswith("the name has no address") or "failed to lookup address" in what:
            return socket.gaierror(_lookup_number(what), what)
        return OSError(what)
    return _KINDS.get(status, RuntimeError)(what)


def last_error() -> str:
    """Says what was wrong with this thread's last call that has failed; the empty string where none has."""
    text: bytes = abi.raddle_last_error()
    return text.decode(errors="replace")


def meaning(status: int) -> str:
    """Says what a status means."""
    text: bytes = abi.raddle_strerror(status)
    return text.decode(errors="replace")


def _lookup_number(what: str) -> int:
    """The number of what the resolver has said, which programs come again by: ``EAI_AGAIN``, where it could not be asked."""
    for name in dir(socket):
        number = getattr(socket, name) if name.startswith("EAI_") else 0
        if number and _resolver_text(number).decode(errors="replace") in what:
            return int(number)
    return socket.EAI_NONAME


# What the resolver says comes with its text only, which is that of the system's.
_resolver_text = ctypes.CDLL(None).gai_strerror
_resolver_text.restype = ctypes.c_char_p

_KINDS: "dict[int, Callable[..., Exception]]" = {
    c.ERR_ARGUMENT: ValueError,
    c.ERR_UTF8: ValueError,
    c.ERR_LIMIT: ValueError,
    c.ERR_TIMEOUT: TimeoutError,
    c.ERR_NOT_FOUND: LookupError,
}

_NUMBER = re.compile(r"\(os error (\d+)\)")

_CERTIFICATE = "the server's certificate "

# Those of OpenSSL, as the standard library gives them.
_VERIFY_CODES = {
    "is not valid yet": 9,
    "has expired": 10,
    "is self-signed": 18,
    "is of an unknown issuer": 20,
    "was revoked": 23,
    "is not valid for its name": 62,
}
_UNSPECIFIED = 1
