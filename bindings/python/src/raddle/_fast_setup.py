"""What :class:`raddle.Server` is made with, beside the settings of every server."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple, Type

from . import _check
from . import _constants as c
from ._errors import check
from ._fast_connection import Connection
from ._native import abi
from .events import Closed, Drained, Event, Opened, Unsent


def handlers_of(
    on_open: Callable[[Connection], object] | None,
    on_message: Callable[[Connection, Any], object] | None,
    on_drain: Callable[[Connection], object] | None,
    on_close: Callable[[Connection, Closed], object] | None,
    on_unsent: Callable[[Connection, Unsent], object] | None,
) -> Dict[Type[Any], Callable[[Connection, Any], object]]:
    """What is called for an event, by its class."""

    def ignore(connection: Connection, event: Event) -> None:
        pass

    def without_event(function: Callable[[Connection], object] | None) -> Callable[[Connection, Any], object]:
        return ignore if function is None else lambda connection, event: function(connection)

    return {
        str: on_message or ignore,
        bytes: on_message or ignore,
        Opened: without_event(on_open),
        Drained: without_event(on_drain),
        Closed: on_close or ignore,
        Unsent: on_unsent or ignore,
    }


def set_up(
    config: int,
    identities: Tuple[int, str] | None,
    outgoing_limit: int | None,
    when_full: str,
    asks: bool,
) -> None:
    """Sets what only this face has."""
    if identities is not None:
        if not isinstance(identities, tuple) or len(identities) != 2:
            raise TypeError("identities must be a pair of an int and a str")
        allowed, surplus = identities
        if surplus not in _SURPLUS:
            raise ValueError(f"identities: one more can be met with {', '.join(map(repr, _SURPLUS))}, not {surplus!r}")
        check(abi.raddle_server_config_identity_policy(config, _check.integer(allowed, "identities", 1), _SURPLUS[surplus]))
    if outgoing_limit is not None:
        check(abi.raddle_server_config_outgoing_limit(config, _check.integer(outgoing_limit, "outgoing_limit")))
    if not isinstance(when_full, str) or when_full not in _WHEN_FULL:
        raise ValueError(f"when_full must be {' or '.join(map(repr, _WHEN_FULL))}, not {when_full!r}")
    check(abi.raddle_server_config_when_full(config, _WHEN_FULL[when_full]))
    check(abi.raddle_server_config_requests_as_events(config, int(asks)))


# Where it has to do without, the library still takes what answers a message, and reads no more of that peer meanwhile.
_WHEN_FULL = {"unsent": c.WHEN_FULL_BLOCK, "close": c.WHEN_FULL_CLOSE}
_SURPLUS = {"refuse": c.SURPLUS_REFUSE, "close": c.SURPLUS_CLOSE, "replace": c.SURPLUS_REPLACE_OLDEST}
