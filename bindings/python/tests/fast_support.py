"""Servers of the fast face that tests start, and waits with a bound."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import Any, Iterator

from raddle.fast import Server

PATIENCE = 10.0


@contextmanager
def serving(**options: Any) -> Iterator[Server]:
    """A server of functions, on a thread of its own."""
    options.setdefault("compression", None)
    with Server("127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown(1)
            thread.join(PATIENCE)
            assert not thread.is_alive(), "serve_forever has not returned"


def until(condition: Any) -> None:
    """Waits until something is so."""
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.005)
