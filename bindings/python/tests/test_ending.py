"""The ends of interpreters, processes and objects that nobody has closed."""

from __future__ import annotations

import gc
import random
import re
import subprocess
import tempfile
import threading
import time
import unittest
import weakref
from pathlib import Path
from typing import Any

from plain import Plain
from programs import run, scaled
from support import eventually, serving

import raddle
from raddle import _constants, _native, _prototypes

EXITS = """
import asyncio, sys, threading, time
import raddle
from raddle import aio

def echo(websocket):
    for message in websocket:
        websocket.send(message)

server = raddle.serve(echo, "127.0.0.1", 0)
threading.Thread(target=server.serve_forever, daemon=True).start()
fast = raddle.Server("127.0.0.1", 0, on_message=lambda connection, message: connection.send(message))
threading.Thread(target=fast.serve_forever, daemon=True).start()

def loop():
    async def main():
        async def handler(connection):
            async for message in connection:
                await connection.send(message)
        async with aio.serve(handler, "127.0.0.1", 0) as third:
            ports.append(third.address[1])
            await third.serve_forever()
    asyncio.run(main())

ports = [server.socket.getsockname()[1], fast.address[1]]
threading.Thread(target=loop, daemon=True).start()

def talk(port):
    try:
        with raddle.connect("ws://127.0.0.1:%d/" % port) as websocket:
            while True:
                websocket.send("hello")
                websocket.recv()
    except (OSError, RuntimeError, raddle.WebSocketException):
        return

def wait(port):
    try:
        raddle.connect("ws://127.0.0.1:%d/" % port).recv()
    except (OSError, RuntimeError, raddle.WebSocketException):
        return

for port in list(ports):
    threading.Thread(target=talk, args=(port,), daemon=True).start()
    threading.Thread(target=wait, args=(port,), daemon=True).start()
time.sleep(float(sys.argv[1]))
print(time.monotonic(), flush=True)
sys.exit(7)
"""

FORKS = """
import os, sys, threading
import raddle

def echo(websocket):
    for message in websocket:
        websocket.send(message)

server = raddle.serve(echo, "127.0.0.1", 0)
threading.Thread(target=server.serve_forever, daemon=True).start()
fast = raddle.Server("127.0.0.1", 0)
url = "ws://127.0.0.1:%d/" % server.socket.getsockname()[1]
websocket = raddle.connect(url)
child = os.fork()
if child == 0:
    calls = [lambda: websocket.send("x"), lambda: websocket.recv(timeout=1), lambda: raddle.connect(url),
             lambda: raddle.Server("127.0.0.1", 0), lambda: fast.poll(0), lambda: fast.broadcast("x")]
    for number, call in enumerate(calls):
        try:
            call()
        except RuntimeError as error:
            if "fork" in str(error):
                continue
            print(number, repr(error), file=sys.stderr)
            os._exit(1)
        except BaseException as error:
            print(number, repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(2)
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
websocket.send("still here")
assert websocket.recv() == "still here"
websocket.close()
fast.close()
server.shutdown()
print("done")
"""

INTERPRETERS = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import raddle
inner = interpreters.create()
try:
    failed = interpreters.run_string(inner, '''
try:
    import raddle
    with raddle.Server("127.0.0.1", 0) as server:
        assert server.poll(0) == []
except ImportError as error:
    print("refused:", error)
else:
    print("works")
''')
except RuntimeError as error:
    failed = error
assert failed is None, failed
interpreters.destroy(inner)
"""


def library_of(directory: Path, version: str, lacks: str) -> Path:
    """Compiles a library with the functions of ours, but one, that is of another version."""
    source, path = directory / "other.c", directory / f"{version}{lacks}.so"
    names = set(_prototypes.PROTOTYPES) - {"raddle_version_string", "raddle_check_version", lacks}
    functions = "".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(names))
    source.write_text(
        f'{functions}const char *raddle_version_string(void) {{ return "{version}"; }}\n'
        f"int raddle_check_version(unsigned version, unsigned abi) {{ return {_constants.ERR_ARGUMENT}; }}\n"
    )
    # What cargo links with.
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(path), str(source)], check=True)
    return path


class Interpreters(unittest.TestCase):
    def test_exit_at_any_moment_with_the_code_that_was_asked_for(self) -> None:
        # Hostile input 321.
        for _ in range(scaled(6)):
            moment = random.uniform(0, 0.3)
            done = run(EXITS, str(moment))
            self.assertEqual(done.returncode, 7, f"after {moment}: {done.stdout}{done.stderr}")
            # The clock of all processes. Four times what it may take, on a busy machine.
            self.assertLess(time.monotonic() - float(done.stdout), 8, f"after {moment}")

    def test_that_were_forked_say_so_and_leave_the_first_one_alone(self) -> None:
        # Hostile input 329.
        done = run(FORKS)
        self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done.stderr)

    def test_within_others_work_or_refuse_to_import(self) -> None:
        # Hostile input 330.
        done = run(INTERPRETERS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, "works|refused: .+")

    def test_without_their_library_say_where_it_was_looked_for(self) -> None:
        # Hostile input 331.
        for path, word in (
            ("/nowhere/libraddle.so", "/nowhere/libraddle.so"),
            (str(Path(__file__)), "invalid ELF header|file too short|not a mach-o"),
        ):
            done = run("import raddle", environment={"RADDLE_LIBRARY": path})
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr.splitlines()[-1], f"^ImportError: raddle {re.escape(raddle.__version__)} ")
            self.assertRegex(done.stderr, word)

    def test_with_a_library_for_another_machine_say_so(self) -> None:
        # Hostile input 331.
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "libraddle.so")
            library = bytearray(_native.find().read_bytes())
            # Of its header: which machine it is for (e_machine).
            library[18:20] = b"\xff\xff"
            path.write_bytes(library)
            done = run("import raddle", environment={"RADDLE_LIBRARY": str(path)})
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.splitlines()[-1], f"^ImportError: raddle [0-9.]+ cannot load {path}: ")

    def test_with_an_older_or_newer_library_name_both_versions(self) -> None:
        # Hostile input 331.
        with tempfile.TemporaryDirectory() as directory:
            for version, lacks in (("0.0.9", "raddle_recv_batch"), ("0.0.9", ""), ("7.0.0", "")):
                with self.subTest(version, lacks=lacks):
                    path = library_of(Path(directory), version, lacks)
                    done = run("import raddle", environment={"RADDLE_LIBRARY": str(path)})
                    self.assertEqual(done.returncode, 1)
                    expected = f"ImportError: raddle {raddle.__version__} needs a libraddle of its version: {path} is of version {version}"
                    said = done.stderr.splitlines()[-1]
                    self.assertTrue(said.startswith(expected) and lacks in said, said)

    def test_with_another_library_name_both_versions(self) -> None:
        # Hostile input 331.
        done = run("import _ctypes, os; os.environ['RADDLE_LIBRARY'] = _ctypes.__file__; import raddle")
        self.assertRegex(done.stderr.splitlines()[-1], f"^ImportError: raddle (?:{re.escape(raddle.__version__)} )?needs .* unknown")


class Objects(unittest.TestCase):
    def test_functions_that_nobody_else_holds_are_called_all_the_same(self) -> None:
        # Hostile input 318.
        threshold = gc.get_threshold()
        gc.set_threshold(5)
        try:
            got: list[int] = []

            def make() -> Any:
                def on_message(connection: raddle.fast.Connection, message: bytes) -> None:
                    got.append(len(message))
                    connection.send(message)

                return on_message

            with raddle.Server("127.0.0.1", 0, on_message=make()) as server:
                thread = threading.Thread(target=server.serve_forever)
                thread.start()
                with Plain(server.address) as client:
                    for size in range(200):
                        client.send(b"x" * size)
                        self.assertEqual(len(client.message()), size)
                server.shutdown(0)
                thread.join()
            self.assertEqual(got, list(range(200)))
        finally:
            gc.set_threshold(*threshold)

    def test_that_are_collected_open_are_let_go_and_warn(self) -> None:
        # Hostile input 322.
        with serving() as (url, _):
            with self.assertWarns(ResourceWarning):
                websocket = raddle.connect(url)
                of = weakref.ref(websocket)
                del websocket
                gc.collect()
                self.assertIsNone(of())
            with self.assertWarns(ResourceWarning):
                fast = raddle.Server("127.0.0.1", 0)
                address = fast.address
                # In a cycle with itself, and on another thread.
                fast.itself = fast  # type: ignore[attr-defined]
                del fast
                collecting = threading.Thread(target=gc.collect)
                collecting.start()
                collecting.join()

            def is_gone() -> bool:
                try:
                    Plain(address).stream.close()
                except ConnectionRefusedError:
                    return True
                return False

            eventually("the listener is closed", is_gone)

    def test_that_are_closed_within_their_own_function_are(self) -> None:
        # Hostile input 322.
        server = raddle.Server("127.0.0.1", 0, on_message=lambda connection, message: server.close(0))
        with Plain(server.address) as client:
            client.send("x")
            try:
                server.serve_forever()
            except RuntimeError as error:
                self.assertIn("handle", str(error))
            self.assertIn(client.close_code(), (1001, 1006))

    def test_closing_waits_for_handlers_that_want_the_lock_without_end(self) -> None:
        # Hostile input 327.
        def handler(websocket: raddle.ServerConnection) -> None:
            for message in websocket:
                sum(range(100_000))

        for _ in range(scaled(3)):
            with serving(handler) as (url, server):
                websockets = [raddle.connect(url) for _ in range(4)]
                for websocket in websockets:
                    websocket.send("x" * 1000)
            for websocket in websockets:
                websocket.close()


if __name__ == "__main__":
    unittest.main()
