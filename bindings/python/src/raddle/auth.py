"""HTTP Basic authentication of clients (RFC 7617)."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Optional, Tuple, Union

from .http11 import Request, Response

if TYPE_CHECKING:
    from .server import ServerConnection

Credentials = Union[Tuple[str, str], Iterable[Tuple[str, str]]]


def basic_auth(
    realm: str = "",
    credentials: Credentials | None = None,
    check_credentials: Callable[[str, str], bool] | None = None,
) -> Callable[[ServerConnection, Request], Optional[Response]]:
    """Makes a ``process_request`` that asks clients who they are. Their name is ``connection.username`` afterwards; others get
    401.

    :param realm: what is protected, in ASCII
    :param credentials: a pair of user and password, or several of them
    :param check_credentials: instead, tells whether user and password are right
    :raises ValueError: none or both of the two were given
    :raises TypeError: the credentials are no pairs of ``str``
    """
    if (credentials is None) == (check_credentials is None):
        raise ValueError("provide either credentials or check_credentials")
    if check_credentials is None:
        check_credentials = _checker(credentials)
    is_known = check_credentials

    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        def ask(text: str) -> Response:
            response = connection.respond(401, text)
            escaped = realm.replace("\\", "\\\\").replace('"', '\\"')
            response.headers["WWW-Authenticate"] = f'Basic realm="{escaped}", charset="UTF-8"'
            return response

        values = request.headers.get_all("Authorization")
        if not values:
            return ask("Missing credentials\n")
        pair = _parse(values[0]) if len(values) == 1 else None
        if pair is None:
            return ask("Unsupported credentials\n")
        if not is_known(*pair):
            return ask("Invalid credentials\n")
        connection.username = pair[0]
        return None

    return process_request


def _checker(credentials: Any) -> Callable[[str, str], bool]:
    pairs = [credentials] if _is_pair(credentials) else list(credentials)
    if not all(_is_pair(pair) for pair in pairs):
        raise TypeError("credentials must be a pair of user and password, or several of them")
    known: Dict[str, str] = dict(pairs)

    def is_known(user: str, password: str) -> bool:
        # Compared, too, where the user is not known, so that the time it takes does not tell.
        expected = known.get(user, "")
        same = hmac.compare_digest(expected.encode(errors="surrogateescape"), password.encode(errors="surrogateescape"))
        return same and user in known

    return is_known


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)


def _parse(value: str) -> Tuple[str, str] | None:
    """User and password of a header's value; ``None``: it is not of the Basic scheme."""
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None
