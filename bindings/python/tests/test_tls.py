"""TLS: certificates that are in order and others, and contexts of the standard library."""

from __future__ import annotations

import ssl as standard
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

import raddle
from raddle import ssl

from support import LIMIT, echo, serving


def certificate(directory: Path, name: str) -> Path:
    """A self-signed certificate and its key in one file, as the manuals of servers make them."""
    path = directory / f"{name}.pem"
    key, chain = directory / f"{name}.key", directory / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-addext",
         "basicConstraints=critical,CA:FALSE", "-keyout", str(key), "-out", str(chain)],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(key.read_text() + chain.read_text())
    return path


class Certificates(unittest.TestCase):
    def setUp(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.path = Path(self.directory.name)
        self.localhost = certificate(self.path, "localhost")
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.localhost)

    def url(self, url: str) -> str:
        return url.replace("127.0.0.1", "localhost")

    def test_that_are_in_order_let_messages_pass(self) -> None:
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.load_verify_locations(self.localhost)
        data = ssl.create_default_context(cadata=(self.path / "localhost.crt").read_text())
        with serving(ssl=self.server) as (url, _):
            for context in (client, data):
                with raddle.connect(self.url(url), ssl=context) as websocket:
                    for message in ("over TLS", b"x" * 300_000):
                        websocket.send(message)
                        self.assertEqual(websocket.recv(LIMIT), message)

    def test_that_are_not_are_refused(self) -> None:
        other = ssl.create_default_context(cafile=certificate(self.path, "example.com"))
        mine = ssl.create_default_context(cafile=self.localhost)
        with serving(ssl=self.server) as (url, _):
            for context, address, code in ((other, self.url(url), 18), (None, self.url(url), 18), (mine, url, 62)):
                with self.subTest(address), self.assertRaises(ssl.SSLCertVerificationError) as caught:
                    raddle.connect(address, ssl=context)
                self.assertRegex(str(caught.exception), "^the server's certificate is [^{]*$")
                # As the standard library has them: OpenSSL's number of what is wrong, and its words.
                self.assertEqual(caught.exception.verify_code, code)
                self.assertTrue(str(caught.exception).endswith(f" {caught.exception.verify_message}"))
            # What it says of itself is of the name that was asked for.
            raddle.connect(url, ssl=mine, server_hostname="localhost").close()
            anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            anything.check_hostname = False
            anything.verify_mode = ssl.CERT_NONE
            raddle.connect(url, ssl=anything).close()

    def test_of_clients_can_be_asked_for(self) -> None:
        known, unknown = certificate(self.path, "known"), certificate(self.path, "unknown")
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.server.load_verify_locations(known)
        with serving(ssl=self.server) as (url, _):
            for shown, welcome in ((known, True), (unknown, False), (None, False)):
                context = ssl.create_default_context(cafile=self.localhost)
                if shown is not None:
                    context.load_cert_chain(shown)
                with self.subTest(shown):
                    if welcome:
                        raddle.connect(self.url(url), ssl=context).close()
                    else:
                        # TLS 1.3 tells a client behind its own handshake.
                        with self.assertRaises((OSError, raddle.InvalidHandshake)):
                            raddle.connect(self.url(url), ssl=context)


class Contexts(unittest.TestCase):
    def test_of_the_standard_library_are_refused_in_words(self) -> None:
        context: Any = standard.create_default_context()
        for call in (lambda: raddle.connect("wss://localhost", ssl=context), lambda: raddle.serve(echo, "127.0.0.1", 0, ssl=context)):
            with self.assertRaisesRegex(TypeError, "raddle.ssl"):
                call()

    def test_are_of_one_side_and_know_their_settings(self) -> None:
        client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with self.assertRaisesRegex(ValueError, "side"):
            raddle.connect("wss://localhost", ssl=server)
        with self.assertRaisesRegex(ValueError, "side"):
            raddle.serve(echo, "127.0.0.1", 0, ssl=client)
        with self.assertRaisesRegex(ValueError, "certificate"):
            raddle.serve(echo, "127.0.0.1", 0, ssl=server)
        with self.assertRaisesRegex(ValueError, "wss|ws://"):
            raddle.connect("ws://localhost", ssl=client)
        with self.assertRaises(ValueError):
            client.verify_mode = ssl.CERT_NONE
        with self.assertRaises(AttributeError):
            client.minimum_version = 1
        with self.assertRaises(FileNotFoundError):
            client.load_verify_locations("/nowhere")
        with self.assertRaises(ValueError):
            server.load_cert_chain(__file__, password="secret")  # type: ignore[arg-type]
        client.check_hostname = False
        with self.assertRaisesRegex(ValueError, "check_hostname"):
            raddle.connect("wss://localhost", ssl=client)

    def test_whose_files_are_none_are_refused(self) -> None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(__file__)
        with self.assertRaises(ssl.SSLError):
            raddle.serve(echo, "127.0.0.1", 0, ssl=server)
        client = ssl.create_default_context(cafile=__file__)
        with self.assertRaises(ssl.SSLError):
            raddle.connect("wss://localhost", ssl=client)


if __name__ == "__main__":
    unittest.main()
