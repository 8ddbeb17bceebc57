"""A request at an interface: it goes to a home as a message, and its answer comes back in parts."""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from achannels.asgi.body import Body
from achannels.asgi.events import path_of, request_content
from achannels.asgi.http import Found, Part, Request, answer_to
from achannels.asgi.interface import Interface
from achannels.asgi.node import Node
from achannels.asgi.remote.scope import pack_scope
from achannels.codec import Encoded, encode
from achannels.exceptions import RequestAborted, RequestTimeout
from achannels.split.event import Event, Verdict
from achannels.state import Connection
from achannels.types import Content, Receive, Scope, Send

if TYPE_CHECKING:
    from achannels.asgi.line import Line

logger = logging.getLogger("achannels.server")

SMALL = 64 * 1024
"""Bytes of a body that travels with its request."""

_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods whose requests have no body unless they say so."""


class RemoteBody(Body):
    """Reads the body of a request: a small one before the request leaves, else as the home asks."""

    def __init__(self, receive: Receive, limit: int, timeout: float) -> None:
        super().__init__(receive, max(limit, SMALL), timeout)
        self.line: Line
        self._allowed = 0
        self._sent = 0
        self._index = 0
        self._asked = asyncio.Event()
        self._dropping = False

    async def small(self, scope: Scope) -> tuple[bytes, bool]:
        """Return what is there of the body and whether that is all, without a long wait."""
        declared = next((v for k, v in scope["headers"] if k == b"content-length"), None)
        if declared is None:
            chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
            return b"", scope["method"].upper() in _BODILESS and not chunked
        if not declared.isdigit() or int(declared) > SMALL:
            return b"", False
        return await self.read(), True

    def allow(self, size: int) -> None:
        """The home takes the body up to so many bytes."""
        self._allowed = max(self._allowed, size)
        self._asked.set()

    def drop(self) -> None:
        """Nobody will ask for the body any more."""
        self._dropping = True
        self._asked.set()

    async def gone(self) -> None:
        """Tell the home the parts that it asks for; return when the client left."""
        while not self.left:
            await self._may_read()
            event = await self._receive()
            if event["type"] == "http.disconnect":
                self.left = True
                self.line.tell("gone")
                return
            part, more = event.get("body", b""), event.get("more_body", False)
            if self._dropping:
                continue
            for at in range(0, max(len(part), 1), SMALL):
                piece = part[at : at + SMALL]
                self.line.tell("part", self._index, piece, more or at + SMALL < len(part))
                self._index += 1
            self._sent += len(part)
            self.complete = not more

    async def _may_read(self) -> None:
        """Wait until the home wants more, or needs nothing."""
        while not (self.complete or self._dropping or self._sent < self._allowed):
            self._asked.clear()
            await self._asked.wait()


class RemoteRequest(Request):
    """The life of one request whose consumer runs in another process."""

    _body: RemoteBody

    def __init__(
        self,
        interface: Interface,
        node: Node,
        scope: Scope,
        receive: Receive,
        send: Send,
        found: Found | None,
        content: Content,
    ) -> None:
        super().__init__(node, scope, receive, send, found, content)
        self._interface = interface
        self._line: Line
        self._parts: deque[tuple[Part | None, int]] = deque()
        self._writing = False
        self._was_put = False
        self._next = (-1, 0)

    def _make_body(self, receive: Receive) -> Body:
        return RemoteBody(receive, self._max_size, self._node.settings.http_timeout)

    @property
    def pending(self) -> int:
        """Messages that were taken and are not written."""
        return super().pending + sum(part is not None for part, _ in self._parts)

    def deliver(self, message: Encoded, *, group: bool) -> bool:
        """Take a part from the layer, or an answer of the home."""
        if not group and message.is_list:
            self._line.answered(message)
            return True
        return super().deliver(message, group=group)

    def gap(self, groups: list[str], reason: str, since: float) -> None:
        """What the home has answered may be lost, and what it was told of the body."""
        self._is_torn = self._is_torn or reason != "log_full"
        if self._is_torn and self._was_put:
            self._tear()

    # What the home answers; see `achannels.asgi.line.Owner`.

    def answered(self, answer: list[Any]) -> None:
        """Do what the home says."""
        match answer:
            case ["reply", term, body, number]:
                self._take(term, body, number)
            case ["deny", term, status, text, headers] if term == self._line.sequencer.term:
                self._moved.set()
                pairs = [(name, value) for name, value in headers]
                self._node.run_beside(self._abort(status, text, pairs))
            case ["body", _, size]:
                self._body.allow(size)
            case _:
                logger.error("a home answers %r, which means nothing here", answer[0])

    def finished(self, event: Event, verdict: Verdict) -> None:
        """The home has handled the request, or is dead, or there was none."""
        if event.kind != "http.request":
            return
        self._body.drop()
        if verdict == "expired" and not self._complete.is_set():
            self._node.run_beside(self._abort(504, "no worker took the request in time"))
        elif verdict == "lost" and not self._complete.is_set():
            self._node.run_beside(self._abort(503, "the worker is gone"))
        elif verdict == "unreadable":
            self._node.run_beside(self._abort(500, "the worker has another key"))

    def full(self, event: Event) -> bool:
        """The shared channel has no room for a request: it is answered at once."""
        if event.kind == "http.request":
            self._node.run_beside(self._abort(503, "too many requests wait for a worker"))
        return event.kind != "http.request"

    def _take(self, term: int, body: bytes, number: int) -> None:
        """Take a part; each home counts its own from nothing."""
        known, following = self._next
        if number != (following if term == known else 0):
            self._count(written=False)
            self._tear()
            return
        self._next = (term, number + 1)
        self._parts.append((Part(Encoded(body).decode()), len(body)))
        self._work_off()

    def _tear(self) -> None:
        """End the answer after the parts before the one that is lost."""
        self._line.tell("gone")
        self._parts.append((None, 0))
        self._work_off()

    def _work_off(self) -> None:
        if not self._writing:
            self._writing = True
            self._node.run_beside(self._write_parts())

    async def _write_parts(self) -> None:
        try:
            while self._parts:
                part, size = self._parts[0]
                if part is None:
                    await self._abort(503, "a part of the answer was lost")
                else:
                    self._count(written=await self._put(part))
                    self._line.credit(size)
                self._parts.popleft()
        finally:
            self._writing = False

    def _count(self, *, written: bool) -> None:
        books = self._node.layer.books
        if written:
            books.delivered += 1
        else:
            books.drop("gone")

    # The life.

    def _attached(self) -> None:
        line = self._interface.open(self.channel_name, pack_scope(self.scope), self)
        self._line = self._body.line = line

    async def _handle(self, connection: Connection) -> bool:
        """Offer the request; an answer may always come."""
        try:
            body, complete = await self._body.small(self.scope)
        except (RequestAborted, RequestTimeout) as error:
            if not self._body.left:
                await self._answer(*(answer_to(error) or (500, "")))
            return False
        self._body.complete = complete
        content = {
            "content": self._content,
            "body": body,
            "complete": complete,
            "max_size": self._max_size,
            "stays": "http.disconnect" in self._node.router.channels,
        }
        self._was_put = True
        self._line.put("http.request", encode(content, "http.request", 2**31).body)
        return True

    def _goes_on(self) -> bool:
        """Whether the answer has moved since the last look, or a home is at work on it."""
        sequencer = self._line.sequencer
        at_work = sequencer.home is not None and len(sequencer) > 0
        return super()._goes_on() or at_work

    def _silence(self) -> tuple[int, str]:
        """Return what is answered when no answer came in time, or nobody took the request."""
        if self._line.sequencer.home is None:
            return 504, "no worker took the request in time"
        return super()._silence()

    async def _disconnected(self, connection: Connection, left: bool) -> None:
        if not self._was_put:
            return
        content: Content = {"reply_channel": self.channel_name, "path": self._content["path"]}
        found = self._node.dispatcher.find("http.disconnect", content)
        runs = found is not None and (left or found[0].every_end)
        kind = "http.disconnect" if runs else "http.over"
        self._line.close(kind, encode(content, kind, 2**31).body)

    def _leave(self) -> None:
        self._body.drop()
        self._line.let_go()
        super()._leave()


def find(node: Node, scope: Scope, *, any_path: bool) -> tuple[Found | None, Content] | None:
    """Return the consumer of a request, if there is one, and its content.

    Args:
        node: Of the request.
        scope: The server's.
        any_path: Homes answer the requests that no route takes too.
    """
    content = request_content(scope, path_of(scope), "")
    found = node.dispatcher.find("http.request", content)
    return (found, content) if found is not None or any_path else None


__all__ = ["RemoteBody", "RemoteRequest", "find"]
