"""Somebody who uses the chat example without a browser: logs in by HTTP, opens sockets."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.server import Server

Line = tuple[str, str, str]
"""Kind, name and text."""


class Visit:
    """A socket in a room.

    Attributes:
        history: The lines that came first.
        afresh: Whether the page has to start anew with them.
        last: Number of the line that came last.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.history: list[Line] = []
        self.afresh = False
        self.last = 0

    async def look(self) -> None:
        """Take the history."""
        frame = await self._frame()
        self.history = [_line(line) for line in frame["lines"]]
        self.afresh = frame["afresh"]

    async def hear(self) -> Line:
        """Take the next line."""
        frame = await self._frame()
        assert not frame["afresh"]
        (line,) = frame["lines"]
        return _line(line)

    async def say(self, text: str) -> None:
        """Say something."""
        await self.socket.send(text)

    async def _frame(self) -> Any:
        frame = json.loads(await self.socket.recv())
        self.last = max([self.last, *(line["id"] for line in frame["lines"])])
        return frame


class Person:
    """Somebody with a name and a cookie jar, as an async context manager that logs in."""

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self.server = server
        self.pages = httpx.AsyncClient(base_url=server.url, verify=False, trust_env=False)

    async def __aenter__(self) -> Self:
        await self.pages.__aenter__()
        answer = await self.submit("/sign-in/", name=self.name)
        assert answer.status_code == 302, answer.text
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.pages.__aexit__(kind, error, traceback)

    async def submit(self, path: str, **fields: str) -> httpx.Response:
        """Fill in the form of a page."""
        page = await self.pages.get(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None, page.text
        return await self.pages.post(path, data={"csrfmiddlewaretoken": token[1], **fields})

    @property
    def cookies(self) -> str:
        """The value of the `Cookie` header."""
        return "; ".join(f"{name}={value}" for name, value in self.pages.cookies.items())

    @asynccontextmanager
    async def enter(self, room: str, query: str = "") -> AsyncIterator[Visit]:
        """Enter a room, as its page does."""
        headers = {"Cookie": self.cookies}
        async with connect(
            socket_address(self.server, f"/chat/{room}/{query}"),
            additional_headers=headers,
            origin=self.server.url,  # type: ignore[arg-type]
        ) as socket:
            visit = Visit(socket)
            await visit.look()
            yield visit


def socket_address(server: Server, path: str) -> str:
    """Return the address of a socket of the server."""
    return f"ws://127.0.0.1:{server.port}{path}"


def _line(line: dict[str, Any]) -> Line:
    return line["kind"], line["name"], line["text"]
