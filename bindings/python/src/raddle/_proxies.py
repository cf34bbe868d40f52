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
    parts = urllib.parse.urlsplit(uri)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    known = urllib.request.getproxies()
    names = ("wss", "socks", "https") if parts.scheme == "wss" else ("ws", "socks", "https", "http")
    return next((known[name] for name in names if known.get(name)), None)
