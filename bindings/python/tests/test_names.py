"""Every public name of `websockets.sync`, its parameters and attributes: it is here, or docs/python.md says that it is not.

The library `websockets` has to be installed.
"""

from __future__ import annotations

import importlib
import inspect
import re
import threading
import unittest
from pathlib import Path
from typing import Any, Dict, Iterator, Set, Tuple

import raddle
import websockets.sync.client
import websockets.sync.server
from raddle import reconnect as reconnecting

from support import serving

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "python.md"

# Where the names of their modules are.
MODULES = {
    "sync.client": "client", "sync.server": "server", "sync.connection": "connection", "sync.router": "router",
    "datastructures": "datastructures", "exceptions": "exceptions", "frames": "frames", "http11": "http11",
    "protocol": "frames", "typing": "typing",
}  # fmt: skip


def page() -> Tuple[str, str]:
    """What the guide says of names that are there, and of those that are not."""
    text = GUIDE.read_text()
    names = text[text.index("## Names of websockets.sync 17") :]
    there, absent = names.split("### What is not there")
    return there, absent


def quoted(text: str) -> Set[str]:
    return set(re.findall(r"`(\.?\w+=?)`", text))


def attributes(of: Any) -> Set[str]:
    found = set(dir(of)) | set(getattr(of, "__dict__", {}))
    return {name for name in found if not name.startswith("_")}


def classes() -> Iterator[Tuple[Any, Any]]:
    """A class or an object of theirs, and what is in its place here."""
    for theirs, ours in MODULES.items():
        module = importlib.import_module(f"websockets.{theirs}")
        for name in module.__all__:
            one, other = getattr(module, name), getattr(importlib.import_module(f"raddle.{ours}"), name, None)
            if inspect.isclass(one) and other is not None and name != "Router":
                yield one, other


class EveryName(unittest.TestCase):
    def setUp(self) -> None:
        there, absent = page()
        self.there, self.absent = quoted(there), quoted(absent)

    def check(self, name: str, is_here: bool, of: str) -> None:
        with self.subTest(f"{name} of {of}"):
            self.assertIn(name, self.there if is_here else self.absent)

    def test_of_a_module_is_in_ours_or_the_guide_says_that_it_is_not(self) -> None:
        for theirs, ours in MODULES.items():
            module = importlib.import_module(f"raddle.{ours}")
            for name in importlib.import_module(f"websockets.{theirs}").__all__:
                self.check(name, hasattr(module, name), theirs)

    def test_of_a_module_is_in_the_package(self) -> None:
        for module in set(MODULES.values()):
            for name in importlib.import_module(f"raddle.{module}").__all__:
                if name not in ("SERVER", "USER_AGENT", "PathLike", "BytesLike", "Server"):
                    with self.subTest(name, module=module):
                        self.assertIn(name, raddle.__all__)

    def test_of_a_class_is_in_ours_or_the_guide_says_that_it_is_not(self) -> None:
        checked = 0
        for theirs, ours in classes():
            for name in attributes(theirs) - attributes(Exception) - attributes(int):
                if issubclass(theirs, int):
                    # A code or a state.
                    self.assertEqual(getattr(ours, name), getattr(theirs, name))
                elif theirs is not websockets.sync.client.reconnect:
                    self.check(f".{name}", hasattr(ours, name) or name in annotated(ours), theirs.__name__)
                checked += 1
        self.assertGreater(checked, 100)

    def test_of_a_connection_or_a_server_is_in_ours_or_the_guide_says_that_it_is_not(self) -> None:
        with serving() as (url, server):
            theirs: Any = websockets.sync.client.connect(url, legacy=True)
            ours = raddle.connect(url)
            with theirs, ours:
                for name in attributes(theirs):
                    self.check(f".{name}", hasattr(ours, name), "a client's connection")
            with websockets.sync.server.serve(print, "127.0.0.1", 0) as hers:
                thread = threading.Thread(target=hers.serve_forever)
                thread.start()
                for name in attributes(hers):
                    self.check(f".{name}", hasattr(server, name), "a server")
            thread.join()

    def test_that_is_said_not_to_be_there_is_not(self) -> None:
        known: Dict[str, Set[bool]] = {}
        for theirs, ours in classes():
            for name in attributes(theirs):
                known.setdefault(f".{name}", set()).add(hasattr(ours, name))
        for theirs, ours in MODULES.items():
            module = importlib.import_module(f"raddle.{ours}")
            for name in importlib.import_module(f"websockets.{theirs}").__all__:
                known.setdefault(name, set()).add(hasattr(module, name))
        for name in (self.absent - self.there) & set(known):
            with self.subTest(name):
                self.assertIn(False, known[name])


class EveryParameter(unittest.TestCase):
    def test_is_there_with_its_default_or_the_guide_says_that_it_is_not(self) -> None:
        _, absent = page()
        # They say who speaks.
        others = {"user_agent_header", "server_header"}
        for name, theirs, ours in (
            ("connect", websockets.sync.client.connect, raddle.connect),
            ("unix_connect", websockets.sync.client.unix_connect, raddle.unix_connect),
            ("reconnect", websockets.sync.client.reconnect, raddle.connect),
            ("unix_reconnect", websockets.sync.client.unix_reconnect, raddle.unix_reconnect),
            ("serve", websockets.sync.server.serve, raddle.serve),
            ("unix_serve", websockets.sync.server.unix_serve, raddle.unix_serve),
            ("broadcast", websockets.sync.server.broadcast, raddle.broadcast),
            ("basic_auth", websockets.sync.server.basic_auth, raddle.basic_auth),
            ("route", importlib.import_module("websockets.sync.router").route, raddle.route),
            ("unix_route", importlib.import_module("websockets.sync.router").unix_route, raddle.unix_route),
            ("Router", importlib.import_module("websockets.sync.router").Router, raddle.Router),
        ):
            known = inspect.signature(ours).parameters
            for parameter in inspect.signature(theirs).parameters.values():
                with self.subTest(name, parameter=parameter.name):
                    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                        continue
                    if parameter.name not in known:
                        self.assertIn(f"`{parameter.name}=`", absent)
                    elif parameter.name not in others:
                        self.assertEqual(known[parameter.name].default, parameter.default)

    def test_of_a_method_is_there_with_its_default(self) -> None:
        for theirs, ours in (
            (websockets.sync.server.ServerConnection, raddle.ServerConnection),
            (websockets.sync.server.Server, importlib.import_module("raddle.server").Server),
            (importlib.import_module("websockets.sync.router").Router, raddle.Router),
        ):
            for name in attributes(theirs) & attributes(ours):
                if inspect.isfunction(getattr(theirs, name)):
                    with self.subTest(name, of=theirs.__name__):
                        expected = [(one.name, one.default) for one in inspect.signature(getattr(theirs, name)).parameters.values()]
                        known = inspect.signature(getattr(ours, name)).parameters.values()
                        self.assertEqual([(one.name, one.default) for one in known], expected)

    def test_of_reconnect_is_one_of_connect(self) -> None:
        with self.assertRaisesRegex(TypeError, "nonsense"):
            reconnecting("ws://127.0.0.1:1/", nonsense=1)


def annotated(of: Any) -> Set[str]:
    """What objects of a class have, as it says."""
    return {name for one in of.__mro__ for name in getattr(one, "__annotations__", {})}


if __name__ == "__main__":
    unittest.main()
