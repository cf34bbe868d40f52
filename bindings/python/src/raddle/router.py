"""Several handlers behind one server, chosen by the path, with the rules of ``werkzeug.routing``.

``werkzeug`` has to be installed: ``pip install werkzeug``, or ``raddle[route]``.
"""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any, Literal, Type

from . import _check
from .http11 import Request, Response
from .server import Server, ServerConnection, serve
from .ssl import SSLContext
from .typing import PathLike

if TYPE_CHECKING:
    from werkzeug.routing import Map

__all__ = ["Router", "route", "unix_route"]


class Router:
    """Finds the handler of a request. To be subclassed for other answers where there is none."""

    def __init__(self, url_map: Map, server_name: str | None = None, url_scheme: str = "ws") -> None:
        self.url_map = url_map
        self.server_name = server_name
        self.url_scheme = url_scheme
        for rule in url_map.iter_rules():
            # Rules are for HTTP by themselves, and match nothing here.
            rule.websocket = True

    def get_server_name(self, connection: ServerConnection, request: Request) -> str:
        """The name under which clients know the server, as URLs of redirects have it."""
        return request.headers["Host"] if self.server_name is None else self.server_name

    def redirect(self, connection: ServerConnection, url: str) -> Response:
        """The response to a path of a rule that leads elsewhere."""
        response = connection.respond(302, f"Found at {url}")
        response.headers["Location"] = url
        return response

    def not_found(self, connection: ServerConnection) -> Response:
        """The response to a path that no rule knows."""
        return connection.respond(404, "Not Found")

    def route_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Notes the handler with the connection; a response where there is none. For ``process_request``."""
        from werkzeug.exceptions import HTTPException, NotFound
        from werkzeug.routing import RequestRedirect

        target = urllib.parse.urlsplit(request.path)
        rules = self.url_map.bind(self.get_server_name(connection, request), url_scheme=self.url_scheme)
        try:
            # RFC 6455, section 4.1: the method of an opening handshake is GET.
            found, captured = rules.match(target.path, method="GET", query_args=target.query)
        except RequestRedirect as elsewhere:
            return self.redirect(connection, elsewhere.new_url)
        except NotFound:
            return self.not_found(connection)
        except HTTPException as refused:
            return connection.respond(refused.code or 400, refused.name)
        connection.handler, connection.handler_kwargs = found, captured
        return None

    def handler(self, connection: ServerConnection) -> Any:
        """Calls the handler that was found, with what its rule has captured."""
        return connection.handler(connection, **connection.handler_kwargs)


def route(
    url_map: Map,
    *args: Any,
    server_name: str | None = None,
    ssl: SSLContext | Literal[True] | None = None,
    create_router: Type[Router] | None = None,
    **kwargs: Any,
) -> Server:
    """Makes a server with a handler for each rule of a map, to which it gives what the rule captures as keyword arguments::

        from werkzeug.routing import Map, Rule

        def room(websocket, number):
            ...

        with raddle.route(Map([Rule("/room/<int:number>", endpoint=room)]), "127.0.0.1", 9001) as server:
            server.serve_forever()

    :param url_map: a ``werkzeug.routing.Map`` whose endpoints are handlers; its rules become rules for WebSockets
    :param server_name: under which clients know the server, for redirects; ``None``: the header ``Host`` says it
    :param ssl: as for :func:`raddle.serve`; ``True``: a proxy speaks TLS, so redirects lead to wss
    :param create_router: a subclass of :class:`Router`
    :param kwargs: as for :func:`raddle.serve`; ``process_request`` is asked before the map
    :raises ImportError: ``werkzeug`` is not installed
    """
    try:
        import werkzeug.routing as _
    except ImportError as error:
        raise ImportError("route() needs werkzeug: pip install werkzeug") from error
    if ssl is not None and ssl is not True:
        kwargs["ssl"] = ssl
    router = (create_router or Router)(url_map, server_name, "ws" if ssl is None else "wss")
    asked = _check.function(kwargs.pop("process_request", None), "process_request")

    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        response: Response | None = asked(connection, request) if asked is not None else None
        return router.route_request(connection, request) if response is None else response

    return serve(router.handler, *args, process_request=process_request, **kwargs)


def unix_route(url_map: Map, path: PathLike | None = None, **kwargs: Any) -> Server:
    """As :func:`route`, on a Unix socket."""
    if path is None and kwargs.get("sock") is None:
        raise ValueError("path is missing")
    return route(url_map, path=path, **kwargs)
