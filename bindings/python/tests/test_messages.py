"""Messages, from both sides: what is sent and received as a whole."""

from __future__ import annotations

import array
import threading
import unittest
from typing import Any, List
from unittest import mock

import raddle
from raddle import _taking

from support import LIMIT, serving


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
            wrong: Any
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


if __name__ == "__main__":
    unittest.main()
