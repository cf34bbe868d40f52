"""Messages that are sent in fragments, and received in parts."""

from __future__ import annotations

import signal
import threading
import time
import unittest
from typing import Any, List
from unittest import mock

import raddle
from raddle import _sending
from raddle.frames import Close

from support import LIMIT, serving


class Fragments(unittest.TestCase):
    def test_are_one_message(self) -> None:
        with serving() as (url, _), raddle.connect(url) as websocket:
            websocket.send(["Hé", "", "llo"])
            self.assertEqual(websocket.recv(LIMIT), "Héllo")
            of_any_kind: List[Any] = [b"a", bytearray(b"b"), memoryview(b"c")]
            websocket.send(iter(of_any_kind))
            self.assertEqual(websocket.recv(LIMIT), b"abc")
            websocket.send([])
            websocket.send("next")
            self.assertEqual(websocket.recv(LIMIT), "next")

    def test_that_go_wrong_end_the_connection(self) -> None:
        def fragments() -> Any:
            yield "a"
            raise KeyError("b")

        ends: List[raddle.ConnectionClosed] = []

        def handler(websocket: raddle.ServerConnection) -> None:
            try:
                websocket.recv()
            except raddle.ConnectionClosed as closed:
                ends.append(closed)

        cases: List[Any] = [(fragments(), KeyError), (["a", b"b"], TypeError)]
        for wrong, error in cases:
            with serving(handler) as (url, _), raddle.connect(url) as websocket, self.assertRaises(error):
                websocket.send(wrong)
        self.assertEqual([end.rcvd for end in ends], [Close(1011, "error in fragmented message")] * 2)

    def test_of_several_threads_do_not_mix(self) -> None:
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

    def test_whose_iterable_sends_by_itself_end_the_connection(self) -> None:
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

    def test_that_a_signal_handler_interrupts_end_the_connection(self) -> None:
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

    def test_that_a_close_tears_end_with_1011(self) -> None:
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


class Parts(unittest.TestCase):
    def test_are_text_or_bytes_as_asked_for(self) -> None:
        def send(websocket: raddle.ServerConnection) -> None:
            websocket.send([b"\xc3", b"\xa9", b"t\xc3\xa9"])
            websocket.send(["\u00e9"])
            websocket.send(["\u00e9"])
            websocket.send([b"\xc3"])
            websocket.recv()

        with serving(send) as (url, _), raddle.connect(url, compression=None) as websocket:
            self.assertEqual("".join(websocket.recv_streaming(decode=True)), "\u00e9t\u00e9")
            self.assertEqual(b"".join(websocket.recv_streaming(decode=False)), b"\xc3\xa9")
            self.assertEqual("".join(map(str, websocket.recv_streaming())), "\u00e9")
            with self.assertRaises(UnicodeDecodeError):
                list(websocket.recv_streaming(decode=True))
            websocket.send("done")

    def test_that_nobody_asks_for_any_more_do_not_keep_a_connection_from_its_end(self) -> None:
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

    def test_are_for_one_who_asks(self) -> None:
        def send(websocket: raddle.ServerConnection) -> None:
            websocket.send(["a", "b"])
            websocket.send("c")
            websocket.recv()

        with serving(send) as (url, _), raddle.connect(url, compression=None) as websocket:
            parts = websocket.recv_streaming()
            self.assertEqual(next(parts), "a")
            calls: List[Any] = [websocket.recv, lambda: next(websocket.recv_streaming())]
            for call in calls:
                with self.assertRaises(raddle.ConcurrencyError):
                    call()
            self.assertEqual("".join(map(str, parts)), "b")
            # Whoever leaves it has the rest passed over.
            self.assertEqual(websocket.recv(LIMIT), "c")
            websocket.send("done")

    def test_come_as_they_were_sent(self) -> None:
        def send(websocket: raddle.ServerConnection) -> None:
            websocket.send(["ab", "cd"])
            websocket.send(b"whole")
            websocket.recv()

        with serving(send) as (url, _), raddle.connect(url, compression=None) as websocket:
            self.assertEqual("".join(map(str, websocket.recv_streaming())), "abcd")
            self.assertEqual(b"".join(websocket.recv_streaming(decode=False)), b"whole")
            websocket.send("done")


if __name__ == "__main__":
    unittest.main()
