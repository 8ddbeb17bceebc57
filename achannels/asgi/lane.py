"""Lane: the events for a socket's class consumer, one at a time, between its frames."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from achannels.asgi.node import Node
from achannels.codec import Encoded
from achannels.dispatch import Handler
from achannels.state import Connection
from achannels.types import Content

logger = logging.getLogger("achannels.server")

Found = tuple[Handler, dict[str, Any]]
Failed = Callable[[Exception, Handler, Content], Awaitable[bool]]


class Lane:
    """A queue of events; made when the first one comes, since most sockets never get any.

    Args:
        node: Of the socket.
        connection: Of the socket.
        path: Of the socket, for the log.
        failed: Answers what the consumer raised, and says whether the socket goes on.
    """

    __slots__ = (
        "_connection",
        "_events",
        "_failed",
        "_gap",
        "_in_hand",
        "_node",
        "_path",
        "_running",
        "_task",
    )

    def __init__(self, node: Node, connection: Connection, path: str, failed: Failed) -> None:
        self._node = node
        self._connection = connection
        self._path = path
        self._failed = failed
        self._events: deque[Encoded] = deque()
        self._gap: tuple[Found, Content] | None = None
        self._in_hand = 0
        self._running = False
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._events) + self._in_hand

    def put(self, message: Encoded, capacity: int, *, group: bool) -> bool:
        """Take an event; `False` when a direct one finds `capacity` events waiting."""
        if len(self._events) >= capacity:
            if group:
                self._node.layer.books.drop("full")
            return group
        self._events.append(message)
        return True

    def put_gap(self, found: Found, content: Content) -> None:
        """Have the consumer told of a gap, before the next event; what it waits for becomes one."""
        if self._gap is not None:
            before = self._gap[1]
            content["groups"] = sorted({*before["groups"], *content["groups"]})
            content["since"] = max(before["since"], content["since"])
        self._gap = found, content

    def start(self) -> None:
        """Handle what waits in a task, while the socket's own task waits for a frame."""
        if not self._running and (self._events or self._gap is not None):
            self._running = True  # an eager task runs before it is known
            # Called by whoever sends: a view's context would bring its thread and connection along.
            self._task = self._connection.context.run(self._node.spawn, self._run())

    async def wait(self) -> None:
        """Wait until the task has handled what waited."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def handle(self) -> None:
        """Handle what waits, in the caller's task; stops when the socket ends."""
        goes_on = True
        while goes_on:
            if self._gap is not None:
                (handler, kwargs), content = self._gap
                self._gap = None
                goes_on = await self._tell(handler, kwargs, content)
            elif self._events:
                goes_on = await self._handle(self._events.popleft().decode())
            else:
                return

    async def end(self, patience: float) -> None:
        """Drop what waits, and wait for the event in hand; cancel it after `patience` seconds."""
        self._node.layer.books.drop("gone", len(self._events))
        self._events.clear()
        self._gap = None
        task = self._task
        if task is not None:
            await asyncio.wait([task], timeout=patience)
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        try:
            await self.handle()
        finally:
            self._running = False
            self._task = None

    async def _handle(self, content: Content) -> bool:
        """Call the consumer and do the books of the event, also when this is cancelled."""
        books = self._node.layer.books
        self._in_hand += 1
        known: bool | None = None
        try:
            known, goes_on = await self._call(content)
        finally:
            self._in_hand -= 1
            if known:
                books.delivered += 1
            else:
                books.drop("gone" if known is None else "no_handler")
        return goes_on

    async def _tell(self, handler: Handler, kwargs: dict[str, Any], content: Content) -> bool:
        try:
            await handler.handle(
                self._connection, self._node.channels["websocket.gap"], content, kwargs
            )
        except Exception as error:  # noqa: BLE001 - every kind is answered there
            return await self._failed(error, handler, content)
        return True

    async def _call(self, content: Content) -> tuple[bool, bool]:
        """Return whether there is a method for the event, and whether the socket goes on."""
        kind = content.get("type")
        instances = self._connection.instances
        if not instances:
            logger.error(
                "WebSocket %s: an event of type %r, and no class consumer to take it",
                self._path,
                kind,
            )
            return False, True
        consumer = next(iter(instances))
        handler = self._node.dispatcher.handler(consumer)
        channel = self._node.channels["websocket.receive"]
        try:
            known = await handler.handle(self._connection, channel, content, {})
        except Exception as error:  # noqa: BLE001 - every kind is answered there
            return True, await self._failed(error, handler, content)
        if not known:
            near = consumer.near(kind)
            logger.error("%s has no method for type %r. %s", handler.name, kind, near)
        return known, True


__all__ = ["Lane"]
