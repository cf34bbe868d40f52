"""Receiving: one call of the library takes the next message, and gives it as ``str`` or ``bytes``.

With CPython the library makes these objects itself, by functions of the interpreter. The lock of the interpreter is let go for a wait,
once, and not at all for a message that is there: with a thousand threads its handing over is what a message costs most.
"""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Tuple, Union

from . import _constants as c
from ._native import held, plain
from ._prototypes import Interpreter, Message
from ._text import bytes_at

#: A message, or a part of one, as it was received: ``TEXT`` or ``BINARY``, and its payload.
Received = Tuple[int, bytes]


def copied(view: Message) -> Received:
    """A message that the library lends, as Python's own."""
    return view.kind, bytes_at(view.data, view.length)


def _lend_and_copy(conn: Any, timeout_ms: Any, _: Any) -> Union[str, bytes, int]:
    """For interpreters without the functions of CPython. Nobody may free the connection meanwhile."""
    view = Message()
    status = _receive(conn, timeout_ms, ctypes.byref(view))
    if status != c.OK:
        return status
    kind, payload = copied(view)
    return payload.decode() if kind == c.TEXT else payload


_receive = plain("raddle_recv")

#: Waits for the next message: called with a connection and a number of milliseconds (below 0: without end), both as ``ctypes``
#: makes arguments of them, and with ``INTERPRETER``, it returns the message, or a status in place of one. Nobody may free the connection
#: meanwhile.
take: Callable[[Any, Any, Any], Union[str, bytes, int]]
INTERPRETER: Any

try:
    _functions = [
        getattr(ctypes.pythonapi, name)
        for name in (
            "PyEval_SaveThread", "PyEval_RestoreThread", "PyUnicode_FromStringAndSize", "PyBytes_FromStringAndSize",
            "PyLong_FromLong",
        )
    ]  # fmt: skip
except AttributeError:
    take, INTERPRETER = _lend_and_copy, None
else:
    take = held("raddle_recv_object", ctypes.py_object)
    _interpreter = Interpreter(*(ctypes.cast(function, ctypes.c_void_p) for function in _functions))
    INTERPRETER = ctypes.byref(_interpreter)
