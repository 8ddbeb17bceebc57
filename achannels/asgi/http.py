"""One request that a consumer answers: body in, parts of the response out, late answers too."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from achannels.asgi.body import Body, BodyTooLarge
from achannels.asgi.events import headers_of, is_int, path_of, request_content
from achannels.asgi.node import Node
from achannels.codec import Encoded
from achannels.dispatch import Handler, log_error
from achannels.exceptions import (
    DenyConnection,
    InvalidContent,
    Reject,
    RequestAborted,
    RequestTimeout,
    StopConsumer,
)
from achannels.state import Connection
from achannels.types import Content, Receive, Scope, Send

logger = logging.getLogger("achannels.server")

_KEYS = frozenset({"status", "headers", "content", "more_content"})


Found = tuple[Handler, dict[str, Any]]


class Part:
    """A checked part of a response."""

    __slots__ = ("content", "headers", "more", "status")

    def __init__(self, content: Mapping[str, Any]) -> None:
        for key in content:
            if key not in _KEYS:
                raise InvalidContent(
                    f"content has the key {key!r}, which a request has no use for; it takes "
                    "status, headers, content and more_content."
                )
        status = content.get("status")
        if status is not None and not (is_int(status) and 100 <= status <= 599):
            raise InvalidContent(f"content['status'] is {status!r}; it is an HTTP status.")
        self.status = None if status is None else int(status)
        self.headers = headers_of(content.get("headers") or [])
        data = content.get("content", b"")
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidContent(
                f"content['content'] is of type {type(data).__name__}; it is bytes. "
                "Send text.encode()."
            )
        self.content = bytes(data)
        self.more = bool(content.get("more_content", False))


class Request:
    """The life of one request that a consumer answers."""

    def __init__(
        self,
        node: Node,
        scope: Scope,
        receive: Receive,
        send: Send,
        found: Found | None,
        content: Content,
    ) -> None:
        self.scope = scope
        self.channel_name = ""
        self._node = node
        self._send = send
        self._found = found
        self._content = content
        handler = found[0] if found is not None else None
        own = handler and (handler.max_body or handler.options.max_size)
        self._max_size = own or node.settings.max_size
        self._body = self._make_body(receive)
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._started = False
        self._answered = False
        self._is_torn = False
        self._complete = asyncio.Event()
        self._moved = asyncio.Event()
        self._leaving: asyncio.Task[None] | None = None

    def _make_body(self, receive: Receive) -> Body:
        return Body(receive, self._max_size, self._node.settings.http_timeout)

    def _attached(self) -> None:
        """The request has its reply channel; nothing was sent to it yet."""

    async def run(self) -> None:
        """Serve the request."""
        node = self._node
        self.channel_name = self._content["reply_channel"] = node.layer.attach(self)
        self._attached()
        node.sockets.add(self)
        connection = Connection(self.scope, node.layer, self)
        gone = False
        try:
            if await self._handle(connection):
                gone = await self._wait()
        except asyncio.CancelledError:  # servers cancel a request whose client is gone
            gone = True
            raise
        finally:
            left = (gone or self._body.left) and not self._answered
            self._complete.set()
            if self._leaving is not None:
                self._leaving.cancel()
                await asyncio.wait([self._leaving])
            await self._body.close()
            if "http.disconnect" in node.router.channels:
                await asyncio.wait([node.spawn(self._disconnected(connection, left))])
            self._leave()

    def _leave(self) -> None:
        self._node.layer.detach(self.channel_name)
        self._node.leave(self)

    @property
    def is_over(self) -> bool:
        """Whether nobody hears an answer any more."""
        return self._complete.is_set() or self._body.left

    @property
    def pending(self) -> int:
        """Messages that were taken and are not written."""
        return self._waiting

    @property
    def capacity(self) -> int:
        """Messages that may wait."""
        return self._node.settings.outbox_capacity

    def gap(self, groups: list[str], reason: str, since: float) -> None:
        """Parts from elsewhere may be lost: from now on only a whole answer is taken."""
        self._is_torn = self._is_torn or reason != "log_full"
        if reason == "unreadable" and not groups:
            self._tear()

    def deliver(self, message: Encoded, *, group: bool) -> bool:
        """Take a part from the layer; see `achannels.contracts.Receiver`."""
        books = self._node.layer.books
        if self._complete.is_set():
            books.drop("gone")
            return True
        try:
            part = Part(message.decode())
        except InvalidContent as error:
            logger.error("a message to %s was dropped: %s", self.channel_name, error)
            books.drop("rejected")
            return True
        if self._is_torn and (self._started or part.status is None):
            books.drop("gone")
            self._tear()
            return True
        if self._waiting >= self.capacity:
            if group:
                books.drop("full")
            return group
        self._waiting += 1
        self._node.run_beside(self._late(part))
        return True

    async def reply(self, content: Mapping[str, Any]) -> None:
        """Send a part of the response; waits while the client is slow."""
        await self.write(Part(content))

    def prepare(self, content: Mapping[str, Any]) -> Part:
        """Check a part; callable from any thread."""
        return Part(content)

    async def write(self, prepared: Part) -> None:
        """Send a checked part; while more is to come, hear whether the client leaves."""
        books = self._node.layer.books
        if prepared.more and self._body.complete:
            _ = self._hear()
        if await self._put(prepared):
            books.replies += 1
        else:
            books.accepted += 1
            books.drop("gone")

    def end(self, code: int, *, now: bool = False) -> None:
        """The node stops: answer 503 if nothing was sent yet."""
        if not self._started or now:
            self._complete.set()

    async def _late(self, part: Part) -> None:
        books = self._node.layer.books
        sent = False
        try:
            sent = await self._put(part)
        finally:
            self._waiting -= 1
            if sent:
                books.delivered += 1
            else:
                books.drop("gone")

    async def _put(self, part: Part) -> bool:
        """Send a part in its turn; return whether the client could still be told."""
        async with self._lock:
            if self.is_over:
                return False
            try:
                if not self._started:
                    self._started = True
                    await self._send(
                        {
                            "type": "http.response.start",
                            "status": 200 if part.status is None else part.status,
                            "headers": part.headers,
                        }
                    )
                elif part.status is not None:
                    logger.error(
                        "%s %s: a second status %d in one response was ignored",
                        self._content["method"],
                        self._content["path"],
                        part.status,
                    )
                await self._send(
                    {
                        "type": "http.response.body",
                        "body": part.content,
                        "more_body": part.more,
                    }
                )
            except (OSError, RuntimeError):  # which one, servers do not agree
                self._body.left = True
                self._complete.set()
                return False
            self._moved.set()
            if not part.more:
                self._answered = not self._body.left
                self._complete.set()
            return True

    async def _handle(self, connection: Connection) -> bool:
        """Run the consumer; return whether an answer may still come."""
        assert self._found is not None
        handler, kwargs = self._found
        channel = self._node.channels["http.request"]
        try:
            await handler.handle(connection, channel, self._content, kwargs, body=self._body)
        except Exception as error:  # noqa: BLE001 - every kind is answered there
            await self._failed(error, handler)
            return False
        return not self._complete.is_set()

    async def _failed(self, error: Exception, handler: Handler) -> None:
        """Answer what a consumer raised."""
        answer = answer_to(error)
        if answer is None:
            log_error(handler, "http.request", self._content["path"], error)
            await self._answer(500, "")
        elif not isinstance(error, RequestAborted) or not self._body.left:
            await self._answer(*answer)

    def _hear(self) -> asyncio.Task[None]:
        """Hear whether the client leaves; what is left of its body is dropped."""
        if self._leaving is None:
            self._leaving = asyncio.get_running_loop().create_task(self._body.gone())
        return self._leaving

    async def _wait(self) -> bool:
        """Wait for the rest of the answer; return whether the client left before."""
        timeout = self._node.settings.http_timeout
        gone = self._hear()
        complete = asyncio.get_running_loop().create_task(self._complete.wait())
        try:
            while True:
                self._moved.clear()
                done, _ = await asyncio.wait(
                    {gone, complete}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
                )
                if done or not self._goes_on():
                    break
        finally:
            complete.cancel()
            await asyncio.wait([complete])
        if self._body.left:
            return True
        if not self._started:
            await self._answer(*self._silence())
        return False

    def _silence(self) -> tuple[int, str]:
        """Return what is answered when no answer came in time."""
        return 503, "no answer came in time"

    def _goes_on(self) -> bool:
        """Whether the answer has moved since the last look."""
        return self._moved.is_set()

    async def _answer(
        self, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        if self._started:
            return
        self._complete.clear()
        body = text.encode()
        await self._put(
            Part(
                {
                    "status": status,
                    "headers": [
                        (b"content-type", b"text/plain; charset=utf-8"),
                        (b"content-length", str(len(body)).encode()),
                        *(headers or ()),
                    ],
                    "content": body,
                }
            )
        )

    def _tear(self) -> None:
        """End an answer of which a part is lost."""
        self._node.run_beside(self._abort(503, "a part of the answer was lost"))

    async def _abort(
        self, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        """Answer instead of the consumer; an answer that has begun ends without its last part."""
        if self._started and not self._complete.is_set():
            self._body.left = True
            self._complete.set()
        elif not self._complete.is_set():
            await self._answer(status, text, headers)

    async def _disconnected(self, connection: Connection, left: bool) -> None:
        content: Content = {"reply_channel": self.channel_name, "path": self._content["path"]}
        found = self._node.dispatcher.find("http.disconnect", content)
        if found is None or not (left or found[0].every_end):
            return
        handler, kwargs = found
        try:
            async with asyncio.timeout(self._node.settings.drain_timeout):
                await handler.handle(
                    connection, self._node.channels["http.disconnect"], content, kwargs
                )
        except Exception as error:  # noqa: BLE001 - nobody is left to answer
            log_error(handler, "http.disconnect", self._content["path"], error)


def answer_to(error: Exception) -> tuple[int, str, list[tuple[bytes, bytes]]] | None:
    """Return status, text and headers for what a consumer raised; `None` if it failed."""
    match error:
        case BodyTooLarge():
            return 413, str(error), []
        case RequestTimeout():
            return 408, str(error), []
        case DenyConnection():
            return error.status, error.reason, list(error.headers)
        case RequestAborted() | StopConsumer() | Reject():
            logger.info("a request is not answered by its consumer: %r", error)
            return 503, "", []
        case _:
            return None


def find(node: Node, scope: Scope) -> tuple[Found, Content] | None:
    """Return the consumer that answers a request and its content; `None` if no route takes it."""
    content = request_content(scope, path_of(scope), "")
    found = node.dispatcher.find("http.request", content)
    return None if found is None else (found, content)


__all__ = ["Found", "Part", "Request", "answer_to", "find"]
