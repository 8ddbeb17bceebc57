"""Test doubles for the outside of the package, named for what they do."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from achannels.types import Event, Scope


class RecordingSend:
    """A server's `send` that takes everything at once and remembers it."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def types(self) -> list[str]:
        """The types of the events, in order."""
        return [event["type"] for event in self.events]


class StalledSend(RecordingSend):
    """A server's `send` that waits after so many events, until it is released."""

    def __init__(self, after: int = 0) -> None:
        super().__init__()
        self.after = after
        self.stalled = asyncio.Event()
        self.released = asyncio.Event()

    async def __call__(self, event: Event) -> None:
        if len(self.events) >= self.after and not self.released.is_set():
            self.stalled.set()
            await self.released.wait()
        await super().__call__(event)


class BrokenSend(RecordingSend):
    """A server's `send` that raises after so many events, as for a client that is gone."""

    def __init__(self, after: int = 0, error: type[Exception] = ConnectionResetError) -> None:
        super().__init__()
        self.after = after
        self.error = error

    async def __call__(self, event: Event) -> None:
        if len(self.events) >= self.after:
            raise self.error("the client is gone")
        await super().__call__(event)


class ScriptedReceive:
    """A server's `receive` that gives these events, then waits for `put`."""

    def __init__(self, *events: Event) -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self.put(*events)

    def put(self, *events: Event) -> None:
        """Give these events next."""
        for event in events:
            self._events.put_nowait(event)

    async def __call__(self) -> Event:
        return await self._events.get()


class RecordingSocket:
    """The other end of a reply channel: it takes everything at once and remembers it."""

    channel_name = "node!key"
    is_over = False
    scope: Scope

    def __init__(self, **scope: Any) -> None:
        self.scope = scope
        self.replies: list[Mapping[str, Any]] = []

    async def reply(self, content: Mapping[str, Any]) -> None:
        await self.write(self.prepare(content))

    def prepare(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        return content

    async def write(self, prepared: Mapping[str, Any]) -> None:
        self.replies.append(prepared)


def websocket_scope(path: str = "/", **more: Any) -> dict[str, Any]:
    """Return the scope of a socket as uvicorn makes it."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"testserver")],
        "client": ("127.0.0.1", 50123),
        "server": ("testserver", 80),
        "subprotocols": [],
        "state": {},
        "extensions": {"websocket.http.response": {}},
        **more,
    }


def assert_balanced(statistics: Mapping[str, Any]) -> None:
    """Check that every message that was accepted is accounted for."""
    settled = statistics["delivered"] + statistics["expired"] + sum(statistics["dropped"].values())
    assert statistics["accepted"] == settled + statistics["pending"], statistics


def errors(records: Iterable[logging.LogRecord], logger: str) -> list[logging.LogRecord]:
    """Return the ERROR records of a logger."""
    return [each for each in records if each.name == logger and each.levelno >= logging.ERROR]
