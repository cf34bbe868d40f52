"""Handles of the library that Python objects own."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, Callable

from ._errors import check


class Handle:
    """A handle from one of the library's ``…_new`` functions, freed with the object, or by :meth:`free`.

    Pass ``handle.value`` to C functions: an ``int``.
    """

    __slots__ = ("value", "free", "__weakref__")

    def __init__(self, make: Callable[..., int], free: Callable[[int], int], *arguments: Any) -> None:
        place = ctypes.c_void_p()
        check(make(*arguments, ctypes.byref(place)))
        self.value: int = place.value or 0
        #: Frees it now. Freeing twice does nothing.
        self.free = weakref.finalize(self, free, self.value)
