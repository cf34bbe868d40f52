"""websockets with asyncio, on uvloop."""

from contextlib import suppress

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def echo(connection: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)


async def main() -> None:
    options = {"backlog": 1024, "compression": None, "max_size": None, "ping_interval": None}
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        host, port = next(iter(server.sockets)).getsockname()
        print(f"listening on ws://{host}:{port}", flush=True)
        await server.serve_forever()


uvloop.run(main())
