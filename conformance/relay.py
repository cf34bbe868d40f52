"""Stands between the driver, which speaks plain TCP only, and a WebSocket server or client that speaks TLS.

    relay.py server wss://127.0.0.1:9001 --certificate chain.pem             before a server
    relay.py client ws://127.0.0.1:9002 --certificate chain.pem --key key.pem    before a client, which comes here

Says in one line where it listens. What comes is carried on as it is; an end of one side is the end of the other, behind all
that came before it. It goes on until it is told to stop.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
from urllib.parse import urlsplit

# Bytes at a time.
CHUNK = 64 * 1024
BROKEN = (OSError, ssl.SSLError)


async def main() -> None:
    arguments = parse_arguments()
    target = urlsplit(arguments.url)
    inside = outside = None
    if arguments.role == "server":
        outside = ssl.create_default_context(cafile=arguments.certificate)
    else:
        inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        inside.load_cert_chain(arguments.certificate, arguments.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward = await asyncio.open_connection(target.hostname, target.port, ssl=outside)
        except BROKEN as error:
            print(f"no connection to {arguments.url}: {error}", flush=True)
            return writer.transport.abort()
        await asyncio.gather(carry(reader, onward[1]), carry(onward[0], writer))
        for each in (writer, onward[1]):
            each.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=inside)
    scheme = "ws" if inside is None else "wss"
    print(f"listening on {scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await listening.serve_forever()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carries what comes from `reader` on, and its end behind that."""
    try:
        while received := await reader.read(CHUNK):
            writer.write(received)
            await writer.drain()
        # With TLS, nothing can be received behind the end of what is sent.
        if writer.can_write_eof():
            return writer.write_eof()
    except BROKEN:
        # The other direction has ended both, or one side has gone.
        pass
    writer.close()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Carries plain connections over TLS.")
    parser.add_argument("role", choices=("server", "client"), help="who speaks TLS")
    parser.add_argument("url", help="where connections lead")
    parser.add_argument("--certificate", required=True, metavar="PEM", help="the server's, or the relay's own")
    parser.add_argument("--key", metavar="PEM", help="of the relay's own certificate")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
