#!/usr/bin/env python3
"""Sends every message back that a test suite's server sends, case by case: the client's side of the conformance suite.

    echo_client.py ws[s]://HOST:PORT [--deflate] [--ca PEM] [--max-message BYTES] [--max-fragments N]
"""

import argparse
from typing import Any

import raddle
from raddle import ssl


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs all cases of the conformance suite that is served there.")
    parser.add_argument("server", metavar="ws[s]://HOST:PORT")
    parser.add_argument("--deflate", action="store_true", help="offer permessage-deflate")
    parser.add_argument("--ca", metavar="PEM", help="the roots that certificates lead to")
    parser.add_argument("--max-message", type=int, default=2**24, metavar="BYTES")
    parser.add_argument("--max-fragments", type=int, default=100_000, metavar="N")
    arguments = parser.parse_args()
    server = arguments.server.rstrip("/")

    def connect(target: str) -> Any:
        return raddle.connect(
            server + target,
            ssl=ssl.create_default_context(cafile=arguments.ca) if arguments.ca else None,
            # Everything is compressed, so that the suite sees it; one that floods us gets no Ping between its frames.
            compression=raddle.Deflate(threshold=1) if arguments.deflate else None,
            ping_interval=None,
            max_size=arguments.max_message,
            max_fragments=arguments.max_fragments,
        )

    with connect("/getCaseCount") as asked:
        count = int(asked.recv())
    for case in range(1, count + 1):
        with connect(f"/runCase?case={case}&agent=raddle-python") as websocket:
            try:
                for message in websocket:
                    websocket.send(message)
            except raddle.ConnectionClosed:
                # However the case ends: what has come of it is the suite's to judge.
                pass
    with connect("/updateReports?agent=raddle-python") as told:
        list(told)
    print(count, "cases")


if __name__ == "__main__":
    main()
