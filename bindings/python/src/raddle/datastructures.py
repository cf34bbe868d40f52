"""The headers of an opening handshake: names in any case, of which each may stand several times."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, Iterator, List, Mapping, MutableMapping, Tuple, Union

from .exceptions import InvalidHeaderValue

__all__ = ["Headers", "HeadersLike", "MultipleValuesError"]


class MultipleValuesError(LookupError):
    """A header was asked for as if it stood once, but it stands several times."""


class Headers(MutableMapping[str, str]):
    """Headers in their order, with the interface of a mapping whose keys are their names in any case.

    Setting a header adds one: ``headers["Set-Cookie"] = ...`` twice gives two. Getting one that stands several times is a
    :exc:`MultipleValuesError`; :meth:`get_all` gives them all.

    Values are bytes on the wire. Of those that come, each character is one byte (ISO-8859-1); those that go are sent as UTF-8.

    >>> headers = Headers({"Host": "example.com"})
    >>> headers["X-Room"] = "1"
    >>> headers["host"], list(headers)
    ('example.com', ['host', 'x-room'])
    """

    __slots__ = ("_items",)

    def __init__(self, *headers: HeadersLike, **named: str) -> None:
        self._items: List[Tuple[str, str]] = []
        self.update(*headers, **named)

    @classmethod
    def _of(cls, items: List[Tuple[str, str]]) -> Headers:
        """Takes headers that were checked before."""
        headers = cls()
        headers._items = items
        return headers

    def get_all(self, key: str) -> List[str]:
        """All values of a header; none where it does not stand there."""
        key = key.lower()
        return [value for name, value in self._items if name.lower() == key]

    def raw_items(self) -> Iterator[Tuple[str, str]]:
        """Each header with its name as it was sent, in order."""
        return iter(self._items)

    def copy(self) -> Headers:
        """A copy, which changes by itself."""
        return self._of(list(self._items))

    def clear(self) -> None:
        """Removes all headers."""
        self._items = []

    def update(self, *headers: HeadersLike, **named: str) -> None:  # type: ignore[override]
        """Adds headers.

        :raises InvalidHeaderValue: a value has a character that may not stand in one
        """
        for some in headers:
            for name, value in _pairs(some):
                self[name] = value
        for name, value in named.items():
            self[name] = value

    def serialize(self) -> bytes:
        """The headers as they are on the wire, with the empty line behind them."""
        return str(self).encode("iso-8859-1")

    def __getitem__(self, key: str) -> str:
        values = self.get_all(key)
        if not values:
            raise KeyError(key)
        if len(values) > 1:
            raise MultipleValuesError(key)
        return values[0]

    def __setitem__(self, key: str, value: str) -> None:
        if not isinstance(key, str):
            raise TypeError(f"the name of a header must be a str, not {type(key).__name__}")
        # Numbers too, as programs give them.
        text = str(value)
        if not _VALUE(text):
            raise InvalidHeaderValue(key, text)
        self._items.append((key, text))

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        lower = key.lower()
        self._items = [(name, value) for name, value in self._items if name.lower() != lower]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and bool(self.get_all(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name())

    def __len__(self) -> int:
        return len(self._by_name())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._by_name() == other._by_name()

    def __str__(self) -> str:
        return "".join(f"{name}: {value}\r\n" for name, value in self._items) + "\r\n"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._items!r})"

    def _by_name(self) -> Dict[str, List[str]]:
        names: Dict[str, List[str]] = {}
        for name, value in self._items:
            names.setdefault(name.lower(), []).append(value)
        return names


HeadersLike = Union[Headers, Mapping[str, str], Iterable[Tuple[str, str]]]


def _pairs(headers: Any) -> Iterator[Tuple[str, str]]:
    if isinstance(headers, Headers):
        return headers.raw_items()
    if hasattr(headers, "keys"):
        return iter([(name, headers[name]) for name in headers.keys()])
    return iter(headers)


# RFC 9110, section 5.5: tabs, spaces, visible characters, and bytes above ASCII.
_VALUE = re.compile(r"[\t -~\x80-\xff]*").fullmatch
