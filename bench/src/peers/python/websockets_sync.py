"""websockets with a thread per connection."""

import socket
from contextlib import suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve


def echo(connection: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        for message in connection:
            connection.send(message)


listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
host, port = listener.getsockname()
with serve(echo, sock=listener, compression=None, max_size=None, ping_interval=None) as server:
    print(f"listening on ws://{host}:{port}", flush=True)
    server.serve_forever()
