"""Has raddle and other libraries exchange messages, in both directions, plain and over TLS, directly and through real
proxies.

Prints a line for each pair, ends with a line `N passed, N failed`, and exits with 0 if none has failed. Started by
`ci/interop`, which installs the peers.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = [sys.executable]
NODE = ["node"]
# Those that have permessage-deflate.
DEFLATING = ("websockets", "ws")
# Those that take a certificate from the command line here.
ENCRYPTED = ("websockets", "ws")
# Seconds, for whatever takes milliseconds.
PATIENCE = 60

# name, command of its client, command of its server
PEERS: list[tuple[str, list[str], list[str] | None]] = [
    ("websockets", [*PYTHON, "peers/python_websockets.py", "client"], [*PYTHON, "peers/python_websockets.py", "server"]),
    ("websocket-client", [*PYTHON, "peers/python_websocket_client.py", "client"], None),
    ("ws", [*NODE, "peers/node_ws.mjs", "client"], [*NODE, "peers/node_ws.mjs", "server"]),
]


class Results:
    """What has passed and what has failed."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def check(self, name: str, command: list[str], refused: str | None = None) -> None:
        """Runs a client, which has to succeed, or to fail with these words."""
        self._await(name, self._start(command), refused)

    def check_together(self, commands: list[tuple[str, list[str]]]) -> None:
        """Runs clients at the same time, each of which has to succeed."""
        started = [(name, self._start(command)) for name, command in commands]
        for name, process in started:
            self._await(name, process)

    @staticmethod
    def _start(command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def _await(self, name: str, process: subprocess.Popen[str], refused: str | None = None) -> None:
        code: int | None = None
        try:
            said, _ = process.communicate(timeout=PATIENCE)
            code = process.returncode
        except subprocess.TimeoutExpired as late:
            process.kill()
            said = f"not within {late.timeout} s\n{process.communicate()[0]}"
        passed = code == 0 if refused is None else code == 1 and refused in said
        self.passed += passed
        self.failed += not passed
        print(f"{'ok    ' if passed else 'FAILED'} {name}", flush=True)
        if not passed:
            print(f"    expected {refused or 'success'}, ended with {code}\n    {said.strip()[-2000:]}", flush=True)


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@contextmanager
def serving(command: list[str]) -> Iterator[str]:
    """A server that says where it listens."""
    with running(command) as process:
        assert process.stdout
        line = process.stdout.readline().strip()
        if not line.startswith("listening on "):
            sys.exit(f"{command}: it says {line!r}")
        yield line.removeprefix("listening on ")


@contextmanager
def proxying(command: list[str], port: int) -> Iterator[None]:
    """A proxy, once somebody listens at its port."""
    with running(command) as process:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{command}: nobody listens, it has ended with {process.returncode}")
                time.sleep(0.05)
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def both_directions(results: Results, interop: str, echo_server: list[str]) -> None:
    peers = [*PEERS, ("tungstenite", [interop, "tungstenite-client"], [interop, "tungstenite-server"])]
    with serving(echo_server) as url:
        results.check("raddle's client, raddle's server", [interop, "client", url])
        for name, client, _ in peers:
            results.check(f"{name}'s client, raddle's server", [*client, url])
    for name, _, server in peers:
        if server:
            with serving(server) as url:
                results.check(f"raddle's client, {name}'s server", [interop, "client", url])


def compressed(results: Results, interop: str, echo_server: list[str]) -> None:
    """With permessage-deflate, where the peer has it."""
    for engine in ("threads", "pool"):
        with serving([*echo_server, "--deflate", "--engine", engine]) as url:
            results.check(f"raddle's client, raddle's server ({engine}), deflate", [interop, "client", "--deflate", url])
            for name, client, _ in PEERS:
                if name in DEFLATING:
                    results.check(f"{name}'s client, raddle's server ({engine}), deflate", [*client, url, "--deflate"])
    for name, _, server in PEERS:
        if server and name in DEFLATING:
            with serving([*server, "--deflate"]) as url:
                results.check(f"raddle's client, {name}'s server, deflate", [interop, "client", "--deflate", url])


def published(results: Results, interop: str) -> None:
    """Subscribers of a server that sends to each and publishes to all in turn, compressed: each gets every message."""
    flags = {"deflate": ["--deflate"], "window of 9": ["--deflate", "--window", "9"]}
    flags |= {"no context": ["--deflate", "--no-takeover"], "plain": []}
    clients = [("raddle", [interop, "subscriber"])]
    clients += [(name, [*client[:-1], "subscriber"]) for name, client, _ in PEERS if name in DEFLATING]
    for engine in ("threads", "pool"):
        subscribers = [(name, client, kind) for name, client in clients for kind in flags]
        with serving([interop, "publisher", "--engine", engine, str(len(subscribers))]) as url:
            results.check_together(
                [
                    (f"{name}'s client, publications of raddle's server ({engine}), {kind}", [*client, url, *flags[kind]])
                    for name, client, kind in subscribers
                ]
            )


def encrypted(results: Results, interop: str, echo_server: list[str]) -> None:
    """Over TLS, with a certificate that is its own authority."""
    with tempfile.TemporaryDirectory() as directory:
        cert, key = str(Path(directory) / "cert.pem"), str(Path(directory) / "key.pem")
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run([*make, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
        for engine in ("threads", "pool"):
            with serving([*echo_server, "--engine", engine, "--tls-cert", cert, "--tls-key", key]) as url:
                ca = ["--ca", cert]
                results.check(f"raddle's client, raddle's server ({engine}), TLS", [interop, "client", *ca, url])
                for name, client, _ in PEERS:
                    if name in ENCRYPTED:
                        results.check(f"{name}'s client, raddle's server ({engine}), TLS", [*client, url, *ca])
                for version, protocol in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
                    connect = ["openssl", "s_client", "-connect", url.removeprefix("wss://"), "-CAfile", cert, version]
                    checks = ["-verify_return_error", "-alpn", "http/1.1", "-brief"]
                    command = ["sh", "-c", '"$@" < /dev/null 2>&1 | tee /dev/stderr | grep -q "$0"', f": {protocol}"]
                    results.check(f"openssl s_client {version}, raddle's server ({engine})", [*command, *connect, *checks])
                old = ["openssl", "s_client", "-connect", url.removeprefix("wss://"), "-tls1_1", "-cipher", "ALL@SECLEVEL=0"]
                results.check(f"openssl s_client -tls1_1, raddle's server ({engine})", old, "alert handshake failure")
        for name, _, server in PEERS:
            if server and name in ENCRYPTED:
                with serving([*server, "--cert", cert, "--key", key]) as url:
                    results.check(f"raddle's client, {name}'s server, TLS", [interop, "client", "--ca", cert, url])
                    unknown = [interop, "client", url]
                    results.check(f"raddle's client, {name}'s server, TLS, not trusted", unknown, "is self-signed")


def through_proxies(results: Results, interop: str, echo_server: list[str]) -> None:
    with serving(echo_server) as url, tempfile.TemporaryDirectory() as directory:
        # By name: the proxy has to look it up.
        named = url.replace("127.0.0.1", "localhost")

        def client(proxy: str, to: str = url) -> list[str]:
            return [interop, "client", "--proxy", proxy, to]

        for credentials in ("", "BasicAuth user pass-word\n"):
            port, file = free_port(), Path(directory) / "tinyproxy.conf"
            file.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\n{credentials}")
            with proxying(["tinyproxy", "-d", "-c", str(file)], port):
                if credentials:
                    results.check("tinyproxy, user and password", client(f"http://user:pass-word@127.0.0.1:{port}", named))
                    for wrong in ("", "user:wrong@", "other:pass-word@"):
                        refused = client(f"http://{wrong}127.0.0.1:{port}")
                        status = "401" if wrong else "407"
                        results.check(f"tinyproxy, {wrong or 'nobody'}", refused, f"answered with status {status}")
                else:
                    results.check("tinyproxy, an address", client(f"http://127.0.0.1:{port}"))
                    results.check("tinyproxy, a name", client(f"http://127.0.0.1:{port}", named))
                    nobody = client(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{free_port()}/")
                    results.check("tinyproxy, nobody listens", nobody, "the proxy has answered with status 50")

        for credentials in ([], ["-u", "user", "-P", "password"]):
            port = free_port()
            with proxying(["microsocks", "-i", "127.0.0.1", "-p", str(port), *credentials], port):
                if credentials:
                    results.check("microsocks, user and password", client(f"socks5://user:password@127.0.0.1:{port}", named))
                    wrong = client(f"socks5://user:wrong@127.0.0.1:{port}")
                    results.check("microsocks, a wrong password", wrong, "refused user and password")
                    results.check("microsocks, nobody", client(f"socks5://127.0.0.1:{port}"), "in a way that was not offered")
                else:
                    results.check("microsocks, an address", client(f"socks5://127.0.0.1:{port}"))
                    results.check("microsocks, a name", client(f"socks5h://127.0.0.1:{port}", named))
                    results.check("microsocks, a name, as socks5", client(f"socks5://127.0.0.1:{port}", named))
                    nobody = client(f"socks5://127.0.0.1:{port}", f"ws://127.0.0.1:{free_port()}/")
                    results.check("microsocks, nobody listens", nobody, "the proxy does not connect")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interop", help="the program of this folder")
    parser.add_argument("echo_server", help="the example")
    arguments = parser.parse_args()
    echo_server = [arguments.echo_server, "--listen", "127.0.0.1:0", "--max-message", str(16 << 20)]
    results = Results()
    both_directions(results, arguments.interop, echo_server)
    compressed(results, arguments.interop, echo_server)
    published(results, arguments.interop)
    encrypted(results, arguments.interop, echo_server)
    through_proxies(results, arguments.interop, echo_server)
    print(f"{results.passed} passed, {results.failed} failed")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
