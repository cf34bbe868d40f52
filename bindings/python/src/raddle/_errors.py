"""Turns the statuses of C calls into exceptions."""

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
        kind = SSLCertVerificationError if what.startswith("the server's certificate ") else SSLError
        return kind(1, what)
    if status == c.ERR_IO:
        # Of a client in words of the library, of a server in those of Rust.
        if what.startswith("the name has no address") or "failed to lookup address" in what:
            return socket.gaierror(socket.EAI_NONAME, what)
        # What the operating system has said has its number with it, by which Python chooses the subclass.
        number = _NUMBER.search(what)
        return OSError(int(number.group(1)), what[: number.start()].rstrip() + what[number.end() :]) if number else OSError(what)
    return _KINDS.get(status, RuntimeError)(what)


def last_error() -> str:
    """Says what was wrong with this thread's last call that has failed; the empty string where none has."""
    text: bytes = abi.raddle_last_error()
    return text.decode(errors="replace")


def meaning(status: int) -> str:
    """Says what a status means."""
    text: bytes = abi.raddle_strerror(status)
    return text.decode(errors="replace")


_KINDS: "dict[int, Callable[..., Exception]]" = {
    c.ERR_ARGUMENT: ValueError,
    c.ERR_UTF8: ValueError,
    c.ERR_LIMIT: ValueError,
    c.ERR_TIMEOUT: TimeoutError,
    c.ERR_NOT_FOUND: LookupError,
}

_NUMBER = re.compile(r"\(os error (\d+)\)")
