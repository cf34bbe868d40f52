#!/usr/bin/env python3
"""A chat: serves the page examples/web/chat.html and its WebSocket on http://127.0.0.1:9001/.

    chat.py [HOST PORT]
"""

import json
import signal
import sys
import threading
import time
import urllib.parse
from collections import deque
from pathlib import Path
from typing import Any, Deque, Dict, Optional

import raddle

PAGE = Path(__file__).parents[1] / "web" / "chat.html"


class Room:
    """Who is here, and what was said."""

    def __init__(self) -> None:
        # Held while something is said, so that all hear it in the same order.
        self.lock = threading.Lock()
        self.names: Dict[raddle.ServerConnection, str] = {}
        self.history: Deque[Dict[str, Any]] = deque(maxlen=500)

    def enter(self, websocket: raddle.ServerConnection) -> str:
        """Gives the newcomer a name that nobody has and what was said so far, and tells the others."""
        query = urllib.parse.urlsplit(websocket.request.path).query if websocket.request else ""
        asked = "".join(urllib.parse.parse_qs(query).get("name", [])).strip()[:40] or "Somebody"
        with self.lock:
            name, number = asked, 2
            while name in self.names.values():
                name, number = f"{asked} {number}", number + 1
            self.names[websocket] = name
            welcome = {"type": "welcome", "you": name, "online": self.online(), "history": list(self.history)}
            websocket.send(json.dumps(welcome))
            self.tell({"type": "join", "name": name, "online": self.online()})
        return name

    def leave(self, websocket: raddle.ServerConnection) -> None:
        with self.lock:
            name = self.names.pop(websocket, None)
            if name is not None:
                self.tell({"type": "leave", "name": name, "online": self.online()})

    def say(self, name: str, message: raddle.Data) -> None:
        at = round(time.time() * 1000)
        with self.lock:
            if isinstance(message, bytes):
                self.tell({"type": "picture", "from": name, "at": at})
                raddle.broadcast(self.names, message)
                return
            said = json.loads(message)
            if isinstance(said, dict) and said.get("type") == "say" and isinstance(said.get("text"), str):
                self.history.append({"from": name, "text": said["text"], "at": at})
                self.tell({"type": "say", "from": name, "text": said["text"], "at": at})

    def tell(self, what: Dict[str, Any]) -> None:
        raddle.broadcast(self.names, json.dumps(what))

    def online(self) -> Any:
        return sorted(self.names.values())


def page(websocket: raddle.ServerConnection, request: raddle.Request) -> Optional[raddle.Response]:
    """Serves the page, and opens WebSockets at /chat."""
    path = urllib.parse.urlsplit(request.path).path
    if path == "/chat":
        return None
    if path != "/":
        return websocket.respond(404, "Not found\n")
    headers = raddle.Headers([("Content-Type", "text/html; charset=utf-8")])
    return raddle.Response(200, "OK", headers, PAGE.read_bytes())


def main() -> None:
    host, port = (sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 2 else ("127.0.0.1", 9001)
    room = Room()

    def chat(websocket: raddle.ServerConnection) -> None:
        try:
            name = room.enter(websocket)
            for message in websocket:
                room.say(name, message)
        except json.JSONDecodeError:
            websocket.close(1008, "that is no JSON")
        finally:
            room.leave(websocket)

    with raddle.serve(chat, host, port, process_request=page) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.shutdown())
        print(f"listening on http://{host}:{server.socket.getsockname()[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
