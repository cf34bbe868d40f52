"""A Ping whose Pong can be waited for."""

from __future__ import annotations

import ctypes
import weakref

from . import _check
from . import _constants as c
from ._native import abi
from ._wait import sliced


class Ping:
    """A Ping that was sent: has the interface of a ``threading.Event`` that is set when its Pong comes.

    From any thread. Nobody need receive meanwhile.
    """

    def __init__(self, ping: int, acknowledged_by_end: bool) -> None:
        self._ping = ping
        self._by_end = acknowledged_by_end
        self._free = weakref.finalize(self, abi.raddle_ping_free, ping)
        #: The round-trip time in seconds; ``None``: the Pong has not come yet.
        self.latency: float | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the Pong.

        :param timeout: seconds; ``None``: until it comes or the connection ends
        :returns: whether it has come. ``False``, too, where the connection has ended, unless ``ack_on_close`` was asked for
        """
        if self.latency is not None:
            return True
        time_us = ctypes.c_uint64()
        time = None if timeout is None else _check.seconds(timeout, "timeout")
        status = sliced(lambda ms: abi.raddle_ping_wait(self._ping, ms, ctypes.byref(time_us)), time)
        if status == c.OK:
            self.latency = time_us.value / 1e6
            return True
        return status == c.ERR_CLOSED and self._by_end

    def is_set(self) -> bool:
        """Tells whether the Pong has come."""
        return self.wait(0)
