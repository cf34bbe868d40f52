"""Which proxy leads to a server: what a program has said, or the environment."""

from __future__ import annotations

import urllib.parse
import urllib.request
from typing import Any

from .exceptions import InvalidProxy


def proxy_for(uri: str, proxy: Any) -> str | None:
    """The proxy's URL, as the library takes it; ``None``: there is none.

    :param proxy: ``True``: that of the environment (``HTTPS_PROXY``, ``NO_PROXY`` and their kin); ``None``: none; or a URL
    :raises InvalidProxy: it is of another scheme than http, socks5 and socks5h
    """
    if proxy is True:
        proxy = _of_environment(uri)
    if proxy is None:
        return None
    if not isinstance(proxy, str):
        raise TypeError(f"proxy must be a str, True or None, not {type(proxy).__name__}")
    scheme, _, rest = proxy.partition("://")
    if scheme.lower() not in ("http", "socks5", "socks5h"):
        raise InvalidProxy(proxy, f"scheme {scheme} isn't supported: http, socks5 and socks5h are")
    # The proxy looks names up in either case.
    return f"socks5://{rest}" if scheme.lower() == "socks5h" else proxy


def _of_environment(uri: str) -> str | None:
    try:
        parts = urllib.parse.urlsplit(uri)
        port = parts.port
    except ValueError:
        # The library says what is wrong with it.
        return None
    if not parts.hostname:
        return None
    is_secure = parts.scheme.lower() == "wss"
    # Servers that need no proxy may be named with their port.
    if urllib.request.proxy_bypass(f"{parts.hostname}:{port or (443 if is_secure else 80)}"):
        return None
    known = urllib.request.getproxies()
    names = ("wss", "socks", "https") if is_secure else ("ws", "socks", "https", "http")
    for name in names:
        found = known.get(name)
        if found and name == "socks" and found.startswith("http://"):
            # The settings of some systems name them so.
            return "socks5h" + found[4:]
        if found:
            return found
    return None
