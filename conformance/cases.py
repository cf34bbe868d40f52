"""The cases of Autobahn's test suite, made to run on today's Autobahn engine.

The case files (wheel `kosoku`) talk to their connection in the camel-case names and byte strings of an engine for
Python 2. `load` gives the cases, adapted; `CaseConnection` is the connection that they talk to, in terms of today's
engine.
"""

from __future__ import annotations

import re
import sys
import types
from collections import deque
from typing import Any, Callable, Union

# The case files bring stand-ins for these modules, which are not looked at where the real ones are there.
from autobahn.websocket import compress, utf8validator
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet import reactor

TEXT, BINARY, CONTINUATION = 1, 2, 0

Payload = Union[str, bytes, int, None]


def load() -> dict[str, type]:
    """Gives the class of each case by its number, as `{"1.1.1": Case1_1_1, …}`, in order."""
    for name in ("Offer", "OfferAccept", "Response", "ResponseAccept"):
        give_old_names(getattr(compress, f"PerMessageDeflate{name}"))
    real, sys.modules[utf8validator.__name__] = utf8validator, validator_of_old_strings()
    try:
        from kosoku.cases import CASES
    finally:
        sys.modules[utf8validator.__name__] = real
    # Equal values can pickle differently, and pickles are what the cases compare.
    sys.modules["case"].Case.compare = lambda _self, received, expected: received == expected
    for case in CASES.values():
        case.PAYLOAD = unfold(getattr(case, "PAYLOAD", None))
    return CASES


def give_old_names(parameters: type) -> None:
    """Lets a class of deflate parameters be made, and read, by the old names: `requestMaxWindowBits=9`."""
    init = parameters.__init__

    def init_by_old_names(self: Any, *positional: Any, **named: Any) -> None:
        init(self, *positional, **{snake_case(name): value for name, value in named.items()})

    parameters.__init__ = init_by_old_names  # type: ignore[misc]
    for verb in ("accept", "request"):
        for noun in ("NoContextTakeover", "MaxWindowBits"):
            new_name = snake_case(verb + noun)
            setattr(parameters, verb + noun, property(lambda self, name=new_name: getattr(self, name)))


def snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), name)


def validator_of_old_strings() -> types.ModuleType:
    """A module for the case files: its validator takes bytes as the characters of a string."""

    class OldUtf8Validator(utf8validator.Utf8Validator):
        def validate(self, text: str) -> tuple[bool, bool, int, int]:
            return super().validate(text.encode("latin-1"))

    module = types.ModuleType(utf8validator.__name__)
    module.Utf8Validator = OldUtf8Validator  # type: ignore[attr-defined]
    return module


def unfold(payload: Payload) -> Payload:
    """Turns a text whose characters stand for the bytes of a UTF-8 text into that text.

    Without this, the cases with valid UTF-8 would send something else: each of its bytes encoded again.
    """
    try:
        return payload.encode("latin-1").decode() if isinstance(payload, str) else payload
    except UnicodeError:
        return payload


def to_bytes(payload: Payload, encoding: str) -> bytes:
    if isinstance(payload, str):
        return payload.encode(encoding)
    if isinstance(payload, int):
        return bytes([payload])
    return payload or b""


class CaseConnection(WebSocketProtocol):
    """A connection that runs one case. Mixed into the engine's protocol classes, of either role."""

    connectionWasOpen = False
    createWirelog = False

    def __init__(self) -> None:
        super().__init__()
        self.case: Any = None
        # Why the case has failed, whatever the case itself finds.
        self.faults: list[str] = []
        # How many frames of each opcode were sent.
        self.txFrameStats: dict[int, int] = {}
        # What was sent, as (is_binary, payload): an echo comes back in the same order.
        self.sent: deque[tuple[bool, bytes]] = deque()
        self.sending: tuple[bool, list[bytes]] | None = None

    def begin(self, case: type) -> None:
        self.case = case(self)

    def end(self) -> tuple[str, str]:
        """Ends the case and gives its two verdicts: on the behaviour, and on how the connection was closed."""
        self.call(self.case.onConnectionLost, self.failedByMe)
        behaviour, close = self.case.behavior, self.case.behaviorClose
        if not self.connectionWasOpen:
            self.faults.append("the opening handshake was not completed")
        if self.faults:
            behaviour = "FAILED"
        # The cases let this pass where they ask for no clean close.
        if close == "OK" and (self.wasCloseHandshakeTimeout or self.wasServerConnectionDropTimeout):
            close = "UNCLEAN"
        # And this they let pass everywhere. Only an empty Close is answered with an empty one.
        was_empty = self.closedByMe and self.localCloseCode is None
        if close == "OK" and self.remoteCloseCode is None:
            if not was_empty or self.CLOSE_STATUS_CODE_NORMAL not in self.case.expectedClose["closeCode"]:
                close = "NO CODE"
        return behaviour, close

    def call(self, method: Callable[..., None], *arguments: Any) -> None:
        """Calls into the case. An exception there is its failure."""
        try:
            method(*arguments)
        except Exception as error:  # noqa: BLE001
            self.fail(f"the case has raised {error!r}")

    def fail(self, fault: str) -> None:
        self.faults.append(fault)
        self._fail_connection(self.CLOSE_STATUS_CODE_GOING_AWAY, "the case has failed")

    # What the engine tells.

    def onOpen(self) -> None:
        self.connectionWasOpen = True
        self.call(self.case.onOpen)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        # Compressed messages are compared by the cases.
        if self._perMessageCompress is None and (not self.sent or self.sent.popleft() != (isBinary, payload)):
            self.faults.append("a message came back that is not the one that was sent")
        # The cases of permessage-deflate take bytes, all others text.
        as_bytes = hasattr(self.case, "TESTDATA")
        message = payload if as_bytes else payload.decode("latin-1" if isBinary else "utf-8")
        self.call(self.case.onMessage, message, isBinary)

    def onPing(self, payload: bytes) -> None:
        super().onPing(payload)
        self.call(self.case.onPing, payload.decode("latin-1"))

    def onPong(self, payload: bytes) -> None:
        self.call(self.case.onPong, payload.decode("latin-1"))

    def _protocol_violation(self, reason: str) -> bool:
        self.faults.append(f"the peer broke the protocol: {reason}")
        return bool(super()._protocol_violation(reason))

    def _invalid_payload(self, reason: str) -> bool:
        self.faults.append(f"the peer broke the protocol: {reason}")
        return bool(super()._invalid_payload(reason))

    # What the cases call: the old engine's names, and strings for bytes.

    def sendFrame(
        self,
        opcode: int,
        payload: Payload = b"",
        fin: bool = True,
        rsv: int = 0,
        mask: bytes | None = None,
        payload_len: int | None = None,
        chopsize: int | None = None,
        sync: bool = False,
    ) -> None:
        octets = to_bytes(payload, "utf-8" if opcode in (TEXT, CONTINUATION) else "latin-1")
        self.txFrameStats[opcode] = self.txFrameStats.get(opcode, 0) + 1
        if payload_len is not None and octets:
            octets = (octets * (payload_len // len(octets) + 1))[:payload_len]
        self.note_sent(opcode, octets, fin)
        super().sendFrame(opcode, octets, fin, rsv, mask, None, chopsize, sync)

    def note_sent(self, opcode: int, octets: bytes, fin: bool) -> None:
        if opcode in (TEXT, BINARY):
            self.sending = (opcode == BINARY, [])
        if opcode in (TEXT, BINARY, CONTINUATION) and self.sending:
            is_binary, fragments = self.sending
            fragments.append(octets)
            if fin:
                self.sent.append((is_binary, b"".join(fragments)))
                self.sending = None

    def sendMessage(
        self,
        payload: Payload,
        isBinary: bool = False,
        fragmentSize: int | None = None,
        sync: bool = False,
        doNotCompress: bool = False,
    ) -> None:
        # The old engine passed over what came too late.
        if self.state == self.STATE_OPEN:
            octets = to_bytes(payload, "latin-1" if isBinary else "utf-8")
            super().sendMessage(octets, isBinary, fragmentSize, sync, doNotCompress)

    def sendMessageFrameData(self, payload: Payload, sync: bool = False) -> None:
        super().sendMessageFrameData(to_bytes(payload, "utf-8"), sync)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: Payload = None, isReply: bool = False) -> None:
        reason = None if reasonUtf8 is None else to_bytes(reasonUtf8, "latin-1")
        super().sendCloseFrame(code, reason, isReply)

    def continueLater(self, delay: float, method: Callable[..., None], _tag: str | None = None) -> None:
        self.later(delay, lambda: self.call(method))

    def killAfter(self, delay: float) -> None:
        # Only a case that fails waits for this; on a machine that is busy, none should fail for that.
        self.later(4 * delay, lambda: self._fail_connection(self.CLOSE_STATUS_CODE_GOING_AWAY, "the case has ended"))

    def closeAfter(self, delay: float) -> None:
        self.later(delay, self.sendClose)

    def later(self, delay: float, action: Callable[[], None]) -> None:
        reactor.callLater(delay, lambda: self.state != self.STATE_CLOSED and action())

    def enableWirelog(self, _enable: bool) -> None:
        """The driver keeps no log of the wire."""
