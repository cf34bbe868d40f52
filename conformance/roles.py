"""The driver's two roles: a client that runs the cases against a server, and a server that clients come to for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable
from urllib.parse import urlsplit

from autobahn.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.types import ConnectionDeny
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint

from cases import CaseConnection

# Seconds. With `failByDrop`, the engine would break off where it should say why and wait for the peer's answer.
OPTIONS = {"failByDrop": False, "openHandshakeTimeout": 10, "closeHandshakeTimeout": 5}


@dataclass
class Verdict:
    """What has come of a case."""

    behaviour: str
    close: str
    close_code: int | None = None
    faults: list[str] = field(default_factory=list)
    found: str = ""
    events: str = ""


@dataclass
class Run:
    """The cases to be run, and what has come of those that were."""

    cases: dict[str, type]
    # Seconds that a case, or the wait for the next, may take.
    patience: float
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    # Why the run was given up.
    given_up: str | None = None

    def watch(self, action: Callable[[], None]) -> Any:
        return reactor.callLater(self.patience, action)

    def record(self, number: str, connection: CaseConnection) -> None:
        behaviour, close = connection.end()
        case = connection.case
        events = f"received {case.received!r:.300}, expected {case.expected!r:.300}" if case.expected else ""
        found = f"{case.result} {case.resultClose}"
        code = connection.remoteCloseCode
        self.verdicts[number] = Verdict(behaviour, close, code, connection.faults, found, events)

    def give_up(self, why: str) -> None:
        self.given_up = why
        if reactor.running:
            reactor.stop()


class ToServer(CaseConnection, WebSocketClientProtocol):
    """A connection to the server under test."""

    def connectionMade(self) -> None:
        self.timeout = self.factory.run.watch(self.abandon)
        super().connectionMade()

    def connectionLost(self, reason: Any = None) -> None:
        super().connectionLost(reason)
        if self.timeout.active():
            self.timeout.cancel()
        self.factory.ended(self)

    def abandon(self) -> None:
        self.faults.append("the case took too long")
        self.dropConnection(abort=True)


class ServerTest(WebSocketClientFactory):
    """Runs one case after the other against the server at `url`."""

    protocol = ToServer

    def __init__(self, url: str, run: Run) -> None:
        super().__init__(url)
        self.setProtocolOptions(serverConnectionDropTimeout=5, **OPTIONS)
        self.run = run
        self.left = iter(run.cases)
        self.number = ""
        reactor.callWhenRunning(self.next)

    def next(self) -> None:
        self.number = next(self.left, "")
        if not self.number:
            return reactor.stop()
        address = urlsplit(self.url)
        connecting = TCP4ClientEndpoint(reactor, address.hostname, address.port, timeout=10).connect(self)
        connecting.addErrback(lambda failure: self.run.give_up(f"no connection: {failure.getErrorMessage()}"))

    def buildProtocol(self, address: Any) -> ToServer:
        connection = super().buildProtocol(address)
        connection.begin(self.run.cases[self.number])
        return connection

    def ended(self, connection: ToServer) -> None:
        self.run.record(self.number, connection)
        reactor.callLater(0, self.next)


class FromClient(CaseConnection, WebSocketServerProtocol):
    """A connection from the client under test, which names the case that it comes for in its target."""

    path = ""
    number = ""

    def onConnect(self, request: Any) -> None:
        self.path = request.path
        self.number = self.factory.asked_for(request)
        if self.number:
            self.begin(self.factory.run.cases[self.number])
        elif self.path not in ("/getCaseCount", "/updateReports"):
            raise ConnectionDeny(ConnectionDeny.NOT_FOUND, "no such target or case")

    def onOpen(self) -> None:
        if self.case:
            return super().onOpen()
        if self.path == "/getCaseCount":
            self.sendMessage(str(len(self.factory.run.cases)))
        self.sendClose(self.CLOSE_STATUS_CODE_NORMAL)

    def connectionLost(self, reason: Any = None) -> None:
        super().connectionLost(reason)
        if self.case:
            self.factory.run.record(self.number, self)
        elif self.path == "/updateReports":
            reactor.callLater(0, reactor.stop)


class ClientTest(WebSocketServerFactory):
    """Waits for a client that counts the cases, runs each, and says when it has done."""

    protocol = FromClient

    def __init__(self, host: str, port: int, run: Run, announce: Callable[[str], None]) -> None:
        super().__init__()
        self.setProtocolOptions(**OPTIONS)
        self.run = run
        self.idle = run.watch(self.abandon)
        listening = TCP4ServerEndpoint(reactor, port, interface=host).listen(self)
        listening.addCallback(lambda bound: announce(f"ws://{host}:{bound.getHost().port}"))
        listening.addErrback(lambda failure: run.give_up(f"cannot listen: {failure.getErrorMessage()}"))

    def asked_for(self, request: Any) -> str:
        """Gives the case that the client asks for, which counts from 1; or nothing."""
        self.idle.reset(self.run.patience)
        index = request.params.get("case", [""])[0]
        if request.path == "/runCase" and index.isdecimal() and 1 <= int(index) <= len(self.run.cases):
            return list(self.run.cases)[int(index) - 1]
        return ""

    def abandon(self) -> None:
        self.run.give_up("the client did not come for its next case")
