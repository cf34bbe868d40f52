"""Who may receive, whatever Ctrl-C has interrupted."""

from __future__ import annotations

import gc
import sys
import threading
import unittest
import weakref
from pathlib import Path
from types import FrameType
from typing import Any, Callable
from unittest import mock

import raddle

from support import LIMIT, eventually, serving

PACKAGE = str(Path(raddle.__file__).parent)


def interrupted(call: Callable[[], object], number: int) -> bool:
    """Makes a call, with a KeyboardInterrupt before the so-many-th instruction of the package; ``False``: it has fewer."""
    left = number

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    except TimeoutError:
        pass
    finally:
        sys.settrace(before)
    return False


class Interrupted(unittest.TestCase):
    def check(self, prepare: Callable[[Any], object], call: Callable[[Any], object]) -> None:
        """Interrupts a call at each of its instructions, and lets another thread receive each time."""
        with serving() as (url, _), raddle.connect(url) as websocket:
            raised: list[BaseException] = []

            def receive() -> None:
                try:
                    while True:
                        websocket.recv(0)
                except TimeoutError:
                    pass
                except BaseException as error:
                    raised.append(error)

            number, goes_on = 0, True
            while goes_on:
                number += 1
                prepare(websocket)
                goes_on = interrupted(lambda: call(websocket), number)
                if sys.implementation.name != "cpython":
                    # A generator that was interrupted at its very end is there until then.
                    gc.collect()
                other = threading.Thread(target=receive)
                other.start()
                other.join(LIMIT)
                self.assertFalse(other.is_alive(), number)
                self.assertEqual(raised, [], number)
            # It was interrupted somewhere, and whoever receives at the same time as another is told so.
            self.assertGreater(number, 10)
            # Nothing is on its way any more.
            websocket.send("last")
            while websocket.recv(LIMIT) != "last":
                pass
            other = threading.Thread(target=lambda: websocket.recv(LIMIT))
            other.start()

            def is_refused() -> bool:
                try:
                    websocket.recv(0)
                except raddle.ConcurrencyError:
                    return True
                except TimeoutError:
                    pass
                return False

            eventually("the other thread receives", is_refused)
            websocket.send("for the other")
            other.join(LIMIT)
            self.assertFalse(other.is_alive())

    def test_recv_lets_others_receive(self) -> None:
        # Hostile input 320.
        self.check(lambda websocket: None, lambda websocket: websocket.recv(0))

    def test_recv_of_a_message_lets_others_receive(self) -> None:
        self.check(lambda websocket: websocket.send("x"), lambda websocket: websocket.recv())

    def test_recv_streaming_lets_others_receive(self) -> None:
        self.check(lambda websocket: websocket.send("x"), lambda websocket: list(websocket.recv_streaming()))

    def test_wait_closed_lets_others_receive(self) -> None:
        self.check(lambda websocket: None, lambda websocket: websocket.wait_closed(0))

    def test_a_close_comes_to_its_end(self) -> None:
        number, goes_on = 0, True
        while goes_on:
            number += 1
            with serving() as (url, _):
                websocket = raddle.connect(url)
                websocket.send("x")
                goes_on = interrupted(lambda: websocket.recv(), number)
                closing = threading.Thread(target=websocket.close)
                closing.start()
                closing.join(LIMIT)
                self.assertFalse(closing.is_alive(), number)
                self.assertEqual(websocket.close_code, 1000, number)

    def test_a_thread_that_comes_back_to_a_turn_that_it_has_left_has_it(self) -> None:
        # Amid the very replacement of its lock, by a thread that closes the connection.
        stay = threading.Event()
        with serving(lambda _: stay.wait(LIMIT)) as (url, _):
            websocket = raddle.connect(url, close_timeout=1)
            raised: list[BaseException] = []
            left, back = threading.Event(), threading.Event()

            def receive() -> None:
                interrupted_turn(websocket)
                left.set()
                back.wait(LIMIT)
                try:
                    websocket.recv()
                except BaseException as error:
                    raised.append(error)

            def lock() -> Any:
                back.set()
                eventually("it receives", lambda: receives(other))
                return make()

            other = threading.Thread(target=receive)
            other.start()
            self.assertTrue(left.wait(LIMIT))
            make = threading.RLock
            with mock.patch("threading.RLock", lock):
                websocket.close()
            other.join(LIMIT)
            stay.set()
            self.assertEqual([type(error) for error in raised], [raddle.ConnectionClosedOK])

    def test_who_looks_for_a_turn_keeps_nothing(self) -> None:
        stay = threading.Event()
        with serving(lambda _: stay.wait(LIMIT)) as (url, _):
            gc.collect()
            gc.disable()
            try:
                websocket = raddle.connect(url, close_timeout=0.2)
                thread = threading.Thread(target=interrupted_turn, args=(websocket,))
                thread.start()
                thread.join(LIMIT)
                websocket.close()
                del thread
                gone = weakref.ref(websocket)
                del websocket
                if sys.implementation.name == "cpython":
                    self.assertIsNone(gone())
            finally:
                gc.enable()
                stay.set()


def interrupted_turn(websocket: Any) -> None:
    """Takes a turn, and leaves."""
    websocket._receiving.acquire()


def receives(thread: threading.Thread) -> bool:
    """Whether a thread is within ``recv``."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code is not raddle.Connection.recv.__code__:
        frame = frame.f_back
    return frame is not None


if __name__ == "__main__":
    unittest.main()
