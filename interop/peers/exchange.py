"""The messages that are sent back and forth; the peers in other languages send the same."""

from __future__ import annotations

TEXTS = ["", "Hello", "zażółć 🦀", "a" * 125, "a" * 126, "é" * 40_000]
BINARIES = [bytes(byte % 256 for byte in range(length)) for length in (0, 1, 256, 65_535, 65_536, 1 << 20)]
MESSAGES: list[str | bytes] = [*TEXTS, *BINARIES]

# What subscribers get: for themselves, for all, and back; and how many of each.
KINDS = ("own", "shared", "echo")
ROUNDS = 300

CODE = 4321
REASON = "that is all"


def text(kind: str, index: int) -> str:
    """A text of a kind that subscribers get."""
    return f'{{"{kind}":{index},"name":"name {index % 7}"}}' * (1 + index * 7 % 41)
