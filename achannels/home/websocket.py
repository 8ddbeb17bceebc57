"""A socket at its home: its events to its consumers, what they raise to the interface."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from achannels.asgi.events import path_of, prepare
from achannels.codec import Encoded
from achannels.consumers.base import BadFrame
from achannels.dispatch import Handler, log_error
from achannels.exceptions import ConsumeLater, DenyConnection, Reject, StopConsumer
from achannels.home.tenant import Tenant, content_of
from achannels.split.inbox import Arrival
from achannels.types import Content

logger = logging.getLogger("achannels.server")

_LATER = 0.05
"""Seconds before a socket's message is handled again after `ConsumeLater()`."""

Found = tuple[Handler, dict[str, Any]]


class SocketTenant(Tenant):
    """A socket."""

    async def handle(self, arrival: Arrival) -> None:
        """Have the consumer handle an event."""
        content = content_of(arrival)
        if arrival.last:
            await self._disconnect(content)
            return
        if self._ended:
            return
        if self._gap:
            self._gap = False
            await self._tell_gap(content["path"])
        if arrival.kind == "websocket.event":
            await self._event(content)
        else:
            found = self._homes.dispatcher.find(arrival.kind, content)
            if found is not None:
                await self._call(found, arrival.kind, content)

    def prepare(self, content: Mapping[str, Any]) -> Encoded:
        """Check a reply; callable from any thread."""
        reply = prepare(content)
        encoded = self._encode(content)
        encoded.prepared = reply
        return encoded

    async def write(self, prepared: Encoded) -> None:
        """Send a checked reply; one with a `type` comes back as an event."""
        if prepared.prepared.event:
            await self._homes.layer.send(self.channel_name, prepared.decode())
            return
        await super().write(prepared)
        if prepared.prepared.close is not None or prepared.prepared.refuse:
            self._ended = True

    async def _call(
        self, found: Found, kind: str, content: Content, attempt: int = 1
    ) -> bool | None:
        """Call a consumer; return whether it has a method for the message, if it did not raise."""
        handler, kwargs = found
        channel = self._homes.channel(kind)
        try:
            return await handler.handle(self.connection, channel, content, kwargs, attempt)
        except Exception as error:  # noqa: BLE001 - every kind is answered there
            await self._failed(error, found, kind, content, attempt)
        return None

    async def _failed(
        self, error: Exception, found: Found, kind: str, content: Content, attempt: int
    ) -> None:
        """Answer what a consumer raised."""
        handler = found[0]
        path = content.get("path")
        match error:
            case BadFrame():
                logger.info("WebSocket %s: %s (%d)", path, error.reason, error.code)
                await self._end(error.code)
            case DenyConnection():
                self._ended = True
                headers = [list(pair) for pair in error.headers]
                await self.tell("deny", error.status, error.reason, headers)
            case StopConsumer():
                await self._end(1000)
            case Reject():
                logger.info("%s rejected a message on %s: %s", handler.name, kind, error)
            case ConsumeLater() if attempt <= handler.options.retries:
                await asyncio.sleep(_LATER if error.delay is None else error.delay)
                await self._call(found, kind, content, attempt + 1)
            case _:
                log_error(handler, kind, path, error)
                await self._end(1011)

    async def _end(self, code: int) -> None:
        self._ended = True
        await self.tell("end", code)

    async def _event(self, content: Content) -> None:
        """Call the method of the class consumer that `type` names."""
        kind = content.get("type")
        path = self.scope["path"]
        found = self._class_handler()
        if found is None:
            logger.error(
                "WebSocket %s: an event of type %r, and no class consumer to take it", path, kind
            )
            return
        known = await self._call(found, "websocket.receive", content)
        if known is False:
            near = getattr(found[0], "consumer").near(kind)  # noqa: B009 - of a class, as it is one
            logger.error("%s has no method for type %r. %s", found[0].name, kind, near)

    def _class_handler(self) -> Found | None:
        instances = self.connection.instances
        if instances:
            return self._homes.dispatcher.handler(next(iter(instances))), {}
        content = {"path": path_of(self.scope)}
        found = self._homes.dispatcher.find("websocket.receive", content)
        return found if found is not None and getattr(found[0], "websocket", False) else None

    async def _tell_gap(self, path: str) -> None:
        """Tell the consumer that events were lost before this home."""
        content: Content = {
            "reply_channel": self.channel_name,
            "path": path,
            "groups": [],
            "reason": "worker_lost",
            "since": self._homes.relay.patience,
        }
        found = self._homes.dispatcher.find("websocket.gap", content)
        if found is not None:
            await self._call(found, "websocket.gap", content)

    async def _disconnect(self, content: Content) -> None:
        homes = self._homes
        kind = "websocket.disconnect"
        found = homes.dispatcher.find(kind, content)
        try:
            if found is not None:
                async with asyncio.timeout(homes.settings.drain_timeout):
                    await found[0].handle(self.connection, homes.channel(kind), content, found[1])
        except Exception as error:  # noqa: BLE001 - the socket is gone, so it is only logged
            if found is not None:
                log_error(found[0], kind, content.get("path"), error)
        finally:
            await homes.dispatcher.forget(self.connection)


__all__ = ["SocketTenant"]
