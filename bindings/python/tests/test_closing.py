"""The end of a connection, from both sides, and from signal handlers."""

from __future__ import annotations

import socket
import threading
import time
import unittest
from typing import Any, List

import raddle
from raddle.frames import Close

from plain import Silent
from programs import run
from support import LIMIT, eventually, serving


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
            calls: List[Any] = [
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
            wrong: Any
            for wrong in ("1000", True, None):
                with self.assertRaisesRegex(TypeError, "code"):
                    websocket.close(wrong)
            with self.assertRaisesRegex(TypeError, "reason"):
                websocket.close(1000, b"bytes")  # type: ignore[arg-type]
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
        with socket.create_server(("127.0.0.1", 0)) as listener, Silent(listener) as port:
            websocket = raddle.connect(f"ws://127.0.0.1:{port}", close_timeout=0.1, proxy=None)
            websocket.close()
            self.assertEqual((websocket.close_code, websocket.state), (1006, raddle.State.CLOSED))
            with self.assertRaises(raddle.ConnectionClosedError) as caught:
                websocket.recv()
            self.assertEqual(caught.exception.sent, Close(1000, ""))


def fails(call: Any) -> bool:
    try:
        call()
    except raddle.ConnectionClosed:
        return True
    return False


if __name__ == "__main__":
    unittest.main()
