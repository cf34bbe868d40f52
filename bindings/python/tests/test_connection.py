"""Messages, Pings and the end of a connection, from both sides."""

from __future__ import annotations

import array
import signal
import threading
import time
import unittest
import uuid
from typing import Any, List
from unittest import mock

import raddle
from raddle import _sending, _taking
from raddle.frames import Close

from plain import accepted
from programs import run
from support import LIMIT, echo, eventually, serving


CLOSED_BY_A_SIGNAL = """
import os, signal, sys, threading, time
import raddle
websocket = raddle.connect(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: websocket.close())
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
try:
    RECEIVE
except raddle.ConnectionClosedOK:
    pass
assert websocket.state is raddle.State.CLOSED
print("ended")
"""


# The peer takes its time to answer the Close, and another thread waits for the end.
CLOSED_SLOWLY = """
import os, signal, socket, threading, time
import raddle
from plain import accepted

def peer(listener):
    stream = accepted(listener)
    stream.recv(4096)
    time.sleep(0.5)
    stream.sendall(b"\\x88\\x02\\x03\\xe8")
    stream.close()

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=peer, args=(listener,)).start()
websocket = raddle.connect("ws://127.0.0.1:%d/" % listener.getsockname()[1])
signal.signal(signal.SIGTERM, lambda *_: websocket.close())
threading.Thread(target=websocket.wait_closed, daemon=True).start()
# While recv waits until that thread lets it receive.
threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGTERM)).start()
try:
    websocket.recv()
except raddle.ConnectionClosedOK:
    print("ended")
"""


def is_held(lock: Any) -> bool:
    """Whether another thread has a lock."""
    if lock.acquire(False):
        lock.release()
        return False
    return True


class Messages(unittest.TestCase):
    def test_come_as_they_were_sent(self) -> None:
        with serving() as (url, _), raddle.connect(url) as websocket:
            for message in ("", "Hé", b"", b"\x00\xff", "x" * 70_000, b"y" * 1_000_000):
                websocket.send(message)
                self.assertEqual(websocket.recv(LIMIT), message)

    def test_are_bytes_of_any_kind(self) -> None:
        # Hostile input 324.
        memory = memoryview(b"abcdef")
        typed = memoryview(array.array("H", [1, 2]))
        with serving() as (url, _), raddle.connect(url) as websocket:
            for message in (bytearray(b"abc"), memory, memory[::2], typed):
                websocket.send(message)
                self.assertEqual(websocket.recv(LIMIT), bytes(message))

    def test_of_other_types_are_refused_and_nothing_is_sent(self) -> None:
        # Hostile input 324.
        class Text(str):
            def encode(self, *_: Any) -> bytes:
                raise AssertionError("it is sent as what it is")

        released = memoryview(b"abc")
        released.release()
        with serving() as (url, _), raddle.connect(url) as websocket:
            for wrong in (None, 1, 1.5, {"a": 1}, object(), [1]):
                with self.assertRaisesRegex(TypeError, "message"):
                    websocket.send(wrong)
            for wrong in ("\ud800", released):
                with self.assertRaises(ValueError):
                    websocket.send(wrong)
            with self.assertRaises(ValueError):
                websocket.send(b"\xff", text=True)
            websocket.send(Text("still"))
            self.assertEqual(websocket.recv(LIMIT), "still")

    def test_are_text_or_binary_as_asked_for(self) -> None:
        with serving() as (url, _), raddle.connect(url) as websocket:
            websocket.send(b"text", text=True)
            self.assertEqual(websocket.recv(LIMIT), "text")
            websocket.send("binary", text=False)
            self.assertEqual(websocket.recv(LIMIT), b"binary")
            websocket.send("both")
            self.assertEqual(websocket.recv(LIMIT, decode=False), b"both")
            websocket.send(b"both")
            self.assertEqual(websocket.recv(LIMIT, decode=True), "both")
            websocket.send(b"\xff")
            with self.assertRaises(UnicodeDecodeError):
                websocket.recv(LIMIT, decode=True)

    def test_that_come_together_are_received_one_by_one_in_order(self) -> None:
        def flood(websocket: raddle.ServerConnection) -> None:
            for number in range(5000):
                websocket.send(str(number) * (number % 50))
            websocket.recv()

        with serving(flood) as (url, _), raddle.connect(url) as websocket:
            for number in range(5000):
                self.assertEqual(websocket.recv(LIMIT), str(number) * (number % 50))
            websocket.send("done")

    def test_come_as_they_were_sent_to_other_interpreters_as_well(self) -> None:
        # What receives where there are no functions of CPython.
        receive = mock.patch("raddle.connection.take", _taking._lend_and_copy)
        with receive, serving() as (url, _), raddle.connect(url) as websocket:
            for message in ("", "Hé", b"\x00\xff", "x" * 70_000):
                websocket.send(message)
                self.assertEqual(websocket.recv(), message)
            with self.assertRaises(TimeoutError):
                websocket.recv(0.01)
            websocket.close()
            with self.assertRaises(raddle.ConnectionClosedOK):
                websocket.recv()

    def test_in_fragments_are_one_message(self) -> None:
        with serving() as (url, _), raddle.connect(url) as websocket:
            websocket.send(["Hé", "", "llo"])
            self.assertEqual(websocket.recv(LIMIT), "Héllo")
            websocket.send(iter([b"a", bytearray(b"b"), memoryview(b"c")]))
            self.assertEqual(websocket.recv(LIMIT), b"abc")
            websocket.send([])
            websocket.send("next")
            self.assertEqual(websocket.recv(LIMIT), "next")

    def test_in_fragments_that_go_wrong_end_the_connection(self) -> None:
        def fragments() -> Any:
            yield "a"
            raise KeyError("b")

        ends: List[raddle.ConnectionClosed] = []

        def handler(websocket: raddle.ServerConnection) -> None:
            try:
                websocket.recv()
            except raddle.ConnectionClosed as closed:
                ends.append(closed)

        for wrong, error in ((fragments(), KeyError), (["a", b"b"], TypeError)):
            with serving(handler) as (url, _), raddle.connect(url) as websocket, self.assertRaises(error):
                websocket.send(wrong)
        self.assertEqual([end.rcvd for end in ends], [Close(1011, "error in fragmented message")] * 2)

    def test_in_fragments_of_several_threads_do_not_mix(self) -> None:
        def fragments(name: str) -> Any:
            for _ in range(20):
                yield name
                time.sleep(0.001)

        with serving() as (url, _), raddle.connect(url, compression=None) as websocket:
            threads = [threading.Thread(target=websocket.send, args=(fragments(name),)) for name in "abcd"]
            for thread in threads:
                thread.start()
            got = [str(websocket.recv(LIMIT)) for _ in threads]
            self.assertEqual(sorted(got), [name * 20 for name in "abcd"])
            for thread in threads:
                thread.join(LIMIT)

    def test_in_fragments_whose_iterable_sends_by_itself_end_the_connection(self) -> None:
        for what in ("whole", ["a", "b"]):
            with serving() as (url, _), raddle.connect(url) as websocket:
                def fragments() -> Any:
                    yield "first"
                    websocket.send(what)

                with self.assertRaises(raddle.ConcurrencyError):
                    websocket.send(fragments())
                # Nobody waits for the rest of it.
                with self.assertRaises(raddle.ConnectionClosedError) as caught:
                    websocket.recv(LIMIT)
                self.assertEqual(caught.exception.sent, Close(1011, "error in fragmented message"))

    def test_in_fragments_that_a_signal_handler_interrupts_end_the_connection(self) -> None:
        class Alarm(Exception):
            pass

        def alarm(*_: Any) -> None:
            raise Alarm

        def send(*arguments: Any) -> int:
            status = sent(*arguments)
            signal.raise_signal(signal.SIGUSR1)
            return status

        before, sent = signal.signal(signal.SIGUSR1, alarm), _sending._send
        try:
            with mock.patch.object(_sending, "_send", send), serving() as (url, _), raddle.connect(url) as websocket:
                with self.assertRaises(Alarm):
                    websocket.send([b"first", b"last"])
                with self.assertRaises(raddle.ConnectionClosedError) as caught:
                    websocket.recv(LIMIT)
                self.assertEqual(caught.exception.sent, Close(1011, "error in fragmented message"))
        finally:
            signal.signal(signal.SIGUSR1, before)

    def test_in_fragments_that_a_close_tears_end_with_1011(self) -> None:
        with serving() as (url, _), raddle.connect(url) as websocket:
            def fragments() -> Any:
                yield "first"
                closing = threading.Thread(target=websocket.close)
                closing.start()
                closing.join(LIMIT)
                yield "last"

            with self.assertRaises(raddle.ConnectionClosedError) as caught:
                websocket.send(fragments())
            self.assertEqual(caught.exception.sent, Close(1011, "close during fragmented message"))

    def test_in_parts_are_text_or_bytes_as_asked_for(self) -> None:
        def send(websocket: raddle.ServerConnection) -> None:
            websocket.send([b"\xc3", b"\xa9", b"t\xc3\xa9"])
            websocket.send(["\u00e9"])
            websocket.send(["\u00e9"])
            websocket.send([b"\xc3"])
            websocket.recv()

        with serving(send) as (url, _), raddle.connect(url, compression=None) as websocket:
            self.assertEqual("".join(websocket.recv_streaming(decode=True)), "\u00e9t\u00e9")
            self.assertEqual(b"".join(websocket.recv_streaming(decode=False)), b"\xc3\xa9")
            self.assertEqual("".join(websocket.recv_streaming()), "\u00e9")
            with self.assertRaises(UnicodeDecodeError):
                list(websocket.recv_streaming(decode=True))
            websocket.send("done")

    def test_in_parts_that_nobody_asks_for_any_more_do_not_keep_a_connection_from_its_end(self) -> None:
        more = threading.Event()

        def send(websocket: raddle.ServerConnection) -> None:
            def fragments() -> Any:
                yield "first"
                more.wait(LIMIT)
                yield "second"

            websocket.send(fragments())

        def read(websocket: raddle.ClientConnection, parts: List[Any]) -> None:
            parts.append(websocket.recv_streaming())
            parts.append(next(parts[0]))
            raise KeyError("amid it")

        with serving(send) as (url, _):
            for _ in range(2):
                more.clear()
                parts: List[Any] = []
                with self.assertRaises(KeyError), raddle.connect(url, compression=None) as websocket:
                    read(websocket, parts)
                more.set()
                self.assertEqual((parts[1], websocket.state), ("first", raddle.State.CLOSED))
                with self.assertRaises(raddle.ConnectionClosed):
                    next(parts[0])

    def test_in_parts_are_for_one_who_asks(self) -> None:
        def send(websocket: raddle.ServerConnection) -> None:
            websocket.send(["a", "b"])
            websocket.send("c")
            websocket.recv()

        with serving(send) as (url, _), raddle.connect(url, compression=None) as websocket:
            parts = websocket.recv_streaming()
            self.assertEqual(next(parts), "a")
            for call in (websocket.recv, lambda: next(websocket.recv_streaming())):
                with self.assertRaises(raddle.ConcurrencyError):
                    call()
            self.assertEqual("".join(parts), "b")
            # Whoever leaves it has the rest passed over.
            self.assertEqual(websocket.recv(LIMIT), "c")
            websocket.send("done")

    def test_are_received_in_parts(self) -> None:
        def send(websocket: raddle.ServerConnection) -> None:
            websocket.send(["ab", "cd"])
            websocket.send(b"whole")
            websocket.recv()

        with serving(send) as (url, _), raddle.connect(url, compression=None) as websocket:
            self.assertEqual("".join(websocket.recv_streaming()), "abcd")
            self.assertEqual(b"".join(websocket.recv_streaming()), b"whole")
            websocket.send("done")

    def test_of_sixteen_threads_are_neither_lost_nor_mixed(self) -> None:
        with serving() as (url, _), raddle.connect(url) as websocket:
            def send(who: int) -> None:
                for number in range(200):
                    websocket.send(f"{who} {number}")

            threads = [threading.Thread(target=send, args=(who,)) for who in range(16)]
            for thread in threads:
                thread.start()
            seen: List[List[int]] = [[] for _ in threads]
            for _ in range(16 * 200):
                who, number = str(websocket.recv(LIMIT)).split()
                seen[int(who)].append(int(number))
            self.assertEqual(seen, [list(range(200))] * 16)
            for thread in threads:
                thread.join(LIMIT)


class Receiving(unittest.TestCase):
    def test_ends_when_its_time_is_up_and_loses_nothing(self) -> None:
        with serving() as (url, _), raddle.connect(url) as websocket:
            for timeout in (0, 0.02, -1):
                with self.assertRaises(TimeoutError):
                    websocket.recv(timeout)
            websocket.send("late")
            self.assertEqual(websocket.recv(LIMIT), "late")

    def test_refuses_what_is_no_time(self) -> None:
        # Hostile input 328.
        with serving() as (url, _), raddle.connect(url) as websocket:
            wrong: Any
            for wrong in ("1", True, [1]):
                with self.assertRaisesRegex(TypeError, "timeout"):
                    websocket.recv(wrong)
            for wrong in (float("nan"), float("inf"), 1e300):
                with self.assertRaisesRegex(ValueError, "timeout"):
                    websocket.recv(wrong)

    def test_is_for_one_thread_at_a_time(self) -> None:
        with serving() as (url, _), raddle.connect(url) as websocket:
            thread = threading.Thread(target=lambda: websocket.recv(LIMIT))
            thread.start()
            eventually("the other thread receives", lambda: is_held(websocket._receiving))
            with self.assertRaises(raddle.ConcurrencyError):
                websocket.recv()
            with self.assertRaises(raddle.ConcurrencyError):
                next(websocket.recv_streaming())
            websocket.send("for the other")
            thread.join(LIMIT)
            self.assertFalse(thread.is_alive())


class Pings(unittest.TestCase):
    def test_are_answered_and_measured(self) -> None:
        with serving() as (url, _), raddle.connect(url) as websocket:
            ping = websocket.ping()
            self.assertTrue(ping.wait(LIMIT) and ping.is_set())
            self.assertGreater(ping.latency or 0, 0)
            self.assertTrue(websocket.ping(b"mine").wait(LIMIT))
            websocket.pong("unasked")
            for data in (b"x" * 126, "é" * 63):
                with self.assertRaises(raddle.ProtocolError):
                    websocket.ping(data)
                with self.assertRaises(raddle.ProtocolError):
                    websocket.pong(data)
            with self.assertRaisesRegex(TypeError, "data"):
                websocket.ping(1)

    def test_that_are_not_answered_time_out_or_end_with_the_connection(self) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as listener, Silent(listener) as port:
            websocket = raddle.connect(f"ws://127.0.0.1:{port}", close_timeout=0.1, proxy=None)
            ping, acknowledged = websocket.ping(), websocket.ping(ack_on_close=True)
            self.assertFalse(ping.wait(0.02) or ping.is_set() or acknowledged.is_set())
            websocket.close()
            self.assertFalse(ping.wait(LIMIT))
            self.assertTrue(acknowledged.wait(LIMIT))


class Closing(unittest.TestCase):
    def test_is_told_to_both_sides(self) -> None:
        ends: List[raddle.ConnectionClosed] = []

        def handler(websocket: raddle.ServerConnection) -> None:
            try:
                websocket.recv()
            except raddle.ConnectionClosed as closed:
                ends.append(closed)

        with serving(handler) as (url, _):
            websocket = raddle.connect(url)
            self.assertIsNone(websocket.close_code)
            websocket.close(4000, "enough")
            self.assertEqual((websocket.close_code, websocket.close_reason), (4000, ""))
        (end,) = ends
        self.assertIsInstance(end, raddle.ConnectionClosedError)
        self.assertEqual((end.rcvd, end.rcvd_then_sent), (Close(4000, "enough"), True))
        self.assertEqual(str(end), "received 4000 (private use) enough; then sent 4000 (private use)")

    def test_twice_does_nothing_and_every_call_after_it_says_so(self) -> None:
        # Hostile input 323.
        with serving() as (url, _):
            with raddle.connect(url) as websocket:
                pass
            websocket.close()
            calls = [
                websocket.recv, lambda: websocket.recv(0), lambda: websocket.send("late"), websocket.ping, websocket.pong,
                lambda: next(websocket.recv_streaming()), lambda: websocket.send(["a", "b"]),
            ]  # fmt: skip
            for call in calls:
                with self.assertRaises(raddle.ConnectionClosedOK) as caught:
                    call()
                self.assertEqual(str(caught.exception), "sent 1000 (OK); then received 1000 (OK)")
            self.assertEqual(list(websocket), [])
            self.assertEqual((websocket.close_code, websocket.state), (1000, raddle.State.CLOSED))
            self.assertTrue(websocket.wait_closed(0))
            self.assertGreaterEqual(websocket.latency, 0)

    def test_refuses_what_may_not_be_sent(self) -> None:
        with serving() as (url, _), raddle.connect(url) as websocket:
            for code in (999, 1005, 1006, 5000):
                with self.assertRaises(raddle.ProtocolError):
                    websocket.close(code)
            with self.assertRaises(raddle.ProtocolError):
                websocket.close(1000, "x" * 124)
            for wrong in ("1000", True, None):
                with self.assertRaisesRegex(TypeError, "code"):
                    websocket.close(wrong)
            with self.assertRaisesRegex(TypeError, "reason"):
                websocket.close(1000, b"bytes")
            websocket.send("still open")
            self.assertEqual(websocket.recv(LIMIT), "still open")

    def test_from_another_thread_ends_a_loop_of_messages(self) -> None:
        with serving() as (url, _):
            websocket = raddle.connect(url)
            seen: List[Any] = []
            thread = threading.Thread(target=lambda: seen.extend(websocket))
            thread.start()
            websocket.send("one")
            eventually("it was received", lambda: seen == ["one"])
            websocket.close()
            thread.join(LIMIT)
            self.assertFalse(thread.is_alive())

    def test_leaves_messages_that_come_meanwhile_to_who_receives(self) -> None:
        def handler(websocket: raddle.ServerConnection) -> None:
            for message in websocket:
                for number in range(5):
                    websocket.send(f"{message!s} {number}")

        with serving(handler) as (url, _):
            for _ in range(50):
                websocket = raddle.connect(url)
                seen: List[Any] = []
                thread = threading.Thread(target=lambda: seen.extend(websocket))
                websocket.send("one")
                websocket.send("two")
                thread.start()
                websocket.close()
                thread.join(LIMIT)
                expected = [f"{message} {number}" for message in ("one", "two") for number in range(5)]
                self.assertEqual(seen, expected)
            # And to who comes afterwards.
            websocket = raddle.connect(url)
            websocket.send("late")
            websocket.close()
            self.assertEqual(list(websocket), [f"late {number}" for number in range(5)])

    def test_that_is_waited_for_loses_no_message_of_an_open_connection(self) -> None:
        def flood(websocket: raddle.ServerConnection) -> None:
            for number in range(5000):
                websocket.send(str(number))
            websocket.recv()

        with serving(flood) as (url, _), raddle.connect(url) as websocket:
            waiting = threading.Thread(target=websocket.wait_closed)
            waiting.start()
            self.assertEqual(websocket.recv(LIMIT), "0")
            eventually("as much as is kept was read ahead", lambda: len(websocket._inbox) >= 1000)
            time.sleep(0.2)
            self.assertEqual([websocket.recv(LIMIT) for _ in range(4999)], [str(number) for number in range(1, 5000)])
            with self.assertRaises(TimeoutError):
                websocket.recv(0.2)
            websocket.send("done")
            waiting.join(LIMIT)
            self.assertFalse(waiting.is_alive())
            # Nobody waits any more.
            self.assertEqual(websocket._awaiting, set())

    def test_by_a_signal_handler_ends_what_it_interrupts(self) -> None:
        for receive in ("websocket.recv()", "list(websocket)", "list(websocket.recv_streaming())", "websocket.wait_closed()"):
            with self.subTest(receive), serving() as (url, _):
                done = run(CLOSED_BY_A_SIGNAL.replace("RECEIVE", receive), url)
                self.assertEqual((done.returncode, done.stdout), (0, "ended\n"), done.stderr)

    def test_by_a_signal_handler_comes_while_another_thread_waits_for_it(self) -> None:
        for _ in range(3):
            done = run(CLOSED_SLOWLY)
            self.assertEqual((done.returncode, done.stdout), (0, "ended\n"), done.stderr)

    def test_without_a_close_is_an_error(self) -> None:
        def leave(websocket: raddle.ServerConnection) -> None:
            import raddle._native as native

            native.abi.raddle_cut(websocket._conn)

        with serving(leave) as (url, _):
            websocket = raddle.connect(url)
            with self.assertRaises(raddle.ConnectionClosedError) as caught:
                websocket.recv(LIMIT)
            self.assertEqual((caught.exception.rcvd, caught.exception.code), (None, 1006))
            self.assertTrue(str(caught.exception).startswith("no close frame received"))

    def test_lets_messages_before_it_be_received(self) -> None:
        def send(websocket: raddle.ServerConnection) -> None:
            for number in range(10):
                websocket.send(str(number))

        with serving(send) as (url, _):
            websocket = raddle.connect(url)
            self.assertEqual(websocket.recv(LIMIT), "0")
            # Nothing can be sent any more once the end is there; what came before it is not lost.
            eventually("it was closed", lambda: fails(lambda: websocket.send("late")))
            self.assertEqual(list(websocket), [str(number) for number in range(1, 10)])

    def test_that_comes_together_with_messages_keeps_their_order(self) -> None:
        def send(websocket: raddle.ServerConnection) -> None:
            websocket.recv()
            for number in range(12):
                websocket.send(str(number))

        with serving(send) as (url, _):
            websocket = raddle.connect(url)
            websocket.send("go")
            eventually("it was closed", lambda: fails(lambda: websocket.send("late")))
            self.assertEqual(list(websocket), [str(number) for number in range(12)])

    def test_that_the_peer_does_not_answer_ends_in_time(self) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as listener, Silent(listener) as port:
            websocket = raddle.connect(f"ws://127.0.0.1:{port}", close_timeout=0.1, proxy=None)
            websocket.close()
            self.assertEqual((websocket.close_code, websocket.state), (1006, raddle.State.CLOSED))
            with self.assertRaises(raddle.ConnectionClosedError) as caught:
                websocket.recv()
            self.assertEqual(caught.exception.sent, Close(1000, ""))


class WhatIsKnown(unittest.TestCase):
    def test_of_a_connection(self) -> None:
        there: List[raddle.ServerConnection] = []

        def handler(websocket: raddle.ServerConnection) -> None:
            there.append(websocket)
            echo(websocket)

        with serving(handler, subprotocols=["chat"]) as (url, _):
            with raddle.connect(url + "/room?x=1", subprotocols=["other", "chat"]) as websocket:
                websocket.send("here")
                websocket.recv(LIMIT)
                (other,) = there
                self.assertEqual((websocket.subprotocol, other.subprotocol), ("chat", "chat"))
                self.assertEqual(other.remote_address[0], "127.0.0.1")
                self.assertEqual(websocket.remote_address[1], int(url.rpartition(":")[2]))
                self.assertEqual(other.request and other.request.path, "/room?x=1")
                self.assertEqual(websocket.response and websocket.response.status_code, 101)
                self.assertIsInstance(websocket.id, uuid.UUID)
                self.assertEqual(websocket.id, websocket.id)
                self.assertEqual(websocket.state, raddle.State.OPEN)
                self.assertIn("OPEN", repr(other))
                with self.assertLogs("raddle.client") as logged:
                    websocket.logger.warning("said")
                self.assertIs(logged.records[0].__dict__["websocket"].id, websocket.id)


class Silent:
    """A server that opens a connection and never says anything again."""

    def __init__(self, listener: Any) -> None:
        self.listener = listener

    def __enter__(self) -> int:
        threading.Thread(target=self.run, daemon=True).start()
        return int(self.listener.getsockname()[1])

    def run(self) -> None:
        self.stream = accepted(self.listener)

    def __exit__(self, *_: Any) -> None:
        time.sleep(0)
        self.stream.close()


def fails(call: Any) -> bool:
    try:
        call()
    except raddle.ConnectionClosed:
        return True
    return False


if __name__ == "__main__":
    unittest.main()
