"""Close codes, and what a Close says (RFC 6455, section 7.4)."""

from __future__ import annotations

import enum
from typing import NamedTuple

__all__ = ["Close", "CloseCode", "State"]


class CloseCode(enum.IntEnum):
    """The close codes that have names."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


class Close(NamedTuple):
    """What a Close says: its code, 1005 where it had none, and its reason."""

    code: int
    reason: str

    def __str__(self) -> str:
        name = _NAMES.get(self.code) or _range_of(self.code)
        return f"{self.code:d} ({name})" + (f" {self.reason}" if self.reason else "")


class State(enum.IntEnum):
    """Where a connection stands (RFC 6455)."""

    CONNECTING, OPEN, CLOSING, CLOSED = range(4)


def may_be_sent(code: int) -> bool:
    """Whether a Close may have a code (RFC 6455, section 7.4, and the IANA registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code < 5000


def _range_of(code: int) -> str:
    if 3000 <= code < 4000:
        return "registered"
    return "private use" if 4000 <= code < 5000 else "unknown"


# The words of RFC 6455, section 7.4.1, and of the IANA registry.
_NAMES = {
    1000: "OK",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no status received [internal]",
    1006: "abnormal closure [internal]",
    1007: "invalid frame payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake failure [internal]",
}
