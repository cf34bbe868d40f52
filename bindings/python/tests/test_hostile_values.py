"""Arguments and messages that are not in order, on the fast face; and many of all."""

from __future__ import annotations

import array
import gc
import resource
import threading
import tracemalloc
import unittest
from pathlib import Path
from typing import Any

from plain import Plain
from programs import LIMIT, run, scaled
from support import serving

import raddle
from raddle import _native

NAN, INFINITE = float("nan"), float("inf")


class Values(unittest.TestCase):
    def setUp(self) -> None:
        self.server = raddle.Server("127.0.0.1", 0)
        self.client = Plain(self.server.address)
        ((self.connection, _),) = self.server.poll(10)

    def tearDown(self) -> None:
        self.client.stream.close()
        self.server.close()

    def test_messages_of_every_type_are_sent_as_they_are_or_not_at_all(self) -> None:
        # Hostile input 324.
        class Text(str):
            def encode(self, *_: Any) -> bytes:
                return b"\xff"

        send_any: Any = self.connection.send
        released = memoryview(b"x")
        released.release()
        numbers = array.array("I", [1, 2])

        class Bytes(bytes):
            def __len__(self) -> int:
                return 100

            def __bytes__(self) -> bytes:
                return b"other"

        for message, expected in (
            ("é", "é"),
            (Text("text"), "text"),
            (b"\x00", b"\x00"),
            (Bytes(b"as it is"), b"as it is"),
            (bytearray(b"ab"), b"ab"),
            (memoryview(b"abcdef")[::2], b"ace"),
            (memoryview(numbers), numbers.tobytes()),
            (None, TypeError),
            (7, TypeError),
            (numbers, TypeError),
            (["x"], TypeError),
            ("\ud800", UnicodeEncodeError),
            (released, ValueError),
        ):
            with self.subTest(repr(message)):
                sends: list[Any] = [send_any, self.server.broadcast, lambda it: self.server.publish("none", it)]
                for send in sends:
                    if isinstance(expected, type):
                        with self.assertRaises(expected):
                            send(message)
                if not isinstance(expected, type):
                    send_any(message)
                    self.server.flush()
                    self.assertEqual(self.client.message(), expected)
        self.connection.send("last")
        self.server.flush()
        self.assertEqual(self.client.message(), "last")

    def test_a_message_is_one_state_of_a_bytearray_that_others_change(self) -> None:
        # Hostile input 325.
        shared, stop = bytearray(b"a" * 1000), threading.Event()

        def change() -> None:
            while not stop.is_set():
                for letter in b"ab":
                    shared[:] = bytes([letter]) * (1000 + letter)

        changing = threading.Thread(target=change)
        changing.start()
        try:
            for _ in range(200):
                self.connection.send(shared)
                self.server.flush()
                got = self.client.message()
                self.assertEqual(len(set(got)), 1)
                self.assertIn(len(got), (1000, 1097, 1098))
        finally:
            stop.set()
            changing.join()

    def test_every_parameter_refuses_what_it_cannot_be(self) -> None:
        # Hostile input 328.
        connection, server = self.connection, self.server
        for call, values, name in (
            (server.poll, ["1", NAN, INFINITE, 1e30, 10**400, True, []], "timeout"),
            (server.shutdown, ["1", NAN, INFINITE, True], "grace"),
            (connection.close, [999, 5000, 1005, -1, 2**70, "1000", 1000.0, True, None], "code|close"),
            (lambda it: connection.close(1000, it), [None, 3, b"x", "\0", "\ud800", "x" * 124], "reason|surrogates"),
            (connection.subscribe, [None, 3, b"x", "\0", "", "\ud800"], "topic|surrogates"),
            (connection.unsubscribe, [None, 3, b"x", "\0", ""], "topic"),
            (server.subscribers, [None, 3, b"x", "\0", ""], "topic"),
            (server.connections_of, [None, 3, b"x", "\0"], "identity"),
            (lambda it: server.publish(it, "x"), [None, 3, b"x", "\0", ""], "topic"),
            (lambda it: server.broadcast("x", but=it), [3, "x", server], "but"),
            *(
                (lambda it, name=name: raddle.Server("127.0.0.1", 0, **{name: it}), wrong, name)
                for name, wrong in (
                    ("on_open", [3]), ("on_message", ["f"]), ("on_drain", [3]), ("on_close", [3]), ("on_unsent", [3]),
                    ("on_request", [3]), ("identities", [3, (1,), (0, "refuse"), (1, "other"), ("1", "refuse")]),
                    ("outgoing_limit", [-1, 1.5, "1", True]), ("max_connections", [0, -1, 1.5, True]),
                    ("max_size", [0, -1, "1", 1.5, True]), ("ping_interval", [-1, NAN, INFINITE, "1", True]),
                    ("open_timeout", [0, -1, NAN, "1"]), ("close_timeout", [0, NAN]), ("origins", [3, "https://x"]),
                    ("when_full", [None, "wait", 3, []]), ("message_timeout", [0, NAN, "1"]), ("write_timeout", [0, NAN]),
                    ("min_rate", [0, None, 1.5, True]), ("max_buffered", [0, 65535, 1.5, True]),
                    ("max_topics", [-1, 1.5, "1", True]),
                    ("subprotocols", ["chat", [3]]), ("compression", ["gzip", 3]), ("ssl", [3]), ("nonsense", [1]),
                )
            ),
            (lambda it: raddle.Server(it, 0), [3, b"x", "\0"], "host"),
            (lambda it: raddle.Server("127.0.0.1", it), [-1, 65536, "1", 1.5, True], "port"),
            (lambda it: raddle.reconnect("ws://127.0.0.1:1/", first_wait=it), [-1, 0, NAN, "1"], "first_wait"),
            (lambda it: raddle.reconnect("ws://127.0.0.1:1/").next(it), ["1", NAN, INFINITE, True], "timeout"),
            (raddle.reconnect, [3, None, b"ws://x/"], "uri"),
        ):  # fmt: skip
            for value in values:  # type: ignore[attr-defined]
                with self.subTest(f"{name}: {value!r}"):
                    with self.assertRaisesRegex((TypeError, ValueError), name):
                        call(value)  # type: ignore[operator]
        # Nothing of that was sent, or has changed anything.
        connection.send("last")
        server.flush()
        self.assertEqual(self.client.message(), "last")


HUGE = """
import ctypes, mmap, threading
import raddle
from raddle._text import bytes_at

size = 2**31 + 1
# Pages of zeros, which take no memory while nobody writes to them.
message = bytes(size)

def serve(websocket):
    websocket.send(message)
    for received in websocket:
        websocket.send(str(len(received)))

options = {"max_size": None, "compression": None}
with raddle.serve(serve, "127.0.0.1", 0, **options) as server:
    threading.Thread(target=server.serve_forever).start()
    with raddle.connect("ws://127.0.0.1:%d/" % server.socket.getsockname()[1], **options) as websocket:
        received = websocket.recv()
        assert (len(received), received.count(0)) == (size, size), len(received)
        del received
        websocket.send("after it")
        assert websocket.recv() == "8"

lent = mmap.mmap(-1, size)
lent[-1] = 7
copy = bytes_at(ctypes.addressof(ctypes.c_char.from_buffer(lent)), size)
assert (len(copy), copy[-1]) == (size, 7)
print("done")
"""


class Huge(unittest.TestCase):
    def test_messages_of_more_than_2_gib_come_whole(self) -> None:
        # Hostile input 324.
        memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        available = int(memory["MemAvailable"].split()[0])
        self.assertGreater(available, 5 << 20, "this test takes 4 GiB of memory; the machine has so many KiB")
        done = run(HUGE, limit=4 * LIMIT)
        self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done.stderr)


def resident() -> int:
    """The memory of this process that is there, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Many(unittest.TestCase):
    def test_rounds_of_connecting_leave_nothing_behind(self) -> None:
        # Hostile input 332.
        def rounds(count: int) -> None:
            for _ in range(count):
                with raddle.connect(url, compression=None) as websocket:
                    websocket.send("x")
                    websocket.recv()

        with serving() as (url, _):
            rounds(100)
            gc.collect()
            before = _native.abi.raddle_conn_count()
            resident_before = resident()
            tracemalloc.start()
            try:
                rounds(20)
                first, _ = tracemalloc.get_traced_memory()
                rounds(scaled(300))
                gc.collect()
                last, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            self.assertLess(last - first, 64 * 1024)
            # What is not Python's too: the server and the client are here.
            grown = resident() - resident_before
            self.assertLess(grown, 8 << 20)
            # Handlers of the last rounds may be on their way out.
            self.assertLess(abs(_native.abi.raddle_conn_count() - before), 4)

    def test_messages_of_sixteen_threads_on_as_many_connections_come_back_in_order(self) -> None:
        each = scaled(300)

        def talk(number: int) -> None:
            with raddle.connect(f"ws://127.0.0.1:{server.address[1]}/", compression=None) as websocket:
                for start in range(0, each, 50):
                    sent = [f"{number} {place}" for place in range(start, min(each, start + 50))]
                    for message in sent:
                        websocket.send(message)
                    if [websocket.recv(timeout=30) for _ in sent] != sent:
                        wrong.append(number)
            done.append(number)

        wrong: list[int] = []
        done: list[int] = []
        with raddle.Server("127.0.0.1", 0, on_message=raddle.fast.Connection.send) as server:
            serving_thread = threading.Thread(target=server.serve_forever)
            serving_thread.start()
            threads = [threading.Thread(target=talk, args=(number,)) for number in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            server.shutdown(1)
            serving_thread.join()
        self.assertEqual((wrong, sorted(done)), ([], list(range(16))))

    def test_functions_run_on_the_threads_of_the_program(self) -> None:
        # Hostile input 334: their thread-local values are there.
        local = threading.local()
        local.name = "here"
        seen: list[Any] = []

        def on_message(connection: raddle.fast.Connection, message: Any) -> None:
            seen.append((local.name, threading.get_ident()))
            server.shutdown(0)

        with raddle.Server("127.0.0.1", 0, on_message=on_message) as server, Plain(server.address) as client:
            client.send("x")
            server.serve_forever()
        self.assertEqual(seen, [("here", threading.get_ident())])


if __name__ == "__main__":
    unittest.main()
