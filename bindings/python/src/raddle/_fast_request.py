"""Requests of the fast face, which the program decides on."""

from __future__ import annotations

import ctypes
from typing import Any, Iterable, Optional, Tuple, Union

from . import _constants as c
from ._errors import check
from ._native import abi
from ._text import text_in, text_out


class Request:
    """A client's request: for a WebSocket, or for whatever else HTTP knows (RFC 6455, section 4.2.1).

    It is decided on once, with :meth:`accept`, :meth:`refuse` or :meth:`respond`, on any thread, within the time that an opening
    handshake may take. One that is collected before is answered with 500. After that its methods raise ``RuntimeError``.
    """

    __slots__ = ("_handle",)

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @property
    def target(self) -> str:
        """Path and query that the client asks for."""
        return text_out(abi.raddle_request_target, self._known()) or ""

    @property
    def path(self) -> str:
        """The target up to its "?"."""
        return text_out(abi.raddle_request_path, self._known()) or ""

    @property
    def is_websocket(self) -> bool:
        """Whether the client asks for a WebSocket. Otherwise :meth:`respond` can answer it only."""
        answer = ctypes.c_uint32()
        check(abi.raddle_request_is_websocket(self._known(), ctypes.byref(answer)))
        return bool(answer.value)

    @property
    def remote_address(self) -> Tuple[str, int] | None:
        """The client's address and port; ``None`` for a Unix socket."""
        text = text_out(abi.raddle_request_peer, self._known())
        if text is None:
            return None
        host, _, port = text.rpartition(":")
        return host.strip("[]"), int(port)

    def header(self, name: str) -> str | None:
        """The value of the first header of a name, in any case; ``None`` where there is none."""
        return text_out(abi.raddle_request_header, self._known(), text_in(name, "name"))

    def accept(
        self,
        *,
        subprotocol: str | None = "",
        identity: str | None = None,
        headers: Iterable[Tuple[str, str]] = (),
    ) -> bool:
        """Opens the connection. ``False``: it is not opened, as the client has waited too long, its request is not in order, or its
        identity has all the connections it may have; the client was told.

        :param subprotocol: one that the client has offered, or ``None``; where it is empty, the first of the client's that the
            server supports
        :param identity: who the client is, for ``identities`` of the server
        :param headers: for the response; none of the handshake's own
        :raises ValueError: a header may not be sent, or the subprotocol was not offered: the client gets 500
        """
        handle = self._known()
        if subprotocol != "":
            name = None if subprotocol is None else text_in(subprotocol, "subprotocol")
            check(abi.raddle_request_set_subprotocol(handle, name))
        if identity is not None:
            check(abi.raddle_request_set_identity(handle, text_in(identity, "identity")))
        self._add(headers)
        # Whatever comes of it, it was decided on.
        self._handle = 0
        return self._decided(abi.raddle_request_accept(handle))

    def refuse(self, status: int) -> bool:
        """Refuses it, with a status of 400 to 599 and a short text. ``False``: the client has waited too long.

        :raises ValueError: it is another status
        """
        return self._decided(abi.raddle_request_refuse(self._known(), _status(status)))

    def respond(
        self,
        status: int,
        body: Union[str, bytes] = b"",
        content_type: str | None = None,
        headers: Iterable[Tuple[str, str]] = (),
    ) -> bool:
        """Answers as HTTP does, with a status of 200 to 599, and ends the connection. ``False``: the client has waited too long.

        :param content_type: of the body; by default ``text/plain; charset=utf-8`` for a ``str``, none for ``bytes``
        :raises ValueError: the status, or a header, is not in order
        """
        if isinstance(body, str):
            body, content_type = body.encode(), content_type or "text/plain; charset=utf-8"
        if not isinstance(body, bytes):
            raise TypeError(f"body must be a str or bytes, not {type(body).__name__}")
        kind = None if content_type is None else text_in(content_type, "content_type")
        self._add(headers)
        return self._decided(abi.raddle_request_respond(self._known(), _status(status), kind, body, len(body)))

    def drop(self, free: Any = abi.raddle_request_free) -> None:
        """Answers with 500, unless it was decided on."""
        handle, self._handle = self._handle, 0
        if handle:
            free(handle)

    def __del__(self) -> None:
        self.drop()

    def __repr__(self) -> str:
        # Without the token that is often in the query.
        return f"<raddle.fast.Request {self.path}>" if self._handle else "<raddle.fast.Request, decided on>"

    def _known(self) -> int:
        if not self._handle:
            raise RuntimeError("the request was decided on before")
        return self._handle

    def _add(self, headers: Iterable[Tuple[str, str]]) -> None:
        for name, value in headers:
            check(abi.raddle_request_add_header(self._known(), text_in(name, "headers"), text_in(value, "headers")))

    def _decided(self, status: int) -> bool:
        if status in _TOLD:
            self._handle = 0
            return status == c.OK
        if status == c.ERR_HANDLE:
            self._handle = 0
        check(status)
        return True


def _status(status: int) -> int:
    if type(status) is not int:
        raise TypeError(f"status must be an int, not {type(status).__name__}")
    if not 200 <= status < 600:
        raise ValueError(f"status must be 200 to 599, not {status}")
    return status


_TOLD = (c.OK, c.ERR_TIMEOUT, c.ERR_LIMIT, c.ERR_HANDSHAKE)
