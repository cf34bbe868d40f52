"""TLS, with the names of the standard library's ``ssl``, whose contexts cannot be used: they do not give their key away.

A program for ``websockets`` changes ``import ssl`` into ``from raddle import ssl``::

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("certificate.pem", "key.pem")

TLS 1.2 and 1.3 are spoken, with the ciphers of rustls.
"""

from __future__ import annotations

import enum
import os
import ssl as standard
from pathlib import Path
from ssl import SSLCertVerificationError, SSLError
from typing import Any

from . import _constants as c
from ._errors import check
from ._handle import Handle
from ._native import abi
from ._text import text_in

__all__ = [
    "CERT_NONE", "CERT_OPTIONAL", "CERT_REQUIRED", "PROTOCOL_TLS_CLIENT", "PROTOCOL_TLS_SERVER", "Purpose",
    "SSLCertVerificationError", "SSLContext", "SSLError", "VerifyMode", "create_default_context",
]  # fmt: skip


class Purpose(enum.Enum):
    """Whom a context verifies."""

    SERVER_AUTH = "the server: a client's context"
    CLIENT_AUTH = "the client: a server's context"


class VerifyMode(enum.IntEnum):
    """Whether the peer's certificate is looked at."""

    CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED = range(3)


CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED = VerifyMode
PROTOCOL_TLS_CLIENT = Purpose.SERVER_AUTH
PROTOCOL_TLS_SERVER = Purpose.CLIENT_AUTH


class SSLContext:
    """What a side of TLS shows of itself, and whom it trusts.

    Files are read when a server or a client is made with it.
    """

    def __init__(self, protocol: Purpose) -> None:
        if not isinstance(protocol, Purpose):
            raise TypeError("protocol must be raddle.ssl.PROTOCOL_TLS_CLIENT or PROTOCOL_TLS_SERVER")
        #: ``PROTOCOL_TLS_CLIENT`` or ``PROTOCOL_TLS_SERVER``.
        self.protocol = protocol
        is_client = protocol is PROTOCOL_TLS_CLIENT
        self._mode = CERT_REQUIRED if is_client else CERT_NONE
        self._checks_host = is_client
        self._chains: list[tuple[str, str]] = []
        self._roots: list[str] = []
        self._pem: list[bytes] = []
        self._has_system_roots = False

    @property
    def verify_mode(self) -> VerifyMode:
        """Whether the peer has to show a certificate that is in order.

        For a client ``CERT_NONE`` takes any certificate: whoever is on the way can read and change everything.
        """
        return self._mode

    @verify_mode.setter
    def verify_mode(self, mode: VerifyMode) -> None:
        mode = VerifyMode(mode)
        if mode is CERT_NONE and self._checks_host:
            raise ValueError("verify_mode cannot be CERT_NONE while check_hostname is set")
        if mode is CERT_OPTIONAL and self.protocol is PROTOCOL_TLS_CLIENT:
            mode = CERT_REQUIRED
        self._mode = mode

    @property
    def check_hostname(self) -> bool:
        """Whether the certificate has to be of the server's name; that cannot be had without, but with ``CERT_NONE``."""
        return self._checks_host

    @check_hostname.setter
    def check_hostname(self, checks: bool) -> None:
        if checks and self._mode is CERT_NONE:
            self._mode = CERT_REQUIRED
        self._checks_host = bool(checks)

    def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: None = None) -> None:
        """Shows a certificate: the file of its chain, in PEM, and of its private key, which may be the same.

        Several may be loaded for a server: a client gets the first that is valid for the name that it asks for.

        :raises FileNotFoundError: a file is not there
        :raises ValueError: a password was given: encrypted keys cannot be read
        """
        if password is not None:
            raise ValueError("password: encrypted keys cannot be read")
        chain = _file(certfile, "certfile")
        self._chains.append((chain, chain if keyfile is None else _file(keyfile, "keyfile")))

    def load_verify_locations(self, cafile: Any = None, capath: None = None, cadata: str | bytes | None = None) -> None:
        """Trusts the certificates of a file, or of PEM data, as roots.

        :raises FileNotFoundError: the file is not there
        :raises ValueError: ``capath`` was given, or nothing
        """
        if capath is not None:
            raise ValueError("capath cannot be used: name one file as cafile")
        if cafile is None and cadata is None:
            raise TypeError("cafile or cadata must be given")
        if cafile is not None:
            self._roots.append(_file(cafile, "cafile"))
        if cadata is not None:
            self._pem.append(cadata.encode() if isinstance(cadata, str) else bytes(cadata))

    def load_default_certs(self, purpose: Purpose = Purpose.SERVER_AUTH) -> None:
        """Trusts the roots of the system, too."""
        self._has_system_roots = True

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and not hasattr(type(self), name) and name != "protocol":
            raise AttributeError(f"raddle.ssl.SSLContext has no setting {name}")
        super().__setattr__(name, value)


def create_default_context(
    purpose: Purpose = Purpose.SERVER_AUTH, *, cafile: Any = None, capath: None = None, cadata: str | bytes | None = None
) -> SSLContext:
    """Makes a context that verifies ``purpose``: by the roots that are given, else by those of the system."""
    context = SSLContext(purpose)
    if cafile is not None or capath is not None or cadata is not None:
        context.load_verify_locations(cafile, capath, cadata)
    elif purpose is Purpose.SERVER_AUTH:
        context.load_default_certs()
    return context


def server_tls(context: object) -> Handle | None:
    """The library's settings for a server with such a context; ``None``: it is ``None``."""
    if context is None:
        return None
    checked = _checked(context, PROTOCOL_TLS_SERVER)
    tls = Handle(abi.raddle_server_tls_new, abi.raddle_server_tls_free)
    if not checked._chains:
        raise ValueError("ssl has no certificate: call load_cert_chain")
    for chain, key in checked._chains:
        check(abi.raddle_server_tls_certificate_files(tls.value, chain.encode(), key.encode()))
    if checked._mode is not CERT_NONE:
        if len(checked._roots) != 1 or checked._pem:
            raise ValueError("ssl has to have one file of roots to verify clients: call load_verify_locations(cafile) once")
        optional = checked._mode is CERT_OPTIONAL
        mode = c.CLIENT_CERTIFICATE_OPTIONAL if optional else c.CLIENT_CERTIFICATE_REQUIRED
        check(abi.raddle_server_tls_client_certificates(tls.value, mode, checked._roots[0].encode()))
    return tls


def client_tls(context: object, client: int) -> None:
    """Sets up a client with such a context; ``None``: the roots of the system."""
    if context is None:
        return
    checked = _checked(context, PROTOCOL_TLS_CLIENT)
    if checked._mode is CERT_NONE:
        check(abi.raddle_client_dangerous_accept_any_certificate(client))
    elif not checked._checks_host:
        raise ValueError("ssl: check_hostname can be False with verify_mode CERT_NONE only")
    for path in checked._roots:
        check(abi.raddle_client_add_roots_file(client, text_in(path, "cafile")))
    for pem in checked._pem:
        check(abi.raddle_client_add_roots(client, pem, len(pem)))
    if not checked._has_system_roots:
        check(abi.raddle_client_without_system_roots(client))
    for chain, key in checked._chains:
        shown, private = Path(chain).read_bytes(), Path(key).read_bytes()
        check(abi.raddle_client_certificate(client, shown, len(shown), private, len(private)))


def _checked(context: object, protocol: Purpose) -> SSLContext:
    if not isinstance(context, SSLContext):
        if not isinstance(context, standard.SSLContext):
            raise TypeError(f"ssl must be a raddle.ssl.SSLContext, not {type(context).__name__}")
        raise TypeError(
            "ssl must be a raddle.ssl.SSLContext, not ssl.SSLContext: the standard library's contexts do not give their key away;"
            " use `from raddle import ssl`, which has the same constructors"
        )
    if context.protocol is not protocol:
        raise ValueError("ssl is of the other side: PROTOCOL_TLS_SERVER is for serve, PROTOCOL_TLS_CLIENT for connect")
    return context


def _file(path: Any, name: str) -> str:
    text = os.fsdecode(path)
    if not os.path.isfile(text):
        raise FileNotFoundError(2, f"{name}: no such file", text)
    return text
