"""One socket: its events handled one at a time, its disconnect exactly once, its outbox beside it."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from achannels.asgi.admission import refusal
from achannels.asgi.client import Client
from achannels.asgi.events import (
    ACCEPT,
    closing,
    code_of,
    connect_content,
    disconnect_content,
    frame_content,
    frame_size,
)
from achannels.asgi.handshake import log
from achannels.asgi.node import Node
from achannels.consumers.base import BadFrame
from achannels.dispatch import Handler, log_error
from achannels.exceptions import ConsumeLater, DenyConnection, Reject, StopConsumer
from achannels.state import Connection
from achannels.types import Content, Receive, Scope, Send

logger = logging.getLogger("achannels.server")

_CLOSE_PATIENCE = 5.0
"""Seconds that a client which does not read has to take its close event."""

_LAST_EVENT = 10.0
"""Seconds to wait for the server's disconnect event after the close event was sent."""

_PATH = frozenset({"path"})

_LATER = 0.05
"""Seconds before a socket's message is handled again after `ConsumeLater()`."""

Found = tuple[Handler, dict[str, Any]]


class WebSocket(Client):
    """The life of one socket, from the handshake to the end of its disconnect handler."""

    __slots__ = (
        "_ending",
        "_found",
        "_idle",
        "_interrupted",
        "_max_size",
        "_order",
        "_receive",
        "_task",
    )

    def __init__(self, node: Node, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(node, scope, send)
        self._receive = receive
        self._order = 0
        self._max_size = node.settings.max_size
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        self._idle = False
        self._interrupted = False
        self._ending: int | None = None
        self._found: Found | None = None

    async def run(self) -> None:
        """Serve the socket; returns when everything about it is over."""
        node = self._node
        await self._receive()
        content = connect_content(self.scope, self._path, "")
        connect = node.dispatcher.find("websocket.connect", content)
        self._found = node.dispatcher.find("websocket.receive", content)
        routed = connect is not None or self._found is not None
        refused = refusal(node, self.scope, content, routed=routed)
        if refused is not None:
            await self._deny(*refused)
            return
        self.channel_name = content["reply_channel"] = node.layer.attach(self)
        self._connection = Connection(self.scope, node.layer, self)
        self._attached()
        node.sockets.add(self)
        code = 1006
        try:
            if await self._open(connect, content):
                code = await self._frames(node.router.keys("websocket.receive") <= _PATH)
            else:
                code = self._ending or 1006
        except asyncio.CancelledError:
            if not self._interrupted or self._task is None or self._task.uncancel():
                code = 1012 if node.draining else 1006
                raise
            code = self._ending or 1006
        finally:
            await self._end_of_life(code)

    def _attached(self) -> None:
        """The socket has its reply channel; nothing was sent to it yet."""

    def end(self, code: int, *, now: bool = False) -> None:
        """End the socket: the code is sent, disconnect runs.

        Args:
            code: The close code.
            now: Cancel the handler that runs; else the end comes after it.
        """
        if self._ending is None:
            self._ending = code
        if (self._idle or now) and not (self._interrupted or self._over) and self._task is not None:
            self._interrupted = True
            self._task.cancel()

    def too_late(self) -> None:
        """The time for the handshake is over."""
        timeout = self._node.settings.handshake_timeout
        logger.warning(
            "WebSocket %s: nobody accepted or refused it within %s s", self._path, timeout
        )
        self.end(1006, now=True)

    # The life.

    async def _open(self, connect: Found | None, content: Content) -> bool:
        """Handle connect; return whether the socket goes on."""
        self._node.handshakes.add(self)
        self._apply(connect)
        self._apply(self._found)
        if connect is None:
            await self._decide(ACCEPT)
        elif not await self._handle(connect, "websocket.connect", content):
            return False
        await self._rest()
        self._busy = False
        return True

    async def _frames(self, stays: bool) -> int:
        """Take the client's frames one by one; return the code for disconnect.

        Args:
            stays: The route of a frame depends on the path alone, so it is known already.
        """
        receive, run, find = self._receive, self._run, self._node.dispatcher.find
        outbox = self._outbox
        while self._ending is None and not self._denied:
            self._idle = True
            event = await receive()
            self._idle = False
            if event["type"] == "websocket.disconnect":
                return code_of(event)
            if outbox.close_sent:
                return await self._last_event()
            self._order += 1
            content = frame_content(event, self.channel_name, self._path, self._order)
            if (size := frame_size(event, self._max_size)) > self._max_size:
                logger.info("WebSocket %s: a frame of %d bytes is too large", self._path, size)
                self.end(1009)
                break
            found = self._found if stays else find("websocket.receive", content)
            if found is None:
                continue
            if self._lane is not None:
                await self._lane.wait()
            self._busy = True
            try:
                await run(found, "websocket.receive", content)
            except Exception as error:  # noqa: BLE001 - every kind is answered there
                if not await self._failed(error, found, "websocket.receive", content):
                    break
            if self._lane is not None:
                await self._rest()
            self._busy = False
        return self._ending or 1006

    async def _rest(self) -> None:
        """Handle the events that came while the consumer was busy."""
        if self._lane is not None and self._handshake is None:
            await self._lane.handle()

    async def _handle(self, found: Found, channel: str, content: Content, attempt: int = 1) -> bool:
        """Run a consumer; return whether the socket goes on."""
        try:
            await self._run(found, channel, content, attempt)
        except Exception as error:  # noqa: BLE001 - every kind is answered there
            return await self._failed(error, found, channel, content, attempt)
        return True

    def _run(
        self, found: Found, channel: str, content: Content, attempt: int = 1
    ) -> Awaitable[object]:
        """Call a consumer; what it raises is for `_failed`."""
        handler, kwargs = found
        to = self._node.channels[channel]
        return handler.handle(self._connection, to, content, kwargs, attempt)

    async def _failed(
        self, error: Exception, found: Found, channel: str, content: Content, attempt: int = 1
    ) -> bool:
        """Answer what a consumer raised; return whether the socket goes on."""
        handler = found[0]
        match error:
            case BadFrame():
                logger.info("WebSocket %s: %s (%d)", self._path, error.reason, error.code)
                self.end(error.code)
            case DenyConnection() if self._handshake is not None:
                await self._deny(error.status, error.reason, error.headers)
            case DenyConnection():
                self.end(4403)
            case StopConsumer():
                self.end(1000)
            case Reject():
                logger.info("%s rejected a message on %s: %s", handler.name, channel, error)
                return True
            case ConsumeLater() if attempt <= handler.options.retries:
                await asyncio.sleep(_LATER if error.delay is None else error.delay)
                return await self._handle(found, channel, content, attempt + 1)
            case _:
                log_error(handler, channel, self._path, error)
                self.end(1011)
        return False

    async def _event_failed(self, error: Exception, handler: Handler, content: Content) -> bool:
        goes_on = await self._failed(error, (handler, {}), "websocket.receive", content)
        return goes_on and self._ending is None

    # The end.

    async def _last_event(self) -> int:
        """Wait for the server's word that the closed socket is gone."""
        try:
            async with asyncio.timeout(_LAST_EVENT):
                while True:
                    event = await self._receive()
                    if event["type"] == "websocket.disconnect":
                        return code_of(event)
        except TimeoutError:
            return 1006

    async def _end_of_life(self, code: int) -> None:
        """Run disconnect and leave everything.

        In a task of its own, since the socket's task may be cancelled at any moment; unless
        nothing in it waits for anything.
        """
        node = self._node
        self._over = True
        node.handshakes.discard(self)
        log("DISCONNECT", self._path, code, self.scope)
        content = disconnect_content(self.channel_name, self._path, self._order + 1, code)
        found = node.dispatcher.find("websocket.disconnect", content)
        nothing_to_do = found is None and self._lane is None and self._ending is None
        remembered = node.dispatcher.remembers(self._connection)
        if nothing_to_do and not remembered and self._outbox.stop() is None:
            self._leave()
        else:
            await asyncio.wait([node.spawn(self._say_goodbye(found, content))])

    async def _say_goodbye(self, found: Found | None, content: Content) -> None:
        node = self._node
        if self._lane is not None:
            await self._lane.end(node.settings.drain_timeout)
        code = content["code"]
        farewell = node.spawn(self._farewell(code)) if self._ending is not None else None
        try:
            if found is not None:
                await self._disconnect(found, content)
            await node.dispatcher.forget(self._connection)
        finally:
            node.layer.detach(self.channel_name)
            try:
                if farewell is not None:
                    await asyncio.wait([farewell])
                await self._outbox.shut()
            finally:
                self._leave()

    def _leave(self) -> None:
        self._node.layer.detach(self.channel_name)
        self._node.leave(self)
        # Broken by hand, these cycles need no garbage collection: a tenth of a short life's cost.
        self._outbox.let_go()
        self._lane = self._task = None
        del self._connection

    async def _farewell(self, code: int) -> None:
        if self._handshake is not None:
            await self._deny(500 if code == 1011 else 503)
        else:
            await self._outbox.close(closing(code), _CLOSE_PATIENCE)

    async def _disconnect(self, found: Found, content: Content) -> None:
        handler, kwargs = found
        channel = self._node.channels["websocket.disconnect"]
        try:
            async with asyncio.timeout(self._node.settings.drain_timeout):
                await handler.handle(self._connection, channel, content, kwargs)
        except Exception as error:  # noqa: BLE001 - the socket is gone, so it is only logged
            log_error(handler, "websocket.disconnect", self._path, error)

    def _apply(self, found: Found | None) -> None:
        """Take over the limits that a consumer of the socket asks for."""
        if found is not None:
            options = found[0].options
            self._max_size = options.max_size or self._max_size
            if options.outbox_capacity or options.outbox_bytes or options.overflow:
                self._outbox.limit(self._node.limits(options))


__all__ = ["WebSocket"]
