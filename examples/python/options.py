"""What the echo servers are told by their command lines."""

from __future__ import annotations

import argparse
from typing import Any, Dict

import raddle
from raddle import ssl


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Echoes every message.")
    parser.add_argument("host")
    parser.add_argument("port", type=int, help="0 picks one")
    parser.add_argument("--engine", help="there is one only, as for the other echo servers")
    parser.add_argument("--workers", type=int, help="as for the other echo servers")
    parser.add_argument("--deflate", action="store_true", help="agree on permessage-deflate")
    parser.add_argument("--max-message", type=int, default=2**20, metavar="BYTES")
    parser.add_argument("--max-fragments", type=int, metavar="N")
    parser.add_argument("--max-connections", type=int, metavar="N")
    parser.add_argument("--ping-interval", type=float, default=20, metavar="SECONDS", help="0: off")
    parser.add_argument("--tls-cert", metavar="PEM")
    parser.add_argument("--tls-key", metavar="PEM")
    return parser.parse_args()


def settings(arguments: argparse.Namespace) -> Dict[str, Any]:
    """The keyword arguments of `raddle.serve` and `raddle.Server`."""
    context = None
    if arguments.tls_cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.tls_cert, arguments.tls_key)
    return {
        "ssl": context,
        # Small messages too, for whoever tests it.
        "compression": raddle.Deflate(threshold=1) if arguments.deflate else None,
        "max_size": arguments.max_message,
        "max_fragments": arguments.max_fragments,
        "max_connections": arguments.max_connections,
        "ping_interval": arguments.ping_interval or None,
    }


def url(arguments: argparse.Namespace, port: int) -> str:
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    return f"{'wss' if arguments.tls_cert else 'ws'}://{host}:{port}"
