"""permessage-deflate as a side wants it (RFC 7692)."""

from __future__ import annotations

from dataclasses import dataclass

from . import _constants as c


@dataclass(frozen=True)
class Deflate:
    """How messages are compressed, for ``compression=``. The defaults suit short messages of text."""

    #: How hard the compressor tries: 1, the fastest, to 9.
    level: int = 1
    #: Messages of fewer bytes are sent uncompressed; at least 1.
    threshold: int = 64
    #: The server forgets each message that it has sent: less memory, less compression.
    server_no_context_takeover: bool = False
    #: The client does.
    client_no_context_takeover: bool = False
    #: The server looks back 2**n bytes at most: 9 to 15.
    server_max_window_bits: int = 15
    #: The client does.
    client_max_window_bits: int = 15

    def __post_init__(self) -> None:
        bits = ("server_max_window_bits", 9, 15), ("client_max_window_bits", 9, 15)
        for name, least, most in (("level", 1, 9), ("threshold", 1, 2**62), *bits):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, not {type(value).__name__}")
            if not least <= value <= most:
                raise ValueError(f"{name} must be from {least} to {most}, not {value}")

    def _arguments(self) -> tuple[int, int, int, int, int]:
        """As the library's functions take it."""
        flags = c.SERVER_NO_CONTEXT_TAKEOVER if self.server_no_context_takeover else 0
        flags |= c.CLIENT_NO_CONTEXT_TAKEOVER if self.client_no_context_takeover else 0
        return self.level, self.threshold, flags, self.server_max_window_bits, self.client_max_window_bits
