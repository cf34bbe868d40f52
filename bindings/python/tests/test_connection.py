"""Receiving, Pings, and what is known of a connection."""

from __future__ import annotations

import socket
import threading
import unittest
import uuid
from typing import Any, List

import raddle

from plain import Silent
from support import LIMIT, echo, eventually, serving


def is_held(lock: Any) -> bool:
    """Whether another thread has a lock."""
    if lock.acquire(False):
        lock.release()
        return False
    return True


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
                websocket.ping(1)  # type: ignore[arg-type]

    def test_that_are_not_answered_time_out_or_end_with_the_connection(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, Silent(listener) as port:
            websocket = raddle.connect(f"ws://127.0.0.1:{port}", close_timeout=0.1, proxy=None)
            ping, acknowledged = websocket.ping(), websocket.ping(ack_on_close=True)
            self.assertFalse(ping.wait(0.02) or ping.is_set() or acknowledged.is_set())
            websocket.close()
            self.assertFalse(ping.wait(LIMIT))
            self.assertTrue(acknowledged.wait(LIMIT))


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


if __name__ == "__main__":
    unittest.main()
