"""Who may receive, whatever Ctrl-C has interrupted."""

from __future__ import annotations

import gc
import sys
import threading
import unittest
from pathlib import Path
from types import FrameType
from typing import Any, Callable

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


if __name__ == "__main__":
    unittest.main()
