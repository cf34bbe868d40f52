"""Finds libraddle, loads it, and gives its functions their prototypes: ``abi.raddle_send(...)`` from then on.

Every call releases the interpreter lock, but for those by :func:`held`.
"""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

from . import _constants as c
from ._prototypes import PROTOTYPES


def load(path: Path) -> ctypes.CDLL:
    """Loads libraddle from a file.

    :raises ImportError: it is not there, is not for this machine, or is of another version; the message has its path and
        both versions.
    """
    try:
        native = ctypes.CDLL(str(path))
    except OSError as error:
        raise ImportError(f"raddle {_dotted(c.VERSION)} cannot load {path}: {error}", path=str(path)) from error
    try:
        for name, (result, *arguments) in PROTOTYPES.items():
            function = getattr(native, name)
            function.restype = result
            function.argtypes = arguments
    except AttributeError as error:
        raise ImportError(f"{_other_version(native, path)}: {error}", path=str(path)) from error
    if native.raddle_check_version(c.VERSION, c.ABI_VERSION) != c.OK:
        raise ImportError(_other_version(native, path), path=str(path))
    return native


def plain(name: str) -> Callable[..., int]:
    """Gives a function that takes its arguments as they are, which is faster: each has to be an instance of its ctypes type.

    Only for functions that return a status.
    """
    function: Any = abi[name]
    function.restype = PROTOTYPES[name][0]
    return function  # type: ignore[no-any-return]


def held(name: str, result: Any) -> Callable[..., Any]:
    """Gives a function as :func:`plain` does, whose calls keep the interpreter lock: letting go of it and getting it back costs
    more than a call that does not wait, and far more where others want it.

    Only for calls that never wait for what a thread does that wants the interpreter lock. Those of the library itself never want
    it, as they never run Python. Those of the program do when a call returns, and hold none of the library's locks then. So
    whoever holds one that such a call needs is at work without the interpreter lock, and lets go of it soon.
    """
    function: Any = _held[name]
    function.restype = result
    return function  # type: ignore[no-any-return]


def find() -> Path:
    """Says where libraddle is: where the variable ``RADDLE_LIBRARY`` says, else beside this file, as it is installed.

    :raises ImportError: it is at none of these places.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    places = list(_places())
    for place in places:
        if place.exists():
            return place
    tried = ", ".join(str(place) for place in places)
    raise ImportError(f"raddle {_dotted(c.VERSION)} has no libraddle: looked for {tried}; {VARIABLE} can name another file")


def _places() -> Iterator[Path]:
    here = Path(__file__).resolve().parent
    suffix = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
    prefix = "" if sys.platform == "win32" else "lib"
    yield here / f"{prefix}raddle.{suffix}"


def _other_version(native: ctypes.CDLL, path: Path) -> str:
    try:
        function = native.raddle_version_string
        function.restype = ctypes.c_char_p
        found = function().decode()
    except AttributeError:
        found = "unknown"
    return f"raddle {_dotted(c.VERSION)} needs a libraddle of its version: {path} is of version {found}"


def _dotted(version: int) -> str:
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"


VARIABLE = "RADDLE_LIBRARY"

abi = load(find())
# PyPy has no such calls, and nothing to keep by them.
_held = getattr(ctypes, "PyDLL", ctypes.CDLL)(str(find()))
