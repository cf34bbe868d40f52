#!/usr/bin/env python3
"""Echoes every message: a coroutine for each connection, on asyncio's event loop.

    asyncio_echo.py HOST PORT [--deflate] [--max-message BYTES] [--tls-cert PEM --tls-key PEM] ...
"""

from __future__ import annotations

import asyncio
import signal

import options
from raddle import aio


async def echo(connection: aio.Connection) -> None:
    async for message in connection:
        await connection.send(message)


async def main() -> None:
    arguments = options.parse()
    settings = options.settings(arguments)
    async with aio.serve(echo, arguments.host, arguments.port, **settings) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.close)
        print("listening on", options.url(arguments, server.address[1]), flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
