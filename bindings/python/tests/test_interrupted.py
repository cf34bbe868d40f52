"""Ctrl-C in every call that waits, and the interpreter's lock, which none of them holds."""

from __future__ import annotations

import unittest

from programs import run

# What is there before the call, and the call. Peers that say nothing are listeners that nobody accepts from, or plain sockets.
CALLS = {
    "connect": ("", "raddle.connect(silent)"),
    "recv": ("", "websocket.recv()"),
    "recv with a timeout": ("", "websocket.recv(timeout=30)"),
    "recv_streaming": ("", "list(websocket.recv_streaming())"),
    "iteration": ("", "list(websocket)"),
    "send": ("", "[websocket.send(b'x' * 2**20) for _ in range(1000)]"),
    "broadcast": ("", "[raddle.broadcast([websocket], b'x' * 2**20) for _ in range(1000)]"),
    "close": ("", "websocket.close()"),
    "wait_closed": ("", "websocket.wait_closed()"),
    "ping": ("", "websocket.ping().wait()"),
    "serve_forever": ("server = raddle.serve(print, '127.0.0.1', 0)", "server.serve_forever()"),
    "fast poll": ("server = raddle.Server('127.0.0.1', 0)", "server.poll()"),
    "fast poll with a timeout": ("server = raddle.Server('127.0.0.1', 0)", "server.poll(30)"),
    "fast iteration": ("server = raddle.Server('127.0.0.1', 0)", "list(server)"),
    "fast serve_forever": ("server = raddle.Server('127.0.0.1', 0)", "server.serve_forever()"),
    "reconnect": ("connections = raddle.reconnect(silent)", "connections.next()"),
    "asyncio": ("", "asyncio.run(serve())"),
}

PROGRAM = """
import asyncio, os, signal, socket, sys, threading, time
import raddle
from plain import accepted
from raddle import aio

silent_listener = socket.create_server(("127.0.0.1", 0))
silent = "ws://127.0.0.1:%d/" % silent_listener.getsockname()[1]

def never_reads(listener):
    peer = accepted(listener)
    threading.Event().wait()

async def serve():
    async with aio.serve(print, "127.0.0.1", 0) as server:
        await server.serve_forever()

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=never_reads, args=(listener,), daemon=True).start()
websocket = raddle.connect("ws://127.0.0.1:%d/" % listener.getsockname()[1], close_timeout=None)
SET_UP

counted = [0]
def count():
    while True:
        counted[0] += 1

def rate():
    before, begun = counted[0], time.monotonic()
    time.sleep(0.1)
    return (counted[0] - before) / (time.monotonic() - begun)

threading.Thread(target=count, daemon=True).start()
alone = rate()

def interrupt():
    time.sleep(0.3)
    global sent, while_waiting
    # The machine may have others to serve: one look in fifty has to find the thread as free as it was alone.
    for _ in range(50):
        while_waiting = rate()
        if while_waiting > alone / 2:
            break
    sent = time.monotonic()
    # To this thread in every other case: the call itself is not interrupted then.
    if sys.argv[1] == "here":
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    CALL
except KeyboardInterrupt:
    late = time.monotonic() - sent
    # It would have waited for seconds, and some for good.
    assert late < 3, late
    assert while_waiting > alone / 2, "the other thread was held up: %d, and %d alone" % (while_waiting, alone)
    print("interrupted", round(late, 3))
    # The objects are usable, or closed.
    assert websocket.state is not None
    os._exit(0)
print("not interrupted")
os._exit(1)
"""


class EveryCall(unittest.TestCase):
    def test_that_waits_ends_with_keyboard_interrupt_and_lets_other_threads_run(self) -> None:
        # Hostile inputs 320 and 326.
        for number, (name, (set_up, call)) in enumerate(CALLS.items()):
            with self.subTest(name):
                program = PROGRAM.replace("SET_UP", set_up).replace("CALL", call)
                # What another thread gets does not wake asyncio, whatever runs on it.
                done = run(program, "here" if number % 2 and name != "asyncio" else "anywhere")
                self.assertEqual((done.returncode, done.stdout[:11]), (0, "interrupted"), done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
